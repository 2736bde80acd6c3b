"""The training loop: step, log, save, score, in that order."""

import contextlib
import logging
import os
import time

import tensorflow as tf

from inception_tf.config import Config
from inception_tf.runs.folder import locked, make_folder
from inception_tf.runs.metrics import metrics_of
from inception_tf.runtime.cluster import read_cluster
from inception_tf.runtime.devices import devices, has_accelerator, set_arithmetic
from inception_tf.runtime.profile import StepProfile
from inception_tf.runtime.progress import StepProgress, bar
from inception_tf.runtime.signals import Interrupted
from inception_tf.training import closing, non_finite
from inception_tf.training.means import Means
from inception_tf.training.plan import check_execution, out_of_memory
from inception_tf.training.records import Records, records_of
from inception_tf.training.replica import Batch
from inception_tf.training.setup import Setup, scoring_stream, set_up, training_stream
from inception_tf.training.step import Call

log = logging.getLogger("inception_tf")

# Calls whose length we choose take no longer, so that a request to stop is soon heard.
CALL_S = 2.0


def train(config: Config) -> dict[str, float] | None:
    """Trains as `config` says, resuming from the newest checkpoint in its model_dir.

    Of several workers (TF_CONFIG, SLURM) the first is the chief, the only one that
    writes; all need to see its model_dir to resume from a checkpoint.

    Returns:
        The last scoring: name -> number, as in validation/metrics.csv.

    Raises:
        InceptionError: see errors.py for the kinds and their exit codes.
    """
    runtime, began = config.runtime, time.monotonic()
    profile = StepProfile(config.execution.profile_steps, f"{runtime.model_dir}/profile")
    check_execution(config)
    set_arithmetic(config.execution.deterministic, config.execution.tf32)
    is_chief = read_cluster(os.environ, runtime.strategy).is_chief
    with contextlib.ExitStack() as stack:
        lock = stack.enter_context(locked(make_folder(runtime.model_dir))) if is_chief else None
        on = stack.enter_context(devices(
            runtime.strategy, runtime.startup_timeout_s, runtime.stall_timeout_s,
            stands=lambda: closing.what_stands(runtime)))
        with on.stop.at_once():
            setup = set_up(config, on, profile)
            records = records_of(setup, lock)
        stack.enter_context(on.watchdog)
        stack.callback(records.close)
        scores = Run(setup, records).train()
        if is_chief:
            log.info(closing.closing_lines(setup.plan, setup.step, time.monotonic() - began))
        return scores


class Run:
    """The loop over a Setup.

    On a GPU one call is in flight while the next is prepared: the device never waits for Python.
    Nothing is in flight where the state is looked at: at a save, a scoring, the run's end.

    step: updates completed.
    """

    def __init__(self, setup: Setup, records: Records) -> None:
        self.setup, self.records = setup, records
        self.plan, self.on, self.step = setup.plan, setup.on, setup.step
        self._first, self._stopping = setup.step, False
        self._stream = training_stream(setup)
        self._scoring_stream = scoring_stream(setup)
        self._taken_back: list[list[Batch]] = []
        self._in_flight: Call | None = None
        self._runs_ahead = has_accelerator()  # a CPU computes where it is called
        self._seconds = 0.0  # of an update; 0: not known yet
        self._read_at: float | None = None  # when the call before was read, if nothing came between
        self._means = Means(setup.unlogged)
        self._skipped = int(setup.state.skipped.numpy())
        every, size = self.plan.config.runtime, self.plan.batches.global_batch
        self._progress = StepProgress(self.plan.total, self.step, size,
                                      self.plan.period(every.eval_every_epochs),
                                      is_quiet=not self.on.cluster.is_chief)

    def train(self) -> dict[str, float] | None:
        """Runs to the last step; returns the last scoring."""
        try:
            scores = self._steps()
        except Interrupted:
            self.save()
            self.records.finish()
            raise
        except tf.errors.ResourceExhaustedError:
            raise out_of_memory(self.plan.config, self.plan.batches) from None
        finally:
            self.setup.profile.close()
            self._progress.close()
            self._stream.close()
        return scores

    def _steps(self):
        every, first = self.plan.config.runtime, self.step + 1
        compiles = self.setup.update.compilation.passes and first <= self.plan.total
        if compiles and self.on.cluster.is_chief:
            log.info("the first update waits for XLA to compile it: one to four minutes on a GPU")
        scores = self._scores_so_far()
        if self.step and scores is None and self._due_epochs(every.eval_every_epochs):
            scores = self.score()  # the run was stopped between its update and its scoring
        while self.step < self.plan.total:
            metrics = self._advance()
            if self._due(every.log_every_steps):
                self._log(metrics)
            if self._stopping and not self._in_flight:
                self.on.stop.interrupt()
            if save_due := self._due_epochs(every.checkpoint_every_epochs):
                self.save()
            if score_due := self._due_epochs(every.eval_every_epochs):
                scores = self.score()
            if score_due or save_due or self.step == first:
                self._progress.restart_clock(self.step)
                self._read_at = None
        self.records.finish()
        return scores

    def _advance(self):
        """The updates of one call, up to the next thing to do; the last one's metrics."""
        call = self._in_flight or self._dispatch(self.step)
        end = self.step + len(call.steps)
        self._in_flight = self._dispatch(end) if self._may_run_ahead(end) else None
        with self._progress.computing():
            rows = call.rows()
        now = time.monotonic()
        if self._read_at and rows:
            self._seconds = (now - self._read_at) / len(rows)
        self._read_at = now
        if any(metrics["held"] for metrics in rows):
            self._take_back(call.steps[len(rows):])
        for batches, metrics in zip(call.steps, rows, strict=False):
            if not metrics["is_finite"]:
                non_finite.report(metrics, self.setup.update, batches, self.step, self.plan.source,
                                  self.plan.config.execution)
            self._skipped += not metrics["is_finite"]
            self._means.add(metrics)
            self.step += 1
            self._progress.advance()
        self._stopping |= metrics["stop"]
        self.on.watchdog.beat()
        self.records.check()
        return metrics

    def _dispatch(self, step):
        """The Call of the updates from `step` up to the next thing to do."""
        self.setup.profile.at(step)
        with self._progress.waiting(is_computing=step > self.step):
            steps = [self._next_step() for _ in range(self._call_length(step))]
        if step == self._first:
            self.records.show(step, steps[0][0])
        return self.setup.update.dispatch(steps, self.on.stop.requested)

    def _next_step(self):
        if self._taken_back:
            return self._taken_back.pop(0)
        return [next(self._stream) for _ in range(self.plan.batches.passes)]

    def _may_run_ahead(self, step):
        """Whether the call that starts at `step` may be made before the one before it is read.

        The answer is the same on all workers: a request to stop counts when all have heard of it.
        """
        every = self.plan.config.runtime
        return (self._runs_ahead and self._first < self.step and step < self.plan.total
                and not self._stopping and not self.setup.profile.is_edge(step)
                and not any(step % self.plan.period(epochs) == 0 for epochs in
                            (every.checkpoint_every_epochs, every.eval_every_epochs)))

    def _take_back(self, steps):
        """Has batches trained on again: `steps`, and those in flight, which change nothing."""
        self._taken_back = [*steps, *(self._in_flight.steps if self._in_flight else ()),
                            *self._taken_back]
        if self._in_flight:
            self._in_flight.rows()
            self._in_flight = None

    def _call_length(self, step):
        """Updates until something is due, `steps_per_call` at most."""
        every, most = self.plan.config.runtime, self.plan.steps_per_call
        if self._seconds and not self.plan.config.execution.steps_per_call:
            most = max(1, min(most, int(CALL_S / self._seconds)))
        periods = (every.log_every_steps, self.plan.period(every.eval_every_epochs),
                   self.plan.period(every.checkpoint_every_epochs))
        return min(most, self.plan.total - step,
                   self.setup.profile.left(step), *(p - step % p for p in periods))

    def _log(self, metrics):
        values = {**self._means.take(),
                  **{name: float(metrics[name]) for name in ("learning_rate", "grad_norm")}}
        rate = self._progress.report(self.step, {
            "epoch": self.epoch, "loss": values["loss"], "lr": values["learning_rate"],
            "grad norm": values["grad_norm"]})
        self.records.log(self.step, {
            "epoch": self.epoch, **values, "images_per_second": rate,
            "bad_examples": len(self._stream.bad_examples), "skipped_steps": self._skipped})

    def save(self) -> None:
        """Starts writing a checkpoint of this step."""
        self.records.save(self.step, self.setup.state,
                          self.setup.entries(self._stream.bad_examples, self._means.sums))

    def score(self) -> dict[str, float]:
        """Error rates of raw and averaged weights on the whole validation split."""
        number = self.plan.held_out.num_examples
        with self._progress.scoring(), self._scoring_stream.rewound() as stream:
            batches = bar(stream, -(-number // self.plan.batches.pass_batch), "batch", "validation",
                          is_quiet=not self.on.cluster.is_chief)
            rates = self.setup.scorer.score(self.on.watchdog.over(batches), number, self.on.stop)
        values = {"epoch": self.epoch, "num_examples": number}
        for name in ("raw", "ema"):
            for rate in ("top1_error", "top5_error", "cross_entropy"):
                values[f"{name}_{rate}"] = float(rates[name][rate])
        self.records.report(self.step, values)
        return values

    @property
    def epoch(self) -> float:
        """Passes over the training split so far."""
        return self.step / self.plan.schedule.steps_per_epoch

    def _due(self, every):
        return self.step % every == 0 or self.step == self.plan.total

    def _due_epochs(self, epochs):
        return self._due(self.plan.period(epochs))

    def _scores_so_far(self):
        """The scoring of this very step, when a run before this one made it."""
        rows = metrics_of(self.plan.config.runtime.model_dir, "validation")
        if not rows or rows[-1].pop("step") != self.step:
            return None
        return rows[-1]
