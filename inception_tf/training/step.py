"""Updates of the global batch on any number of replicas.

    pass    each replica: forward, backward, gradients of its examples' summed loss
    ...     repeated and added up when the batch is accumulated
    update  sum over replicas, weight decay, one clip by global norm, look for
            non-finite numbers, then optimizer, averages and statistics at once
    ...     repeated `steps_per_call` times without a word to Python

An update is applied as a whole or not at all.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from inception_tf.config import Execution
from inception_tf.networks import stage_of
from inception_tf.runtime.devices import local, same_on_replicas, split_batches
from inception_tf.runtime.graphs import lightly_optimized
from inception_tf.training.losses import is_decayed, weight_decay_loss
from inception_tf.training.optimizer import apply_average, clip_scale, make_update
from inception_tf.training.replica import PARTS, Batch, ReplicaPass
from inception_tf.training.schedule import Schedule
from inception_tf.training.state import TrainState

# What an update reports, in the order of its row of numbers.
METRICS = ("loss", "cross_entropy", "error", "grad_norm", "learning_rate", "is_finite", "stop")


class TrainStep:
    """Callable that turns the state of step t into that of t + 1.

    Args:
        strategy: that the state lives in.
        model: network giving logits, or [logits, aux_logits].
        state: of that model.
        schedule: of learning rate and averaging.
        seed: of dropout.
        execution: the run's settings.
        color: form of the distortion of images that come as bytes.
    """

    def __init__(self, strategy: tf.distribute.Strategy, model: keras.Model, state: TrainState,
                 schedule: Schedule, seed: int, execution: Execution, color: str = "none") -> None:
        self.strategy, self.state, self.schedule = strategy, state, schedule
        self.optimization, self.execution = schedule.optimization, execution
        self.replica_pass = ReplicaPass(model, state, self.optimization, seed,
                                        strategy.num_replicas_in_sync, execution, color)
        # AutoGraph would rewrite hundreds of small functions that have nothing for it to do.
        self._call = tf.function(self._updates, autograph=False)

    def __call__(self, batches: Sequence[Batch], stop: bool = False) -> dict[str, Any]:
        """One update from a list of batches that together are the global batch.

        Args:
            batches: dicts of this worker's image, label, weight (data/batches.py), each
                divisible by its replicas.
            stop: this worker was asked to stop; all workers hear of it in the same step.

        Returns:
            dict: loss (with auxiliary loss and weight decay), cross_entropy, error (top-1
            share on the distorted images), grad_norm (before clipping), learning_rate,
            is_finite (False: nothing was applied), stop (of any worker).
        """
        return self._run([batches], stop)[0]

    def several(self, steps: Sequence[Sequence[Batch]], stop: bool = False,
                ) -> list[dict[str, Any]]:
        """Up to `steps_per_call` updates in one call, with the same bits as one by one.

        Returns one dict an update, as `__call__`; they end with one that was not finite,
        unless such updates are skipped.
        """
        return [self(steps[0], stop)] if len(steps) == 1 else self._run(steps, stop)

    def _run(self, steps, stop):
        stop = same_on_replicas(self.strategy, tf.constant(float(stop)))
        # Always as many as traced for: another number would be another graph.
        padding = [steps[-1]] * (self.execution.steps_per_call - len(steps))
        batches = split_batches(self.strategy, [*steps, *padding], PARTS)
        with lightly_optimized():
            rows, done = self._call(batches, tf.constant(len(steps)), stop)
        return [_metrics(row) for row in rows.numpy()[:int(done)]]

    def _updates(self, batches, count, stop):
        """([K, metrics] float32, number of updates tried) of `batches` [K, P, n, ...]."""
        def one(i):
            batch = self.strategy.run(lambda b: {k: v[i] for k, v in b.items()}, args=(batches,))
            return self._update(self._totals(batch), stop)

        if self.execution.steps_per_call == 1:
            return one(0)[tf.newaxis], tf.constant(1)
        rows = tf.TensorArray(tf.float32, self.execution.steps_per_call,
                              element_shape=[len(METRICS)])
        goes_on = tf.constant(True)

        def body(i, goes_on, rows):
            row = one(i)
            finite = tf.cast(row[METRICS.index("is_finite")], tf.bool)
            return i + 1, finite | self._skips, rows.write(i, row)

        done, _, rows = tf.while_loop(lambda i, goes_on, rows: (i < count) & goes_on, body,
                                      (tf.constant(0), goes_on, rows))
        return rows.stack(), done

    def _totals(self, batches):
        """(gradients, statistics, sums) of each replica, added up over its passes [P, n, ...]."""
        passes = local(self.strategy, batches["label"]).shape[0]
        one = lambda b, i: {k: v[i] for k, v in b.items()}  # noqa: E731
        if passes == 1:
            return self.strategy.run(lambda b: self._pass(one(b, 0), 0, self._statistics()),
                                     args=(batches,))

        def add(batch, i, totals):
            gradients, statistics, sums = totals
            new = self._pass(one(batch, i), i, statistics)
            added = tf.nest.map_structure(tf.add, (gradients, sums), (new[0], new[2]))
            return added[0], new[1], added[1]

        def body(i, totals):
            return i + 1, self.strategy.run(add, args=(batches, i, totals))

        first = (tf.constant(0), self.strategy.run(self._nothing_yet))
        return tf.while_loop(lambda i, totals: i < passes, body, first)[1]

    def _pass(self, batch, index, statistics):
        return self.replica_pass(batch, index, statistics, self._loss_scale())

    def _statistics(self):
        return [tf.convert_to_tensor(v.value) for v in self.state.statistics]

    def _nothing_yet(self):
        zeros = [tf.zeros_like(v.value) for v in self.state.trainable]
        names = ("loss", "cross_entropy", "error", "examples")
        return zeros, self._statistics(), {name: tf.zeros([]) for name in names}

    def _update(self, totals, stop):
        """Applies what the replicas found, if it is finite; METRICS as a row of float32."""
        gradients, statistics, metrics = self.strategy.run(
            self._replica_sum, args=(*totals, stop))
        metrics = {name: local(self.strategy, v) for name, v in metrics.items()}
        rate = tf.cast(self.schedule.learning_rate(self.state.step), tf.float32)
        tf.cond(
            metrics["is_finite"],
            lambda: self._apply(gradients, statistics, rate),
            self._pass_over,
        )
        metrics["learning_rate"] = rate
        return tf.stack([tf.cast(metrics[name], tf.float32) for name in METRICS])

    def _replica_sum(self, gradients, statistics, sums, stop):
        """Global gradients (decayed and clipped), mean statistics and metrics, on each replica."""
        context = tf.distribute.get_replica_context()
        sums = {**sums, "stop": stop}
        if context.num_replicas_in_sync > 1:
            # Arguments of a tf.function have no device; all_reduce takes its destination from it.
            gradients, statistics, sums = tf.nest.map_structure(
                tf.identity, (gradients, statistics, sums))
            gradients = context.all_reduce("SUM", gradients)
            statistics = context.all_reduce("MEAN", statistics)
            sums = context.all_reduce("SUM", sums)
        gradients, decay_loss = self._with_weight_decay(self._unscaled(gradients))
        norm = tf.linalg.global_norm(gradients)
        scale = clip_scale(norm, self.optimization.clip_norm)
        stop, count = sums.pop("stop"), tf.maximum(sums.pop("examples"), 1.0)
        metrics = {name: value / count for name, value in sums.items()}
        metrics["stop"] = stop > 0
        metrics["loss"] += decay_loss
        metrics["grad_norm"] = norm
        metrics["is_finite"] = _all_finite([metrics["loss"], norm, *statistics])
        return [g * scale for g in gradients], statistics, metrics

    def _with_weight_decay(self, gradients):
        decay = self.optimization.weight_decay
        if not decay:
            return gradients, 0.0
        kernels = {i: tf.convert_to_tensor(v.value) for i, v in enumerate(self.state.trainable)
                   if is_decayed(v.path)}
        loss = weight_decay_loss(list(kernels.values()), decay)
        decay = tf.constant(decay)
        return [g + decay * kernels[i] if i in kernels else g
                for i, g in enumerate(gradients)], loss

    def _apply(self, gradients, statistics, rate):
        """Optimizer, statistics, averages, step: once per replica's copy of each variable."""
        update = self.strategy.extended.update
        slots = [dict(zip(self.state.slots, group, strict=True))
                 for group in zip(*self.state.slots.values(), strict=True)]
        one = make_update(self.optimization)
        head_rate = rate * self.optimization.head_lr_multiplier
        for variable, own, gradient in zip(self.state.trainable, slots, gradients, strict=True):
            own_rate = head_rate if _is_head(variable) else rate
            update(variable.value, one, args=(own, gradient, own_rate), group=False)
        for variable, value in zip(self.state.statistics, statistics, strict=True):
            if variable.path in self.state.frozen:
                continue
            update(variable.value, lambda v, new: v.assign(new), args=(value,), group=False)
        share = 1.0 - self.schedule.ema_decay(self.state.step)
        for shadow, variable in zip(self.state.ema, self.state.weights, strict=True):
            update(shadow, apply_average, args=(variable.value, share), group=False)
        if self.state.loss_scale is not None:
            self.state.loss_scale.after_finite_update()
        self.state.step.assign_add(1)
        return tf.constant(True)

    def _pass_over(self):
        """After numbers that are not finite: nothing, or on to the next examples."""
        if self.state.loss_scale is not None:
            self.state.loss_scale.after_overflow()
        if self._skips:
            self.state.skipped.assign_add(1)
            self.state.step.assign_add(1)
        return tf.constant(False)

    @property
    def _skips(self):
        """Whether training goes on after an update that was not finite."""
        return self.state.loss_scale is not None or self.execution.on_non_finite == "skip"

    def _loss_scale(self):
        return 1.0 if self.state.loss_scale is None else self.state.loss_scale.value()

    def _unscaled(self, gradients):
        if self.state.loss_scale is None:
            return gradients
        factor = 1.0 / self.state.loss_scale.value()
        return [g * factor for g in gradients]


def _metrics(row):
    values = dict(zip(METRICS, row, strict=True))
    return {**values, "is_finite": bool(values["is_finite"]), "stop": bool(values["stop"])}


def _all_finite(tensors):
    """Whether every element is finite: three operations, however many tensors there are."""
    flat = [t if t.shape.rank == 1 else tf.reshape(t, [-1]) for t in tensors]
    return tf.reduce_all(tf.math.is_finite(tf.concat(flat, 0)))


def _is_head(variable):
    return stage_of(variable.path) == "head"
