"""The training loop: step, log, score, save, in that order."""

import logging

import keras
import tensorflow as tf

from inception_tf.data.batches import scoring_batches, training_batches
from inception_tf.data.prepare import prepare
from inception_tf.data.sources import open_source
from inception_tf.errors import NonFiniteError, UsageError
from inception_tf.evaluation.accuracy import Scorer
from inception_tf.evaluation.curves import draw_curves
from inception_tf.evaluation.models import build_network
from inception_tf.runtime import checkpoint
from inception_tf.runtime.lock import locked
from inception_tf.runtime.progress import StepProgress, bar
from inception_tf.runtime.signals import Interrupted, StopSignals
from inception_tf.runtime.strategy import make_strategy
from inception_tf.runtime.writers import MetricsWriter, read_metrics
from inception_tf.training.folder import make_folder, write_config
from inception_tf.training.plan import banner, plan_batches, total_steps
from inception_tf.training.schedule import Schedule
from inception_tf.training.state import TrainState, is_seed
from inception_tf.training.step import TrainStep

log = logging.getLogger("inception_tf")


def train(config):
    """Trains as `config` says, going on from the newest checkpoint in its model_dir.

    Returns:
        The last scoring: name -> number, as in validation/metrics.csv.

    Raises:
        InceptionError: see errors.py for the kinds and their exit codes.
    """
    with StopSignals() as stop, locked(make_folder(config.runtime.model_dir)):
        run = Run(config, stop)
        try:
            return run.train()
        finally:
            run.close()


class Run:
    """One training run: its data, devices, state, step and writers."""

    def __init__(self, config, stop):
        self.config, self.stop = config, stop
        self.strategy = make_strategy(config.runtime.strategy)
        self.batches = plan_batches(config.optimization.global_batch,
                                    config.optimization.replica_batch,
                                    self.strategy.num_replicas_in_sync)
        if config.data.manual_dir:
            prepare(config.data)
        self.source = open_source(config.data, config.data.train_split)
        self.held_out = open_source(config.data, config.data.eval_split)
        self._check_classes()
        self.schedule = Schedule(config.optimization, self.source.num_examples)
        self.total = total_steps(config, self.source.num_examples)
        self.checkpoints = write_config(config)
        log.info(banner(config, self.batches, self.source.num_examples, self.source.num_classes))
        self._build()
        self.step = self._restore()
        self._open_writers()

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
                self.stop.check()
                metrics = self._update(stream)
                progress.advance()
                if self._due(every.log_every_steps):
                    self._log(progress, metrics, stream)
                score_due = self._due_epochs(every.eval_every_epochs)
                save_due = self._due_epochs(every.checkpoint_every_epochs)
                if score_due:
                    scores = self.score()
                if save_due:
                    self.save(stream)
                if score_due or save_due or self.step == first:
                    progress.restart_clock(self.step)
            return scores
        except Interrupted:
            self.save(stream)
            raise
        finally:
            progress.close()
            stream.close()

    def score(self):
        """Error rates of raw and averaged weights on the whole validation split."""
        size = self.batches.pass_batch
        stream = scoring_batches(
            self.held_out, self.config.data, batch_size=size, **self._example_settings())
        number = self.held_out.num_examples
        batches = self.stop.checked(bar(stream, -(-number // size), "batch", "validation"))
        rates = self.scorer.score(batches, number)
        values = {"epoch": self.epoch, "num_examples": number}
        for name in ("raw", "ema"):
            for rate in ("top1_error", "top5_error", "cross_entropy"):
                values[f"{name}_{rate}"] = rates[name][rate]
        self.validation_writer.write(self.step, values)
        log.info("epoch %.2f  validation on %d images: top-1 error %.2f %% (raw %.2f %%), "
                 "top-5 error %.2f %% (raw %.2f %%)", self.epoch, number,
                 *(100 * values[k] for k in ("ema_top1_error", "raw_top1_error",
                                             "ema_top5_error", "raw_top5_error")))
        draw_curves(self.config.runtime.model_dir, self.config.network.net)
        return values

    def save(self, stream):
        """A checkpoint of this step; older ones beyond `keep` are deleted."""
        facts = {
            "config": self.config.to_json(),
            "class_names": list(self.source.class_names),
            "data": {"name": self.source.name, "fingerprint": self.source.fingerprint},
            "bad_examples": stream.bad_examples,
        }
        checkpoint.save(self.checkpoints, self.step, self.state.arrays(), facts)
        checkpoint.retain(self.checkpoints, self.config.runtime.keep)

    def close(self):
        """Closes the metrics files."""
        for writer in (self.train_writer, self.validation_writer):
            writer.close()

    @property
    def epoch(self):
        """Passes over the training split so far."""
        return self.step / self.schedule.steps_per_epoch

    def _build(self):
        keras.utils.set_random_seed(self.config.runtime.seed)
        with self.strategy.scope():
            self.model = build_network(self.config.network, self.source.num_classes)
        self.state = TrainState(self.strategy, self.model, self.config.optimization)
        self.step_function = TrainStep(
            self.strategy, self.model, self.state, self.schedule, self.config.runtime.seed)
        self.scorer = Scorer(self.strategy, {"raw": self._raw_logits, "ema": self._ema_logits})

    def _restore(self):
        found = checkpoint.load_newest(self.checkpoints, log.warning)
        if found is None:
            return 0
        arrays, manifest = found
        if manifest["data"]["fingerprint"] != self.source.fingerprint:
            raise UsageError(f"--dataset={self.config.data.dataset}: the training split is not "
                             f"the one that {self.checkpoints} was trained on")
        self.state.load(arrays)
        log.info("going on from step %d in %s", manifest["step"], self.checkpoints)
        return manifest["step"]

    def _open_writers(self):
        folder = self.checkpoints.parent
        self.train_writer = MetricsWriter(folder / "train", self.step)
        self.validation_writer = MetricsWriter(folder / "validation", self.step)

    def _stream(self):
        return training_batches(
            self.source, self.config.data, seed=self.config.runtime.seed,
            start=self.step * self.batches.global_batch, batch_size=self.batches.pass_batch,
            **self._example_settings())

    def _example_settings(self):
        network = self.config.network
        return {
            "image_size": network.image_size,
            "num_classes": self.source.num_classes,
            "label_offset": int(network.background_class),
        }

    def _update(self, stream):
        batches = [next(stream) for _ in range(self.batches.passes)]
        metrics = self.step_function(batches)
        if not metrics["is_finite"]:
            ids = [self.source.read(int(i)).example_id for b in batches for i in b["index"][:4]]
            raise NonFiniteError(f"loss or gradient is not finite at step {self.step}; nothing of "
                                 f"it was applied. Examples: {', '.join(ids[:8])} ...")
        self.step += 1
        return metrics

    def _log(self, progress, metrics, stream):
        values = {name: float(metrics[name]) for name in
                  ("loss", "cross_entropy", "error", "learning_rate", "grad_norm")}
        shown = {"epoch": self.epoch, "loss": values["loss"], "lr": values["learning_rate"],
                 "grad norm": values["grad_norm"]}
        rate = progress.report(self.step, shown)
        self.train_writer.write(self.step, {
            "epoch": self.epoch, **values, "images_per_second": rate,
            "bad_examples": len(stream.bad_examples)})

    def _due(self, every):
        return self.step % every == 0 or self.step == self.total

    def _due_epochs(self, epochs):
        return self._due(max(1, self.schedule.steps(epochs)) if epochs else self.total)

    def _scores_so_far(self):
        """The scoring of this very step, when a run before this one made it."""
        rows = read_metrics(self.validation_writer.path)
        if not rows or rows[-1].pop("step") != self.step:
            return None
        return rows[-1]

    def _raw_logits(self, images):
        return _main_head(self.model(images, training=False))

    def _ema_logits(self, images):
        values = [tf.convert_to_tensor(v) for v in self.state.ema]
        trainable, statistics = values[:len(self.state.trainable)], iter(
            values[len(self.state.trainable):])
        others = [tf.convert_to_tensor(v.value) if is_seed(v) else next(statistics)
                  for v in self.model.non_trainable_variables]
        outputs, _ = self.model.stateless_call(trainable, others, images, training=False)
        return _main_head(outputs)

    def _check_classes(self):
        if self.source.class_names != self.held_out.class_names:
            raise UsageError(f"--eval_split={self.config.data.eval_split} has other classes than "
                             f"--train_split={self.config.data.train_split}")


def _main_head(outputs):
    return outputs[0] if isinstance(outputs, (list, tuple)) else outputs
