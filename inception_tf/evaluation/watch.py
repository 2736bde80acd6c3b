"""Scores each checkpoint of a run once, while the run continues.

    MODEL_DIR/watch/NAME/   what was scored: see evaluation.watch_log

NAME is the split, the number of views and the weights, and a digest of all else that a
score depends on besides the checkpoint: the same scoring continues in its folder, another
gets its own.
"""

import contextlib
import datetime
import hashlib
import json
import logging
import os
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from inception_tf.config import Runtime
from inception_tf.errors import CheckpointError, StorageError, UsageError
from inception_tf.evaluation.inference import ViewStep
from inception_tf.evaluation.members import Member, member_of
from inception_tf.evaluation.request import ScoringRequest
from inception_tf.evaluation.results import score_files
from inception_tf.evaluation.scoring import Scoring, announce, devices_for, open_split
from inception_tf.evaluation.watch_log import open_watch_log
from inception_tf.runs import checkpoint
from inception_tf.runs.folder import CHECKPOINTS, CONFIG, read_config
from inception_tf.runtime.cluster import read_cluster
from inception_tf.runtime.devices import Devices
from inception_tf.runtime.provenance import path_and_sha256, versions

log = logging.getLogger("inception_tf")

FOLDER = "watch"
POLL_SECONDS = 2.0
# Of a header: what a score does not depend on, or what every row says of itself.
_NOT_HOW = ("class_names", "checkpoint_sha256", "images_per_pass", "views_per_pass")


def watch(request: ScoringRequest, show: Callable[[dict[str, Any]], None]) -> None:
    """Scores the checkpoints of request.model_dirs[0], old to new, until the run's last one.

    The last is that of the step at which training said it would end, or the only one of a
    folder that no training wrote. `show` is called with the row of each.

    Raises:
        Interrupted: a stop signal came; what was scored is on record.
        InceptionError: see errors.py for the kinds and their exit codes.
    """
    if read_cluster(os.environ).peers:
        raise UsageError("--watch is for one process: unset TF_CONFIG")
    (model_dir,) = request.model_dirs
    config = _await_config(model_dir, request)
    with contextlib.ExitStack() as stack:
        on = stack.enter_context(devices_for(
            request, config, lambda: "what was scored is on record, the same command resumes"))
        Watch(request, on, show, stack).run()


def _await_config(model_dir, request):
    """The run's Config; one that is just being started has --startup_timeout_s to write it."""
    seconds = request.given.get("startup_timeout_s", Runtime.startup_timeout_s)
    path, deadline = Path(model_dir) / CONFIG, time.monotonic() + seconds
    if not path.is_file():
        log.info("waiting for %s (--startup_timeout_s=%g)", path, seconds)
    while not path.is_file() and time.monotonic() < deadline:
        time.sleep(min(POLL_SECONDS, seconds))
    return read_config(model_dir)


class Watch:
    """Which checkpoints of a run were seen."""

    def __init__(self, request: ScoringRequest, on: Devices,
                 show: Callable[[dict[str, Any]], None], stack: contextlib.ExitStack):
        self._request, self._on, self._show, self._stack = request, on, show, stack
        self._model_dir = request.model_dirs[0]
        self._root = Path(self._model_dir) / CHECKPOINTS
        self._seen = set()
        self._scorer: CheckpointScorer | None = None

    def run(self) -> None:
        """Returns when the last checkpoint was seen."""
        self._look_at_all()
        if not self._is_over():
            log.info("waiting for checkpoints in %s", self._root)
        while not self._is_over():
            self._pause()
            self._look_at_all()
        if self._scorer is not None:
            self._scorer.say_end()

    def _look_at_all(self):
        for step in checkpoint.steps(self._root):
            self._look_at(step)

    def _look_at(self, step):
        """Scores one checkpoint, unless that was done or it cannot be."""
        folder = checkpoint.folder_of(self._root, step)
        try:
            version = _version(folder)
            if version in self._seen:
                return
            self._seen.add(version)
            manifest = checkpoint.read_manifest(folder)
            member = self._member(manifest)
            scorer = self._scorer_of(member)
            if scorer.has(member):
                return
            arrays, manifest = checkpoint.load_checked(self._root, step)
        except (CheckpointError, FileNotFoundError) as error:
            reason = error if folder.exists() else "deleted before it was scored"
            log.warning("checkpoint of step %d skipped: %s", step, reason)
            return
        self._show(scorer.score(self._member(manifest, arrays)))

    def _member(self, manifest, arrays=None):
        request = self._request
        return member_of(self._model_dir, manifest, request.weights, request.given, arrays)

    def _scorer_of(self, member):
        """The scorer, made for the first checkpoint; the others must be like it."""
        if self._scorer is None:
            self._scorer = CheckpointScorer(self._request, self._on, member, self._stack)
        elif self._scorer.how_scored(member) != self._scorer.how:
            raise UsageError(f"--model_dir={self._model_dir} holds another run since --watch began")
        return self._scorer

    def _is_over(self):
        """Whether the newest checkpoint was seen and is the last that there will be."""
        found = checkpoint.steps(self._root)
        if not found:
            return False
        folder = checkpoint.folder_of(self._root, found[-1])
        try:
            manifest = checkpoint.read_manifest(folder)
            was_seen = _version(folder) in self._seen
        except (CheckpointError, FileNotFoundError):
            return False
        is_last = "origin" in manifest or found[-1] >= manifest.get("last_step", float("inf"))
        return was_seen and is_last

    def _pause(self):
        """Waits a little; a stop signal ends it."""
        self._on.watchdog.beat()
        if not Path(self._model_dir).is_dir():
            raise StorageError(f"--model_dir={self._model_dir} was removed or moved away")
        with self._on.stop.at_once():
            if self._on.stop.requested:
                self._on.stop.interrupt()
            time.sleep(POLL_SECONDS)


class CheckpointScorer:
    """One way to score all checkpoints of a run: its data, its log, a network built once."""

    def __init__(self, request: ScoringRequest, on: Devices, member: Member,
                 stack: contextlib.ExitStack):
        self._scoring = Scoring(request, open_split(member, request), on)
        announce([member], self._scoring.source, on)
        self._step: ViewStep | None = None
        self._count = 0
        self.how = self.how_scored(member)
        folder = Path(member.model_dir) / FOLDER / _name(self.how)
        self._log = stack.enter_context(open_watch_log(folder))

    def how_scored(self, member: Member) -> dict[str, Any]:
        """All that the scores of a Member depend on, but its weights."""
        header, request = self._scoring.header(member), self._scoring.request
        files = {name: (path_and_sha256(getattr(request, name)) or {}).get("sha256")
                 for name in ("exclude", "labels")}
        return {**{k: v for k, v in header.items() if k not in _NOT_HOW}, **files}

    def has(self, member: Member) -> bool:
        """Whether a checkpoint was scored."""
        return self._log.has(member.manifest["step"], member.checkpoint_sha256)

    def score(self, member: Member) -> dict[str, Any]:
        """Scores a Member; the row that was logged."""
        with tempfile.TemporaryDirectory(prefix="inception_tf-") as scratch:
            path = str(Path(scratch) / "0.predictions")
            with self._scoring.writer(path, member) as writer:
                rate = self._scoring.predict(member, writer, self._step_with(member))
            rows = score_files([path], self._scoring.request, rates=[rate])["rows"]
        if not rows:
            raise UsageError("--watch: no image is left to be counted")
        numbers = {k: v for k, v in rows[0].items() if k not in ("networks", "models", "paper")}
        row = {"step": member.manifest["step"], "checkpoint_sha256": member.checkpoint_sha256,
               **numbers, "how": self.how, "versions": versions(),
               "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")}
        self._log.add(row)
        self._count += 1
        return row

    def say_end(self) -> None:
        """Logs how many checkpoints were scored, and where that is kept."""
        log.info("the run's last checkpoint is scored: %d now, %d in all in %s", self._count,
                 len(self._log.rows), self._log.path)

    def _step_with(self, member):
        """The ViewStep, built and traced once, with the weights of `member`."""
        if self._step is None:
            self._step = self._scoring.step(member)
        else:
            self._step.load(member)
        return self._step


def _version(folder):
    """Tells a checkpoint from one that a resumed training wrote again at its step."""
    return folder.name, folder.stat().st_mtime_ns


def _name(how):
    digest = hashlib.sha256(json.dumps(how, sort_keys=True).encode()).hexdigest()[:8]
    split = re.sub(r"[^\w.+-]+", "_", how["split"])
    return f"{split}_{how['protocol']['crops']}_{how['weights']}_{digest}"
