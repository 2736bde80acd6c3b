"""`inception-tf eval`: error rates of trained networks on a whole split, as the paper scores."""

import functools
import os
import re
import sys
from collections.abc import Sequence

from inception_tf import flags
from inception_tf.commands.shell import import_tensorflow
from inception_tf.config import Runtime
from inception_tf.errors import UsageError
from inception_tf.flags import Flag
from inception_tf.runtime.outputs import is_standard_output
from inception_tf.text import printable

OWN = (
    Flag("protocol", "1", "crops per image whose softmax is averaged", ("1", "10", "12", "144")),
    Flag("scales", "scaled", "shorter sides that multi-crop images are resized to: 'scaled' "
         "(342,384,427,470 at 299), 'googlenet' (224 of 256,288,320,352, resized), or pixels"),
    flags.CHECKPOINT,
    Flag("weights", "ema", "averaged or raw weights", ("ema", "raw")),
    Flag("batch_size", 32, "views per pass, over all devices", low=1),
    Flag("max_bad_examples", 0, "undecodable images tolerated, which are counted apart", low=0),
    Flag("exclude", "", "file that names images to leave out, one a line", path=True),
    Flag("labels", "", "JSON of several correct classes per image, instead of the split's labels",
         path=True),
    Flag("predictions", (), "keep the probabilities in this file, one file per network; a run "
                            "that was stopped resumes in it", path=True),
    Flag("from_predictions", (), "score these files and their mean; no network is run",
         path=True),
    Flag("search", False, "with --from_predictions: score every subset, best first"),
    Flag("submission", "", "write the five best classes per image to this file, as ILSVRC's "
                           "server takes them", path=True),
    Flag("class_ids", "", "lines of class name and ILSVRC id (map_clsloc.txt), for --submission",
         path=True),
    Flag("report", "", "write pictures and a page that opens offline into this folder, which must "
                       "not exist", path=True),
    Flag("watch", False, "score each checkpoint of a run that is being trained as it comes, until "
                         "its last"),
    Flag("output", "", "also write the result, and all that is needed to repeat it, as JSON to "
         "this file; next to it errors by class and the confusion matrix, as .csv", path=True),
)
FIELDS = ("model_dir", "strategy", "startup_timeout_s", "dataset", "data_dir", "manual_dir",
          "eval_split", "crop_fraction", "interpolation", "pixel_centers", "antialias",
          "max_image_pixels", "allow_empty_classes", "stall_timeout_s")
# What can be given with --from_predictions.
WITHOUT_NETWORK = ("from_predictions", "search", "exclude", "labels", "submission", "class_ids",
                   "report", "output")
# What cannot be given with --watch, which keeps a log of its own.
NOT_WATCHING = ("from_predictions", "predictions", "search", "submission", "class_ids", "report",
                "output", "checkpoint")


def main(argv: Sequence[str]) -> None:
    """Scores a checkpoint of each --model_dir, and their mean; prints a table."""
    arguments = flags.parse(
        "eval", "Scores trained networks (--model_dir=A,B,... is an ensemble); settings come from "
        "their runs.", argv, OWN, fields=FIELDS, defaults=None)
    _refuse_contradictions(arguments)
    import_tensorflow()
    result = _score(arguments, ("eval", *argv))
    if result is not None:
        _say_written(result, arguments.own)


def _score(arguments, command):
    """The result, shown already; None where there is nothing more to say."""
    from inception_tf.evaluation.request import ScoringRequest
    from inception_tf.evaluation.results import check_results, score_files
    from inception_tf.evaluation.scoring import score_networks

    own = arguments.own
    given = {**arguments.given, "max_bad_examples": own["max_bad_examples"]}
    model_dirs = flags.path_list("model_dir", given.pop("model_dir", Runtime.model_dir))
    request = ScoringRequest(
        model_dirs=model_dirs, crops=int(own["protocol"]), scales=_scales(own["scales"]),
        weights=own["weights"], checkpoint=own["checkpoint"], batch_size=own["batch_size"],
        predictions=tuple(own["predictions"]), given=given, command=command,
        **{name: own[name] for name in ("search", "exclude", "labels", "submission", "class_ids",
                                        "report", "output")})
    if own["watch"]:
        return _watch(request)
    show = functools.partial(_show, own=own)
    if own["from_predictions"]:
        check_results(request, own["from_predictions"])
        return score_files(own["from_predictions"], request, show)
    return score_networks(request, show)


def _watch(request):
    from inception_tf.evaluation.tables import watch_line
    from inception_tf.evaluation.watch import watch

    watch(request, lambda row: print(watch_line(row), flush=True))


def _refuse_contradictions(arguments):
    own = arguments.own
    if own["watch"]:
        _refuse_with_watch(arguments)
    if own["search"] and not own["from_predictions"]:
        raise UsageError("--search needs --from_predictions=FILE,FILE,...")
    if own["from_predictions"]:
        useful = {*WITHOUT_NETWORK, *(("data_dir",) if own["report"] else ())}
        for name in arguments.names_given:
            if name not in useful:
                raise UsageError(f"--from_predictions runs no network: --{name} has no use")
    if own["class_ids"] and not own["submission"]:
        raise UsageError("--class_ids has no use without --submission=FILE")
    if own["report"] and own["search"]:
        raise UsageError("--report shows one ensemble: leave --search, or name its files alone")
    if own["report"] and os.path.lexists(own["report"]):
        raise UsageError(f"--report={own['report']} exists already: name a folder that does not")


def _refuse_with_watch(arguments):
    for name in NOT_WATCHING:
        if name in arguments.names_given:
            raise UsageError(f"--watch writes into --model_dir only: --{name} has no use")
    if len(flags.path_list("model_dir", arguments.given.get("model_dir", Runtime.model_dir))) != 1:
        raise UsageError("--watch follows one run: name one --model_dir")


def _scales(text):
    """'scaled', 'googlenet', or the pixels."""
    if text in ("scaled", "googlenet"):
        return text
    if not re.fullmatch(r"[1-9][0-9]{0,3}(,[1-9][0-9]{0,3})*", text):
        raise UsageError(f"--scales={text} is neither 'scaled', 'googlenet' nor pixels (1 to 9999) "
                         "like 342,384,427,470")
    return tuple(map(int, text.split(",")))


def _show(result, own):
    """Prints the table before anything is written: what fails then costs no number."""
    from rich.console import Console

    from inception_tf.evaluation.tables import notes, score_table

    file = _for_people(own)
    if result["rows"]:
        console = Console(file=file, width=None if file.isatty() else 140)
        console.print(score_table(result))
        for line in notes(result):
            console.print(printable(line), highlight=False, markup=False, soft_wrap=True)
        file.flush()


def _say_written(result, own):
    file = _for_people(own)
    if own["submission"]:
        print(f"{printable(own['submission'])}: five classes for each of {result['num_examples']} "
              "images", file=file)
    for path in result["tables"].values():
        print(printable(path), file=file)
    if own["report"]:
        print(f"{printable(own['report'])}/index.html", file=file)


def _for_people(own):
    """Standard output, unless that is where a file is written to."""
    taken = any(own[flag] and is_standard_output(own[flag]) for flag in ("output", "submission"))
    return sys.stderr if taken else sys.stdout
