"""A scoring from end to end: networks or their predictions in, error rates out."""

import contextlib
import dataclasses

from inception_tf.config import Runtime
from inception_tf.data.sources import open_source
from inception_tf.errors import UsageError
from inception_tf.evaluation import paper, scores, targets
from inception_tf.evaluation.inference import devices, plan_passes, predict_split
from inception_tf.evaluation.members import load_members, refuse_other_classes
from inception_tf.evaluation.predictions_file import open_predictions, predictions_writer
from inception_tf.evaluation.predictions_header import id_bytes_for, refuse_other
from inception_tf.evaluation.results import check_results, predictions_files, write_results
from inception_tf.evaluation.submission import read_class_ids
from inception_tf.runtime.provenance import file_facts, versions

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
    checkpoint: which one of each run; see runtime.choice.
    batch_size: views per pass over all devices.
    predictions: files to keep each network's probabilities in, one per model_dir, or none.
    exclude, labels: files; see evaluation.targets.
    submission, class_ids: see evaluation.submission.
    report: folder to write evaluation.report's page and pictures into, or none.
    output: file to write the result into, as JSON, or none.
    given: config fields that override the runs' own.
    command: the words that asked for this, for the record.
    """

    model_dirs: tuple[str, ...] = ()
    crops: int = 1
    scales: str | tuple[int, ...] = "scaled"
    weights: str = "ema"
    checkpoint: str = "newest"
    batch_size: int = 32
    predictions: tuple[str, ...] = ()
    exclude: str = ""
    labels: str = ""
    submission: str = ""
    class_ids: str = ""
    report: str = ""
    output: str = ""
    given: dict = dataclasses.field(default_factory=dict)
    command: tuple[str, ...] = ()


def score_networks(request, show=lambda result: None):
    """Runs every network of `request` over the split, then scores each and their mean.

    Args:
        show: see `score_files`.

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
    members = load_members(request.model_dirs, request.weights, request.given,
                           request.checkpoint)
    source = open_split(members[0], request)
    with devices_for(request, members[0].config) as on:
        if on.cluster.is_chief:
            check_results(request, request.predictions)
        with predictions_files(request) as files:
            rates = _predict_all(files, members, source, request, on)
            if not on.cluster.is_chief:
                return None
            return score_files(files, request, rates, show=show)


def _predict_all(paths, members, source, request, on):
    """Completes every member's file; images per second of each."""
    # All of them are opened before the first is worked on: the last may be another run's.
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(_writer_of(path, member, source, request, on))
                   for member, path in zip(members, paths, strict=True)]
        return [_complete(writer, member, source, request, on)
                for member, writer in zip(members, writers, strict=True)]


def open_split(member, request):
    """The Source to score on, with the classes of `member`; UsageError when it cannot serve."""
    data = member.config.replace(**request.given).data
    source = open_source(data, data.eval_split, lambda names: refuse_other_classes(
        member.class_names, names, f"--model_dir={member.model_dir}", f"--dataset={data.dataset}"))
    _refuse_unlabelled(request, source)
    _check_names(request, source)
    return source


def devices_for(request, config):
    """Context of the Devices that `request`, or else the run of `config`, asks for."""
    runtime = config.replace(**request.given).runtime
    # Not the run's own: how long an update may take says nothing of a pass over 144 views.
    stall = request.given.get("stall_timeout_s", Runtime.stall_timeout_s)
    return devices(runtime.strategy, runtime.startup_timeout_s, stall)


def score_files(paths, request, rates=(), search=False, show=lambda result: None):
    """Scores predictions files, each and their mean, without running a network.

    Args:
        paths: of files of the same images in the same order.
        request: its exclude, labels, submission, class_ids, report, output and command are used.
        rates: images per second of each, where they were computed just now.
        search: score every subset of the files, best first, instead.
        show: called with the result before anything is written, which may fail.

    Returns:
        dict for JSON: rows (one per network, then the ensemble; or one per subset), and
        what is needed to repeat it.

    Raises:
        UsageError: the files, an exclusion or labels do not fit together.
        StorageError: a result cannot be written; the others are.
    """
    members = [open_predictions(path) for path in paths]
    _require_same_images(members)
    for member in members:
        scores.require_finite(member.probabilities, member.example_ids)
    if request.submission:
        read_class_ids(request.class_ids, members[0].class_names)
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
    show(result)
    write_results(request, result, members, right, counted if counted.any() else ~excluded)
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
    with _writer_of(path, member, source, request, on) as writer:
        return _complete(writer, member, source, request, on, step)


def _writer_of(path, member, source, request, on):
    """Context of the member's PredictionsWriter; of None on workers that are not the chief."""
    if not on.cluster.is_chief:
        return contextlib.nullcontext()
    header = member.header(source, *how_seen(member, request, on))
    return predictions_writer(path, {**header, **id_bytes_for(source),
                                     "about": _about(member, request)})


def _complete(writer, member, source, request, on, step=None):
    protocol, passes = how_seen(member, request, on)
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
