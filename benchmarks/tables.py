"""Tables of the documentation, made from the files in benchmarks/results.

    python -m benchmarks.tables

A page says where one goes by a pair of comments, `<!-- table NAME -->` and
`<!-- end of table -->`; what lies between is replaced.
"""

import json
import re
from pathlib import Path

from benchmarks.harness import RESULTS

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
PLACE = re.compile(r"(<!-- table (\w+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def main():
    """Rewrites every page that has a table."""
    for page in PAGES:
        page.write_text(filled(page.read_text()))


def filled(text):
    """`text` with its tables made anew."""
    return PLACE.sub(lambda found: f"{found[1]}{TABLES[found[2]]()}{found[3]}", text)


def serving():
    """Images per second of each form of one network, and its ratio to Keras' own export."""
    result = _result("serving")
    sizes = list(result["batch_sizes"])
    first = result["batch_sizes"][sizes[0]]
    rows = [["form", *(f"batch {n}: images/s" for n in sizes), *(f"ratio at {n}" for n in sizes),
             "peak MiB"]]
    for name in first:
        cells = [result["batch_sizes"][n][name] for n in sizes]
        rows.append([name, *(f"{c['images_per_second']['median']:.1f}" for c in cells),
                     *(f"{c['ratio']:.2f}" for c in cells), f"{result['peak_mib'][name]:.0f}"])
    rows += [[name, "not measured", *[""] * (2 * len(sizes))] for name in result["not_measured"]]
    note = (f"Floor: {result['floor_images_per_second']:.1f} images/s, the multiply-adds at "
            f"{result['matrix_gflops']:.0f} GFLOP/s of a matrix product in the same run.")
    return _markdown(rows) + f"\n{_where(result)} {note}\n"


def resume():
    """Time to the first step and peak memory of going on at 0 % and 95 % of an epoch."""
    result = _result("resume")
    rows = [["records as", "0 %", "95 %", "ratio", "peak memory, ratio"]]
    for name, row in result["formats"].items():
        seconds = [f"{row['seconds'][at]['median']:.1f} s" for at in ("0 %", "95 %")]
        rows.append([name, *seconds, f"{row['ratio']:.3f}", f"{row['peak_ratio']:.3f}"])
    return _markdown(rows) + f"\n{_where(result)}\n"


TABLES = {f.__name__: f for f in (serving, resume)}


def _result(name):
    return json.loads((RESULTS / f"{name}.json").read_text())


def _where(result):
    machine = result["machine"]
    return (f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GB, "
            f"TensorFlow {machine['versions']['tensorflow']}, Keras "
            f"{machine['versions']['keras']}.")


def _markdown(rows):
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + "---|" * len(rows[0]))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
