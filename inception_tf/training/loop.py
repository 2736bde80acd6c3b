"""The training loop: step, log, save, score, in that order."""

import contextlib
import os

from inception_tf.config import Config
from inception_tf.runs import checkpoint
from inception_tf.runs.folder import checkpoints_of, locked, make_folder
from inception_tf.runs.metrics import metrics_of
from inception_tf.runtime.cluster import read_cluster
from inception_tf.runtime.devices import devices
from inception_tf.runtime.profile import StepProfile
from inception_tf.runtime.progress import StepProgress, bar
from inception_tf.runtime.signals import Interrupted
from inception_tf.training import non_finite
from inception_tf.training.plan import check_execution
from inception_tf.training.records import Records, records_of
from inception_tf.training.setup import Setup, scoring_stream, set_up, training_stream


def train(config: Config) -> dict[str, float] | None:
    """Trains as `config` says, resuming from the newest checkpoint in its model_dir.

    Of several workers (TF_CONFIG, SLURM) the first is the chief, the only one that
    writes; all need to see its model_dir to resume from a checkpoint.

    Returns:
        The last scoring: name -> number, as in validation/metrics.csv.

    Raises:
        InceptionError: see errors.py for the kinds and their exit codes.
    """
    runtime = config.runtime
    profile = StepProfile(config.execution.profile_steps, f"{runtime.model_dir}/profile")
    check_execution(config)
    is_chief = read_cluster(os.environ, runtime.strategy).is_chief
    with contextlib.ExitStack() as stack:
        lock = stack.enter_context(locked(make_folder(runtime.model_dir))) if is_chief else None
        on = stack.enter_context(devices(
            runtime.strategy, runtime.startup_timeout_s, runtime.stall_timeout_s,
            stands=lambda: checkpoint.what_stands(checkpoints_of(runtime.model_dir))))
        with on.stop.at_once():
            setup = set_up(config, on, profile)
            records = records_of(setup, lock)
        stack.enter_context(on.watchdog)
        stack.callback(records.close)
        return Run(setup, records).train()


class Run:
    """The loop over a Setup.

    step: updates completed.
    """

    def __init__(self, setup: Setup, records: Records) -> None:
        self.setup, self.records = setup, records
        self.plan, self.on, self.step = setup.plan, setup.on, setup.step
        self._stream = training_stream(setup)
        self._scoring_stream = scoring_stream(setup)
        self._progress = StepProgress(self.plan.total, self.step, self.plan.batches.global_batch,
                                      is_quiet=not self.on.cluster.is_chief)

    def train(self) -> dict[str, float] | None:
        """Runs to the last step; returns the last scoring."""
        try:
            scores = self._steps()
        except Interrupted:
            self.save()
            self.records.finish()
            raise
        finally:
            self.setup.profile.close()
            self._progress.close()
            self._stream.close()
        return scores

    def _steps(self):
        every, first = self.plan.config.runtime, self.step + 1
        scores = self._scores_so_far()
        if self.step and scores is None and self._due_epochs(every.eval_every_epochs):
            scores = self.score()  # the run was stopped between its update and its scoring
        while self.step < self.plan.total:
            metrics = self._advance()
            if self._due(every.log_every_steps):
                self._log(metrics)
            if metrics["stop"]:
                self.on.stop.interrupt()
            if save_due := self._due_epochs(every.checkpoint_every_epochs):
                self.save()
            if score_due := self._due_epochs(every.eval_every_epochs):
                scores = self.score()
            if score_due or save_due or self.step == first:
                self._progress.restart_clock(self.step)
        self.records.finish()
        return scores

    def _advance(self):
        """The updates of one call, up to the next thing to do; the last one's metrics."""
        self.setup.profile.at(self.step)
        with self._progress.waiting():
            steps = [[next(self._stream) for _ in range(self.plan.batches.passes)]
                     for _ in range(self._call_length())]
        rows = self.setup.update.several(steps, self.on.stop.requested)
        for batches, metrics in zip(steps, rows, strict=False):
            if not metrics["is_finite"]:
                non_finite.report(self.setup.update, batches, self.step, self.plan.source,
                                  self.plan.config.execution)
            self.step += 1
            self._progress.advance()
        self.on.watchdog.beat()
        self.records.check()
        return metrics

    def _call_length(self):
        """Updates until something is due, `steps_per_call` at most."""
        every = self.plan.config.runtime
        periods = (every.log_every_steps, self.plan.period(every.eval_every_epochs),
                   self.plan.period(every.checkpoint_every_epochs))
        return min(self.plan.config.execution.steps_per_call, self.plan.total - self.step,
                   self.setup.profile.left(self.step), *(p - self.step % p for p in periods))

    def _log(self, metrics):
        values = {name: float(metrics[name]) for name in
                  ("loss", "cross_entropy", "error", "learning_rate", "grad_norm")}
        rate = self._progress.report(self.step, {
            "epoch": self.epoch, "loss": values["loss"], "lr": values["learning_rate"],
            "grad norm": values["grad_norm"]})
        self.records.log(self.step, {
            "epoch": self.epoch, **values, "images_per_second": rate,
            "bad_examples": len(self._stream.bad_examples),
            "skipped_steps": int(self.setup.state.skipped.numpy())})

    def save(self) -> None:
        """Starts writing a checkpoint of this step."""
        self.records.save(self.step, self.setup.state,
                          self.setup.entries(self._stream.bad_examples))

    def score(self) -> dict[str, float]:
        """Error rates of raw and averaged weights on the whole validation split."""
        number = self.plan.held_out.num_examples
        with self._scoring_stream.rewound() as stream:
            batches = bar(stream, -(-number // self.plan.batches.pass_batch), "batch", "validation")
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
