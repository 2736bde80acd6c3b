"""The training loop: step, log, save, score, in that order."""

import contextlib
import logging
import os
from pathlib import Path

import keras

from inception_tf.data.batches import scoring_batches, training_batches
from inception_tf.data.open import open_source
from inception_tf.data.prepare import prepare_in_passing
from inception_tf.data.views import preprocessing_of
from inception_tf.errors import UsageError
from inception_tf.runs import checkpoint
from inception_tf.runs.folder import digest, make_folder, metrics_of, refuse_other_run
from inception_tf.runs.lock import locked
from inception_tf.runs.network import CHECKPOINTS, build_network, require_room_for_batch
from inception_tf.runtime.cluster import read_cluster
from inception_tf.runtime.devices import colors_on_device, gather_equal, make_strategy
from inception_tf.runtime.hang import StallWatchdog
from inception_tf.runtime.peers import naming_lost_peers
from inception_tf.runtime.profile import StepProfile
from inception_tf.runtime.progress import StepProgress, bar, scoring_line
from inception_tf.runtime.signals import Interrupted, StopSignals
from inception_tf.training import non_finite, resume
from inception_tf.training.init_from import start_new_run
from inception_tf.training.plan import (
    banner,
    check_execution,
    plan_batches,
    require_room_for_updates,
    total_steps,
)
from inception_tf.training.records import Records
from inception_tf.training.schedule import Schedule
from inception_tf.training.state import TrainState
from inception_tf.training.step import TrainStep
from inception_tf.training.validation import Scorer, logits_of

log = logging.getLogger("inception_tf")


def train(config):
    """Trains as `config` says, going on from the newest checkpoint in its model_dir.

    Of several workers (TF_CONFIG, SLURM) the first is the chief, the only one that
    writes; all need to see its model_dir to go on from a checkpoint.

    Returns:
        The last scoring: name -> number, as in validation/metrics.csv.

    Raises:
        InceptionError: see errors.py for the kinds and their exit codes.
    """
    cluster = read_cluster(os.environ, config.runtime.strategy)
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(StopSignals())
        stop.stands = lambda: checkpoint.what_stands(Path(config.runtime.model_dir) / CHECKPOINTS)
        stack.enter_context(naming_lost_peers(cluster.peers))
        lock = None
        if cluster.is_chief:
            lock = stack.enter_context(locked(make_folder(config.runtime.model_dir)))
        with stop.at_once():
            run = Run(config, cluster, stop, lock)
        stack.enter_context(run.watchdog)
        stack.callback(run.close)
        return run.train()


class Run:
    """One training run: its data, devices, state, step and records.

    lock: the FolderLock of its model_dir; None on workers that write nothing.
    """

    def __init__(self, config, cluster, stop, lock=None):
        self.config, self.cluster, self.stop = config, cluster, stop
        self.watchdog = StallWatchdog(config.runtime.stall_timeout_s)
        self.profile = StepProfile(config.execution.profile_steps,
                                   Path(config.runtime.model_dir) / "profile")
        check_execution(config)
        self.strategy = make_strategy(config.runtime.strategy, cluster,
                                      config.runtime.startup_timeout_s)
        stop.watch()
        self.batches = plan_batches(config.optimization.global_batch,
                                    config.optimization.replica_batch,
                                    self.strategy.num_replicas_in_sync)
        low, high = cluster.part(self.batches.pass_batch)
        require_room_for_batch(config.network, high - low, "--replica_batch")
        self._agree("settings", digest(config))
        self._open_data()
        self.schedule = Schedule(config.optimization, self.source.num_examples)
        self.total = total_steps(config, self.source.num_examples)
        self.profile.require_within(self.total)
        require_room_for_updates(config, self.batches, (high - low) / self.batches.pass_batch,
                                 self.total)
        self.checkpoints = Path(config.runtime.model_dir) / CHECKPOINTS
        if cluster.is_chief:
            refuse_other_run(config)
            log.info(banner(config, self.batches, self.source.num_examples,
                            self.source.num_classes))
        self._build()
        self.step, self.bad_examples = self._restore()
        self._agree("newest checkpoint (is --model_dir shared?)", self.step)
        if cluster.is_chief:
            self.records = Records(config, self.step, lock)

    def train(self):
        """Runs to the last step; returns the last scoring."""
        every = self.config.runtime
        scores = self._scores_so_far()
        first = self.step + 1
        stream = self._stream()
        progress = StepProgress(self.total, self.step, self.batches.global_batch)
        try:
            if self.step and scores is None and self._due_epochs(every.eval_every_epochs):
                scores = self.score()  # the run was stopped between its update and its scoring
            while self.step < self.total:
                metrics = self._advance(stream, progress)
                if self._due(every.log_every_steps) and self.cluster.is_chief:
                    self._log(progress, metrics, stream)
                if metrics["stop"]:
                    self.stop.interrupt()
                score_due = self._due_epochs(every.eval_every_epochs)
                save_due = self._due_epochs(every.checkpoint_every_epochs)
                if save_due:
                    self.save(stream)
                if score_due:
                    scores = self.score()
                if score_due or save_due or self.step == first:
                    progress.restart_clock(self.step)
            self._finish()
            return scores
        except Interrupted:
            self.save(stream)
            self._finish()
            raise
        finally:
            progress.close()
            stream.close()

    def score(self):
        """Error rates of raw and averaged weights on the whole validation split."""
        number = self.held_out.num_examples
        with self._scoring_stream.rewound() as stream:
            batches = bar(stream, -(-number // self.batches.pass_batch), "batch", "validation")
            rates = self.scorer.score(self.watchdog.over(batches), number, self.stop)
        values = {"epoch": self.epoch, "num_examples": number}
        for name in ("raw", "ema"):
            for rate in ("top1_error", "top5_error", "cross_entropy"):
                values[f"{name}_{rate}"] = float(rates[name][rate])
        if self.cluster.is_chief:
            self.records.report(self.step, values)
            log.info(scoring_line(self.epoch, values))
        return values

    def save(self, stream):
        """Starts writing a checkpoint of this step, by the chief."""
        if self.cluster.is_chief:
            facts = resume.facts(self.config, self.source, self.machine, stream.bad_examples)
            self.records.save(self.step, self.state.arrays(), facts)

    def close(self):
        """Waits for a checkpoint in flight; closes the metrics files and a profile."""
        self.profile.close()
        if self.cluster.is_chief:
            self.records.close()

    @property
    def epoch(self):
        """Passes over the training split so far."""
        return self.step / self.schedule.steps_per_epoch

    def _agree(self, what, number):
        if self.cluster.peers and not gather_equal(self.strategy, number):
            raise UsageError(f"the workers do not have the same {what}; this is worker "
                             f"{self.cluster.index} of {len(self.cluster.workers)}")

    def _open_data(self):
        data = self.config.data
        if data.manual_dir and self.cluster.is_chief:
            prepare_in_passing(data)
        self._agree("data", 0)  # the others wait here while the chief prepares
        self.source = open_source(data, data.train_split)
        self.held_out = open_source(data, data.eval_split)
        if self.source.class_names != self.held_out.class_names:
            raise UsageError(f"--eval_split={data.eval_split} has other classes than "
                             f"--train_split={data.train_split}")

    def _build(self):
        execution = self.config.execution
        keras.utils.set_random_seed(self.config.runtime.seed)
        with self.strategy.scope():
            self.model = build_network(self.config.network, self.source.num_classes,
                                       precision=execution.precision)
            start_new_run(self.config, self.model, self.source.class_names)
        self.state = TrainState(self.strategy, self.model, self.config.optimization,
                                execution.precision)
        self.step_function = TrainStep(self.strategy, self.model, self.state, self.schedule,
                                       self.config.runtime.seed, execution, self.config.data.color)
        self.scorer = Scorer(self.strategy, logits_of(self.model, self.state))
        size = self.batches.pass_batch
        self._scoring_stream = scoring_batches(
            self.held_out, self.config.data, batch_size=size, part=self.cluster.part(size),
            preprocessing=preprocessing_of(self.config.network, self.config.data),
            **self._label_settings())

    def _restore(self):
        def check(arrays, facts):
            resume.check(facts, self.config, self.source)
            self.state.check(arrays)

        self.machine = resume.machine_of(self.strategy, self.cluster)
        found = checkpoint.load_newest(self.checkpoints, log.warning, check)
        if found is None:
            return 0, {}
        arrays, facts = found
        self.state.load(arrays)
        log.info("going on from step %d in %s", facts["step"], self.checkpoints)
        resume.warn_of_other_machine(facts, self.machine)
        return facts["step"], facts["bad_examples"]

    def _stream(self):
        stream = training_batches(
            self.source, self.config.data, seed=self.config.runtime.seed,
            start=self.step * self.batches.global_batch, batch_size=self.batches.pass_batch,
            prefetch=max(2, self.batches.passes * self.config.execution.steps_per_call),
            part=self.cluster.part(self.batches.pass_batch),
            color_on_device=colors_on_device(self.config.execution.color_on),
            image_size=self.config.network.image_size, **self._label_settings())
        stream.bad_examples.update(self.bad_examples)  # those the run met before it stopped
        return stream

    def _label_settings(self):
        return {
            "num_classes": self.source.num_classes,
            "label_offset": int(self.config.network.background_class),
        }

    def _advance(self, stream, progress):
        """The updates of one call, up to the next thing to do; the last one's metrics."""
        self.profile.at(self.step)
        with progress.waiting():
            steps = [[next(stream) for _ in range(self.batches.passes)]
                     for _ in range(self._call_length())]
        for batches, metrics in zip(steps, self.step_function.several(
                steps, self.stop.requested), strict=False):
            if not metrics["is_finite"]:
                non_finite.report(self.step_function, batches, self.step, self.source,
                                  self.config.execution)
            self.step += 1
            progress.advance()
        self.watchdog.beat()
        if self.cluster.is_chief:
            self.records.check()
        return metrics

    def _call_length(self):
        """Updates until something is due, `steps_per_call` at most."""
        every = self.config.runtime
        periods = (every.log_every_steps, self._period(every.eval_every_epochs),
                   self._period(every.checkpoint_every_epochs))
        return min(self.config.execution.steps_per_call, self.total - self.step,
                   self.profile.left(self.step), *(p - self.step % p for p in periods))

    def _log(self, progress, metrics, stream):
        values = {name: float(metrics[name]) for name in
                  ("loss", "cross_entropy", "error", "learning_rate", "grad_norm")}
        shown = {"epoch": self.epoch, "loss": values["loss"], "lr": values["learning_rate"],
                 "grad norm": values["grad_norm"]}
        rate = progress.report(self.step, shown)
        self.records.log(self.step, {
            "epoch": self.epoch, **values, "images_per_second": rate,
            "bad_examples": len(stream.bad_examples),
            "skipped_steps": int(self.state.skipped.numpy())})

    def _due(self, every):
        return self.step % every == 0 or self.step == self.total

    def _due_epochs(self, epochs):
        return self._due(self._period(epochs))

    def _period(self, epochs):
        return max(1, self.schedule.steps(epochs)) if epochs else self.total

    def _finish(self):
        if self.cluster.is_chief:
            self.records.finish()

    def _scores_so_far(self):
        """The scoring of this very step, when a run before this one made it."""
        rows = metrics_of(self.config.runtime.model_dir, "validation")
        if not rows or rows[-1].pop("step") != self.step:
            return None
        return rows[-1]
