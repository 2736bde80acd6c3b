"""A scoring from end to end: networks or their predictions in, error rates out."""

import contextlib
import dataclasses
import tempfile
from pathlib import Path

from inception_tf.config import Runtime
from inception_tf.data.sources import open_source
from inception_tf.errors import UsageError
from inception_tf.evaluation import paper, scores, targets
from inception_tf.evaluation.members import load_members, refuse_other_classes
from inception_tf.evaluation.outcomes import outcomes_of
from inception_tf.evaluation.predict import devices, plan_passes, predict_split
from inception_tf.evaluation.predictions import (
    open_predictions,
    predictions_writer,
    refuse_other,
)
from inception_tf.evaluation.provenance import file_facts, versions
from inception_tf.evaluation.submission import read_class_ids, write_submission

# What the paper leaves open and how it is read here, by number of crops.
ASSUMPTIONS = {
    1: "the central crop of the released code; the paper names no geometry",
    10: "corners and middle of the central square and their mirror images, at one scale",
    12: "the ten crops and the whole central square, mirrored; the paper cites GoogLeNet, "
        "which has no 12 crops",
    144: "GoogLeNet's 4 scales x 3 squares x 6 views x 2; how it was carried over to 299 pixels "
         "is not stated",
}


@dataclasses.dataclass(frozen=True)
class Request:
    """What is to be scored, and how.

    model_dirs: folders of runs; several are an ensemble.
    crops, scales: the protocol; see data.crops.protocol_of.
    weights: "ema" or "raw".
    batch_size: views per pass over all devices.
    predictions: files to keep each network's probabilities in, one per model_dir, or none.
    exclude, labels: files; see evaluation.targets.
    submission, class_ids: see evaluation.submission.
    report: folder to write evaluation.report's page and pictures into, or none.
    given: config fields that override the runs' own.
    command: the words that asked for this, for the record.
    """

    model_dirs: tuple[str, ...] = ()
    crops: int = 1
    scales: str | tuple[int, ...] = "scaled"
    weights: str = "ema"
    batch_size: int = 32
    predictions: tuple[str, ...] = ()
    exclude: str = ""
    labels: str = ""
    submission: str = ""
    class_ids: str = ""
    report: str = ""
    given: dict = dataclasses.field(default_factory=dict)
    command: tuple[str, ...] = ()


def score_networks(request):
    """Runs every network of `request` over the split, then scores each and their mean.

    Returns:
        dict for JSON, as `score_files` gives it; None on workers that are not the chief.

    Raises:
        InceptionError: see errors.py for the kinds and their exit codes.
    """
    if request.predictions and len(request.predictions) != len(request.model_dirs):
        raise UsageError(f"--predictions names {len(request.predictions)} file(s) for "
                         f"{len(request.model_dirs)} networks: name one each")
    if len(set(request.predictions)) < len(request.predictions):
        raise UsageError("--predictions names one file twice")
    members = load_members(request.model_dirs, request.weights, request.given)
    source = open_split(members[0], request)
    with contextlib.ExitStack() as stack:
        on = stack.enter_context(devices_for(request, members[0].config))
        files = request.predictions or temporary_files(stack, len(members))
        rates = [predict_into(path, member, source, request, on)
                 for member, path in zip(members, files, strict=True)]
        if not on.cluster.is_chief:
            return None
        return score_files(files, request, rates)


def open_split(member, request):
    """The Source to score on, with the classes of `member`; UsageError when it cannot serve."""
    data = member.config.replace(**request.given).data
    source = open_source(data, data.eval_split)
    refuse_other_classes(member.class_names, source.class_names,
                         f"--model_dir={member.model_dir}", f"--dataset={source.name}")
    _refuse_unlabelled(request, source)
    _check_names(request, source)
    return source


def devices_for(request, config):
    """Context of the Devices that `request`, or else the run of `config`, asks for."""
    runtime = config.replace(**request.given).runtime
    # Not the run's own: how long an update may take says nothing of a pass over 144 views.
    stall = request.given.get("stall_timeout_s", Runtime.stall_timeout_s)
    return devices(runtime.strategy, runtime.startup_timeout_s, stall)


def score_files(paths, request, rates=(), search=False):
    """Scores predictions files, each and their mean, without running a network.

    Args:
        paths: of files of the same images in the same order.
        request: its exclude, labels, submission, class_ids, report and command are used.
        rates: images per second of each, where they were computed just now.
        search: score every subset of the files, best first, instead.

    Returns:
        dict for JSON: rows (one per network, then the ensemble; or one per subset), and
        what is needed to repeat it.

    Raises:
        UsageError: the files, an exclusion or labels do not fit together.
    """
    members = [open_predictions(path) for path in paths]
    _require_same_images(members)
    for member in members:
        scores.require_finite(member.probabilities, member.example_ids)
    if request.submission:
        _submit(members, request)
    excluded = targets.excluded_rows(request.exclude, members[0].example_ids)
    right = _targets(members[0], request)
    counted = ~excluded & (right >= 0).any(axis=1)
    rows = []
    if counted.any():
        arrays = [member.probabilities for member in members]
        rows = [_row([members[i] for i in subset], numbers)
                for subset, numbers in _scored(arrays, right, counted, search)]
    if not search:
        for row, rate in zip(rows, rates, strict=False):
            row["images_per_second"] = rate
    result = {"rows": rows, **_facts(members, request, excluded, counted)}
    if request.report:
        _report(members, request, result, right, counted if counted.any() else ~excluded)
    return result


def _scored(arrays, right, counted, search):
    """(indices of members, error rates): each alone and all together, or every subset."""
    if search:
        return scores.search_subsets(arrays, right, counted)
    everyone = tuple(range(len(arrays)))
    subsets = [(i,) for i in everyone] + ([everyone] if len(arrays) > 1 else [])
    return [(s, scores.error_rates([arrays[i] for i in s], right, counted)) for s in subsets]


def how_seen(member, request, on):
    """(Protocol, Passes) of one network."""
    protocol = member.protocol(request.crops, request.scales)
    return protocol, plan_passes(request.batch_size, on.number, protocol.crops)


def predict_into(path, member, source, request, on, step=None):
    """Completes the predictions file of one member; images per second, None when it was whole.

    step: see predict.predict_split.
    """
    protocol, passes = how_seen(member, request, on)
    header = {**member.header(source, protocol, passes), "about": _about(member, request)}
    with contextlib.ExitStack() as stack:
        writer = None
        if on.cluster.is_chief:
            writer = stack.enter_context(predictions_writer(path, header))
        images, seconds = predict_split(member, source, writer, passes, protocol, on, step)
    return images / seconds if images else None


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
    figures = paper.figures_of(networks, *crops) if len(crops) == 1 else None
    if figures and all(paper.is_papers_task(m.header) for m in members):
        row["paper"] = figures._asdict()
    return row


def _facts(members, request, excluded, counted):
    """What is needed to repeat a scoring, and to judge it."""
    first = members[0].header
    crops = sorted({m.header["protocol"]["crops"] for m in members})
    return {
        "dataset": first["dataset"],
        "split": first["split"],
        "data_fingerprint": first["data_fingerprint"],
        "num_examples": len(members[0]),
        "num_excluded": int(excluded.sum()),
        "num_without_label": int((~counted & ~excluded).sum()),
        "num_classes": len(members[0].class_names),
        "exclude": file_facts(request.exclude),
        "labels": file_facts(request.labels),
        "assumptions": {str(number): ASSUMPTIONS[number] for number in crops},
        "members": [{**{k: v for k, v in m.header.items() if k != "class_names"},
                     "predictions": str(m.path)} for m in members],
        "command": list(request.command),
        "versions": versions(),
    }


def _about(member, request):
    """What a predictions file tells its readers beside what identifies it."""
    return {
        "model_dir": member.model_dir,
        "step": member.manifest["step"],
        "config": dataclasses.asdict(member.config.replace(**request.given)),
        "command": list(request.command),
        "versions": versions(),
    }


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


def _refuse_unlabelled(request, source):
    """Hours of computing whose result nobody could see are refused before they begin."""
    if source.read(0).label < 0 and not (request.submission or request.predictions
                                         or request.labels or request.report):
        raise UsageError(f"{source.name}/{source.split} has no labels to score against: write "
                         "--submission=FILE or keep --predictions=FILE")
    if request.submission:
        read_class_ids(request.class_ids, source.class_names)


def _check_names(request, source):
    """Reads the ids of all records, seconds, so that a wrong name does not end hours of work."""
    if request.exclude or request.labels:
        ids = [source.read(index).example_id for index in range(source.num_examples)]
        targets.excluded_rows(request.exclude, ids)
        if request.labels:
            targets.other_targets(request.labels, ids, source.num_classes)


def _submit(members, request):
    write_submission(request.submission, [m.probabilities for m in members],
                     members[0].example_ids,
                     read_class_ids(request.class_ids, members[0].class_names))


def _report(members, request, result, right, chosen):
    from inception_tf.evaluation.report import write_report

    outcomes = outcomes_of([member.probabilities for member in members], right, chosen)
    write_report(request.report, result, members, outcomes, request.given)


def temporary_files(stack, number):
    """Paths of files that are gone when `stack` closes."""
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="inception_tf-"))
    return [str(Path(folder) / f"{i}.predictions") for i in range(number)]
