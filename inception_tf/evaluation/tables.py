"""Scores as a table in the manner of the paper's."""

import collections
import os
from collections.abc import Iterable
from typing import Any

from rich.table import Table
from rich.text import Text

from inception_tf.text import printable

# Subsets of a search that are shown; the JSON has all of them.
MAX_ROWS = 20
# Columns of text, aligned to the left; the others hold numbers.
TEXT_COLUMNS = ("network", "models")


def score_table(result: dict[str, Any]) -> Table:
    """The rich Table of a scoring (results.score_files' dict), with the paper's own errors."""
    table = Table(title=Text(printable(title(result)), "table.title"), title_justify="left")
    columns, rows = score_cells(result)
    for column in columns:
        left = column in TEXT_COLUMNS
        table.add_column(column, justify="left" if left else "right",
                         overflow="fold" if left else "ellipsis", no_wrap=not left)
    for row in rows:
        # As text: a name in square brackets is no markup of rich's.
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table


def score_cells(result: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """(names of the columns, rows of cells), all text."""
    rows = result["rows"][:MAX_ROWS]
    names_models = len(result["members"]) > 1
    has_paper = any("paper" in row for row in rows)
    bad = result["num_bad_examples"]
    columns = ["network", *(["models"] if names_models else []), "crops", "top-1 error", "95 %",
               "top-5 error", "95 %", "images", *(["bad"] if bad else []), "images/s",
               *(["paper top-1", "paper top-5"] if has_paper else [])]
    return columns, [_cells(row, names_models, has_paper, bad) for row in rows]


def network_names(networks: Iterable[str]) -> str:
    """'inception_v4 + 3 x inception_resnet_v2'."""
    counts = collections.Counter(networks)
    return " + ".join(name if n == 1 else f"{n} x {name}" for name, n in counts.items())


def _cells(row, names_models, has_paper, bad):
    cells = [network_names(row["networks"])]
    if names_models:
        cells.append(" ".join(os.path.basename(model.rstrip("/")) for model in row["models"]))
    cells.append(" and ".join(map(str, row["crops"])))
    for rate in ("top1", "top5"):
        low, high = row[f"{rate}_interval"]
        cells += [f"{100 * row[f'{rate}_error']:.2f} %", f"{100 * low:.2f}-{100 * high:.2f}"]
    speed = row.get("images_per_second")
    cells += [str(row["num_examples"]), *([str(bad)] if bad else []),
              f"{speed:.1f}" if speed else "-"]
    if has_paper:
        paper = row.get("paper")
        cells += [f"{paper['top1']:.1f} %", f"{paper['top5']:.1f} %"] if paper else ["-", "-"]
    return cells


def watch_line(row: dict[str, Any]) -> str:
    """One line on a checkpoint that was scored (a row of a WatchLog)."""
    errors = "  ".join(
        f"{name} error {100 * row[f'{key}_error']:.2f} % "
        f"({100 * row[f'{key}_interval'][0]:.2f}-{100 * row[f'{key}_interval'][1]:.2f})"
        for name, key in (("top-1", "top1"), ("top-5", "top5")))
    return (f"step {row['step']}  {errors}  {row['num_examples']} images  "
            f"{row['images_per_second']:.1f} images/s")


def title(result: dict[str, Any]) -> str:
    """Which images, which weights; of which step, where the members know it."""
    members = result["members"]
    weights = sorted({member["weights"] for member in members})
    steps = sorted({m["about"]["step"] for m in members if "step" in m["about"]})
    of_step = f", step {', '.join(map(str, steps))}" if steps else ""
    return f"{result['dataset']} {result['split']}, {' and '.join(weights)} weights{of_step}"


def notes(result: dict[str, Any]) -> list[str]:
    """Lines under the table: what was left out, and what the paper does not say."""
    lines = []
    if result["num_excluded"]:
        lines.append(f"{result['num_excluded']} of {result['num_examples']} images excluded by "
                     f"{result['exclude']['path']}")
    if result["num_bad_examples"]:
        lines.append(f"{result['num_bad_examples']} of {result['num_examples']} images could not "
                     "be read and are not counted")
    if result["num_without_label"]:
        lines.append(f"{result['num_without_label']} images without a label not counted")
    if result["labels"]:
        lines.append(f"right is any class that {result['labels']['path']} lists")
    lines += dict.fromkeys(_views_line(member, result["assumptions"])
                           for member in result["members"])
    lines += dict.fromkeys(f"paper: {row['paper']['source']}" for row in result["rows"]
                           if "paper" in row)
    hidden = len(result["rows"]) - MAX_ROWS
    if hidden > 0:
        lines.append(f"{hidden} more subsets in --output")
    return lines


def _views_line(member, assumptions):
    """How the images were seen, with the numbers of this member."""
    protocol, preprocessing = member["protocol"], member["preprocessing"]
    text = assumptions[str(protocol["crops"])]
    if protocol["crops"] == 1:
        return (f"1 crop: {text}; {100 * preprocessing['crop_fraction']:g} % of each side, resized "
                f"to {preprocessing['image_size']}")
    scales = ", ".join(map(str, protocol["scales"]))
    return (f"{protocol['crops']} crops: {text}; shorter side {scales}, crops of "
            f"{protocol['field']} pixels for an input of {preprocessing['image_size']}")
