"""Networks over a split: their probabilities into files, from which results.py takes the scores."""

import contextlib
import dataclasses
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from inception_tf.config import Config, Runtime
from inception_tf.data.open import open_source
from inception_tf.data.sources import Source
from inception_tf.data.views import protocol_of
from inception_tf.errors import StorageError, UsageError
from inception_tf.evaluation import targets
from inception_tf.evaluation.inference import (
    Passes,
    ViewStep,
    plan_passes,
    predict_split,
    view_step,
)
from inception_tf.evaluation.members import Member, load_members, refuse_other_classes
from inception_tf.evaluation.predictions_file import PredictionsWriter, predictions_writer
from inception_tf.evaluation.predictions_header import id_bytes_for
from inception_tf.evaluation.request import ScoringRequest
from inception_tf.evaluation.results import check_results, score_files
from inception_tf.evaluation.submission import read_class_ids
from inception_tf.runtime.devices import Devices, devices
from inception_tf.runtime.hardware import device_names, unused_gpu
from inception_tf.runtime.provenance import versions

log = logging.getLogger("inception_tf")


@dataclasses.dataclass(frozen=True)
class Scoring:
    """What the networks of one request have in common.

    request: what is asked for.
    source: the split, from `open_split`.
    on: the devices, from `devices_for`.
    """

    request: ScoringRequest
    source: Source
    on: Devices

    def passes(self, member: Member) -> Passes:
        """How a network gets its images."""
        protocol = protocol_of(self.request.crops, self.request.scales,
                               member.config.network.image_size)
        return plan_passes(self.request.batch_size, self.on.number, protocol)

    def header(self, member: Member) -> dict[str, Any]:
        """What identifies the predictions of a network: predictions_header.IDENTITY."""
        passes = self.passes(member)
        return {
            "dataset": self.source.name,
            "split": self.source.split,
            "data_fingerprint": self.source.fingerprint,
            "num_examples": self.source.num_examples,
            "class_names": list(member.class_names),
            "network": member.config.network.net,
            "weights": member.weights,
            "checkpoint_sha256": member.checkpoint_sha256,
            "protocol": dataclasses.asdict(passes.protocol),
            "preprocessing": dataclasses.asdict(member.preprocessing),
            "images_per_pass": passes.images,
            "views_per_pass": passes.views,
        }

    def writer(self, path: str, member: Member,
               ) -> contextlib.AbstractContextManager[PredictionsWriter | None]:
        """Context of a network's PredictionsWriter; of None on workers that are not the chief."""
        if not self.on.cluster.is_chief:
            return contextlib.nullcontext()
        about = {
            "model_dir": member.model_dir,
            "step": member.manifest["step"],
            "config": dataclasses.asdict(member.config.replace(**self.request.given)),
            "command": list(self.request.command),
            "versions": versions(),
        }
        return predictions_writer(
            path, {**self.header(member), **id_bytes_for(self.source), "about": about})

    def step(self, member: Member) -> ViewStep:
        """The compiled network."""
        return view_step(member, self.source, self.passes(member), self.on)

    def predict(self, member: Member, writer: PredictionsWriter | None,
                step: ViewStep | None = None) -> float | None:
        """Completes the predictions of a network: inference.predict_split."""
        return predict_split(member, self.source, writer, self.passes(member), self.on, step)


def score_networks(request: ScoringRequest,
                   show: Callable[[dict[str, Any]], None] = lambda result: None,
                   ) -> dict[str, Any] | None:
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
    members = load_members(request.model_dirs, request.weights, request.given,
                           request.checkpoint)
    source = open_split(members[0], request)
    with devices_for(request, members[0].config) as on:
        if on.cluster.is_chief:
            check_results(request, request.predictions)
            announce(members, source, on)
        with _predictions_paths(request) as paths:
            rates = _predict_all(paths, members, Scoring(request, source, on))
            if not on.cluster.is_chief:
                return None
            return score_files(paths, request, show, rates)


def open_split(member: Member, request: ScoringRequest) -> Source:
    """The Source to score on, with the classes of `member`; UsageError when it cannot serve."""
    data = member.config.replace(**request.given).data
    source = open_source(data, data.eval_split, lambda names: refuse_other_classes(
        member.class_names, names, f"--model_dir={member.model_dir}", f"--dataset={data.dataset}"))
    _refuse_unlabelled(request, source)
    _check_names(request, source)
    return source


def announce(members: Sequence[Member], source: Source, on: Devices) -> None:
    """Logs what is scored on what, and whether a GPU is left unused."""
    networks = ", ".join(f"{m.model_dir} (step {m.manifest['step']})" for m in members)
    log.info("scoring %s on %d images of %s (%s) in %s; devices: %s", networks,
             source.num_examples, source.name, source.split, source.place,
             device_names(on.strategy))
    if warning := unused_gpu():
        log.warning("warning: %s", warning)


@contextlib.contextmanager
def devices_for(request: ScoringRequest, config: Config,
                stands: Callable[[], str] = str) -> Iterator[Devices]:
    """The `devices`, with their watchdog, that `request`, or else the run of `config`, asks for."""
    runtime = config.replace(**request.given).runtime
    # Not the run's own: how long an update may take says nothing of a pass over 144 views.
    stall = request.given.get("stall_timeout_s", Runtime.stall_timeout_s)
    with (devices(runtime.strategy, runtime.startup_timeout_s, stall, stands) as on,
          on.watchdog):
        yield on


def _predict_all(paths, members, scoring):
    """Completes every member's file; images per second of each."""
    # All of them are opened before the first is worked on: the last may be another run's.
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(scoring.writer(path, member))
                   for member, path in zip(members, paths, strict=True)]
        return [scoring.predict(member, writer)
                for member, writer in zip(members, writers, strict=True)]


@contextlib.contextmanager
def _predictions_paths(request):
    """Paths to keep each network's probabilities in: those asked for, else temporary ones.

    Where only the writing of a result failed they stay, and the error says how to use them.
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
        raise StorageError(f"{error}; the probabilities are kept: the same command resumes with "
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
