"""What a scoring leaves in files: tried before hours of work, written when all is known."""

import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path

from inception_tf.errors import StorageError
from inception_tf.evaluation.report.outcomes import outcomes_of
from inception_tf.evaluation.submission import read_class_ids, submission_text
from inception_tf.runtime import outputs


def check_results(request, predictions):
    """Tries all that `request` (scoring.Request) asks to write beside files of predictions.

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
    if request.report:
        outputs.check_new_folder("report", request.report)


def _named(paths):
    return {flag: path for flag, path in paths.items() if path}


def write_results(request, result, members, right, chosen):
    """Writes what `request` asks for; one that fails is raised after the others were tried.

    Args:
        result: dict of scoring.score_files.
        members: the Predictions that were averaged.
        right, chosen: see outcomes.outcomes_of; for the report.

    Raises: StorageError.
    """
    probabilities = [member.probabilities for member in members]

    def submission():
        ids = read_class_ids(request.class_ids, members[0].class_names)
        return submission_text(probabilities, members[0].example_ids, ids)

    def report():
        from inception_tf.evaluation.report.page import write_report

        outcomes = outcomes_of(probabilities, right, chosen)
        write_report(request.report, result, members, outcomes, request.given)

    with contextlib.ExitStack() as stack:
        # Run from the last to the first, each whether or not one before it failed.
        if request.report:
            stack.callback(report)
        if request.submission:
            stack.callback(lambda: outputs.write_output(
                "submission", request.submission, submission()))
        if request.output:
            stack.callback(lambda: outputs.write_output(
                "output", request.output, json.dumps(result, indent=2) + "\n"))


@contextlib.contextmanager
def predictions_files(request):
    """Paths to keep each network's probabilities in: those asked for, else files gone at the end.

    Where nothing but storage failed they all stay, and the error says how to go on with them.
    """
    folder = "" if request.predictions else _temporary_folder()
    paths = request.predictions or tuple(
        str(Path(folder) / f"{i}.predictions") for i in range(len(request.model_dirs)))
    try:
        yield paths
    except StorageError as error:
        if not all(os.path.isfile(path) and os.path.getsize(path) for path in paths):
            raise
        folder = ""
        raise StorageError(f"{error}; the probabilities are kept: the same command goes on with "
                           f"--predictions={','.join(paths)}") from None
    finally:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


def _temporary_folder():
    try:
        return tempfile.mkdtemp(prefix="inception_tf-")
    except OSError as error:
        raise StorageError(f"no place for temporary files: {error}; give --predictions=FILE, or "
                           "another TMPDIR") from None
