"""Predictions files into error rates, and into the files that a scoring was asked for."""

import contextlib
import functools
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from inception_tf.errors import UsageError
from inception_tf.evaluation import class_tables, paper, scores, targets
from inception_tf.evaluation.members import refuse_other_classes
from inception_tf.evaluation.predictions_file import open_predictions
from inception_tf.evaluation.predictions_header import refuse_other
from inception_tf.evaluation.report.outcomes import outcomes_of
from inception_tf.evaluation.request import ScoringRequest
from inception_tf.evaluation.submission import read_class_ids, submission_text
from inception_tf.runtime import outputs
from inception_tf.runtime.provenance import path_and_sha256, versions


def check_results(request: ScoringRequest, predictions: Sequence[str]) -> None:
    """Tries all that `request` asks to write, predictions aside, before hours of work.

    Raises:
        UsageError: one of them cannot be written, or would overwrite another file named.
        StorageError: the disk is full.
    """
    read = {flag: getattr(request, flag) for flag in ("exclude", "labels", "class_ids", "report")}
    read |= {f"predictions ({number})": path for number, path in enumerate(predictions, 1)}
    files = {flag: getattr(request, flag) for flag in ("output", "submission")}
    outputs.refuse_shared(_named(files), _named(read))
    for flag, path in _named(files).items():
        outputs.check_output(flag, path)
    tables = {f"output ({table})": path for table, path in _tables(request).items()}
    outputs.refuse_shared(tables, _named(read | files))
    for path in tables.values():
        outputs.check_output("output", path)
    if request.report:
        outputs.check_new_folder("report", request.report)


def _tables(request):
    """Table -> its path beside --output; nothing of a search, which has many results."""
    if not request.output or request.search:
        return {}
    return class_tables.table_paths(request.output)


def _named(paths):
    return {flag: path for flag, path in paths.items() if path}


def score_files(paths: Sequence[str], request: ScoringRequest,
                show: Callable[[dict[str, Any]], None] = lambda result: None,
                rates: Sequence[float | None] = ()) -> dict[str, Any]:
    """Scores predictions files, each and their mean, without running a network.

    Args:
        paths: of files of the same images in the same order.
        request: what is asked for; nothing in it that concerns networks is used.
        show: called with the result before anything is written, which may fail.
        rates: images per second of each, where they were computed just now.

    Returns:
        dict for JSON: rows (one per network, then the ensemble; or one per subset), and
        what is needed to repeat it.

    Raises:
        UsageError: the files, an exclusion or labels do not fit together.
        StorageError: a result cannot be written; the others are.
    """
    members = [open_predictions(path) for path in paths]
    _require_same_images(members)
    bad = np.any([scores.bad_examples(member.probabilities, member.example_ids)
                  for member in members], axis=0)
    if request.submission:
        read_class_ids(request.class_ids, members[0].class_names)
    excluded = targets.excluded_rows(request.exclude, members[0].example_ids)
    right = _targets(members[0], request)
    counted = ~excluded & ~bad & (right >= 0).any(axis=1)
    rows = _rows(members, right, counted, request.search) if counted.any() else []
    if not request.search:
        for row, rate in zip(rows, rates, strict=False):
            row["images_per_second"] = rate
    numbers = {"num_excluded": int(excluded.sum()),
               "num_bad_examples": int((bad & ~excluded).sum()),
               "num_without_label": int((~counted & ~excluded & ~bad).sum())}
    result = {"rows": rows, **_provenance(members, request, numbers),
              "tables": _tables(request) if rows else {}}
    show(result)
    _write_results(request, result, members, right, counted if rows else ~excluded & ~bad)
    return result


def _require_same_images(members):
    """Raises UsageError when two predictions files are not of the same images in one order."""
    first = members[0]
    for other in members[1:]:
        if other.class_names != first.class_names:
            refuse_other_classes(first.class_names, other.class_names, f"predictions {first.path}",
                                 str(other.path))
        refuse_other(other.header, first.header, f"predictions {other.path}",
                     ("dataset", "split", "num_examples", "data_fingerprint"))
        if other.example_ids != first.example_ids or (other.labels != first.labels).any():
            raise UsageError(f"predictions {other.path} are of other images, or in another order, "
                             f"than {first.path}")


def _targets(predictions, request):
    if request.labels:
        return targets.other_targets(request.labels, predictions.example_ids,
                                     len(predictions.class_names))
    return targets.own_targets(predictions.labels)


def _rows(members, right, counted, search):
    """A row for each member alone and for all together, or for every subset."""
    arrays = [member.probabilities for member in members]
    if search:
        scored = scores.search_subsets(arrays, right, counted)
    else:
        everyone = tuple(range(len(arrays)))
        subsets = [(i,) for i in everyone] + ([everyone] if len(arrays) > 1 else [])
        scored = [(subset, scores.error_rates([arrays[i] for i in subset], right, counted))
                  for subset in subsets]
    return [_row([members[i] for i in subset], numbers) for subset, numbers in scored]


def _row(members, numbers):
    """One line of the table: which networks, how they did, what the paper has there."""
    networks = tuple(m.header["network"] for m in members)
    crops = {m.header["protocol"]["crops"] for m in members}
    row = {
        "networks": list(networks),
        "models": [m.header["about"].get("model_dir", str(m.path)) for m in members],
        "weights": sorted({m.header["weights"] for m in members}),
        "crops": sorted(crops),
        **numbers,
    }
    printed = paper.printed_error(networks, *crops) if len(crops) == 1 else None
    if printed and all(paper.is_papers_task(m.header) for m in members):
        row["paper"] = printed._asdict()
    return row


def _provenance(members, request, numbers):
    """What is needed to repeat a scoring, and to judge it."""
    first = members[0].header
    crops = sorted({m.header["protocol"]["crops"] for m in members})
    return {
        "dataset": first["dataset"],
        "split": first["split"],
        "data_fingerprint": first["data_fingerprint"],
        "num_examples": len(members[0]),
        **numbers,
        "num_classes": len(members[0].class_names),
        "exclude": path_and_sha256(request.exclude),
        "labels": path_and_sha256(request.labels),
        "assumptions": {str(number): paper.ASSUMPTIONS[number] for number in crops},
        "members": [{**{k: v for k, v in m.header.items() if k != "class_names"},
                     "predictions": str(m.path)} for m in members],
        "command": list(request.command),
        "versions": versions(),
    }


def _write_results(request, result, members, right, chosen):
    """Writes what `request` asks for; one that fails is raised after the others were tried."""
    probabilities = [member.probabilities for member in members]

    def submission():
        ids = read_class_ids(request.class_ids, members[0].class_names)
        text = submission_text(probabilities, members[0].example_ids, ids)
        outputs.write_output("submission", request.submission, text)

    outcomes = functools.cache(lambda: outcomes_of(probabilities, right, chosen))

    def report():
        from inception_tf.evaluation.report.page import write_report

        write_report(request.report, result, members, outcomes(), request.given)

    def tables():
        for table, path in result["tables"].items():
            text = class_tables.TABLES[table](outcomes(), members[0].class_names)
            outputs.write_output("output", path, text)

    with contextlib.ExitStack() as stack:
        # Run from the last to the first, each whether or not one before it failed.
        if request.report:
            stack.callback(report)
        if request.submission:
            stack.callback(submission)
        if result["tables"]:
            stack.callback(tables)
        if request.output:
            stack.callback(outputs.write_output, "output", request.output,
                           json.dumps(result, indent=2) + "\n")
