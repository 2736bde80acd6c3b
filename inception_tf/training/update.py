"""From the sum of all gradients to the new variables of one replica."""

import tensorflow as tf

from inception_tf.config import Execution
from inception_tf.networks import stage_of
from inception_tf.training.losses import is_decayed, weight_decay_loss
from inception_tf.training.optimizer import apply_average, clip_scale, make_update, updated
from inception_tf.training.schedule import Schedule
from inception_tf.training.state import TrainState

# What an update reports, in the order of its row of numbers.
METRICS = ("loss", "cross_entropy", "error", "grad_norm", "learning_rate", "is_finite", "stop",
           "tried", "held")


class Update:
    """Callable in replica context: (gradients, statistics, sums, step) -> METRICS as float32.

    Decay, clip, look, and apply if all is finite.

    Args:
        state: whose variables it sets.
        schedule: of learning rate and averaging.
        execution: what happens after numbers that are not finite.
        is_compiled: by XLA; then without a branch.
    """

    def __init__(self, state: TrainState, schedule: Schedule, execution: Execution,
                 is_compiled: bool) -> None:
        self.state, self.schedule, self.optimization = state, schedule, schedule.optimization
        self._is_compiled = is_compiled
        # Whether training continues after an update that was not finite.
        self._skips = state.loss_scale is not None or execution.on_non_finite == "skip"

    def __call__(self, gradients: list[tf.Tensor], statistics: list[tf.Tensor],
                 sums: dict[str, tf.Tensor], step: tf.Tensor) -> tf.Tensor:
        """The update of `step`, from sums over all replicas (statistics: means)."""
        gradients, decay_loss = self._with_weight_decay(self._unscaled(gradients))
        norm = tf.linalg.global_norm(gradients)
        scale = clip_scale(norm, self.optimization.clip_norm)
        stop, count = sums["stop"], tf.maximum(sums["examples"], 1.0)
        metrics = {name: sums[name] / count for name in ("loss", "cross_entropy", "error")}
        metrics["loss"] += decay_loss
        is_finite = _all_finite([metrics["loss"], norm, *statistics])
        tried = ~tf.convert_to_tensor(self.state.held)
        rate = tf.cast(self.schedule.learning_rate(step), tf.float32)
        metrics |= {"grad_norm": norm, "learning_rate": rate, "is_finite": is_finite,
                    "stop": stop > 0, "tried": tried, "held": tried & self._holds(is_finite)}
        self._apply(is_finite & tried, [g * scale for g in gradients], statistics, rate, step)
        _write(tried, self._counts(is_finite, metrics["held"]))
        return tf.stack([tf.cast(metrics[name], tf.float32) for name in METRICS])

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

    def _apply(self, applies, gradients, statistics, rate, step):
        """Optimizer, statistics and averages of this replica's variables, if `applies`.

        On a CPU by TF1's kernels, in place. Compiled, the same written out and selected: a
        GPU would wait at a branch until the host knows which way it goes.
        """
        head_rate = rate * self.optimization.head_lr_multiplier
        rates = [head_rate if _is_head(v) else rate for v in self.state.trainable]
        share = 1.0 - self.schedule.ema_decay(step)
        if self._is_compiled:
            _write(applies, self._new_values(gradients, statistics, rates, share))
        else:
            tf.cond(applies, lambda: self._by_kernels(gradients, statistics, rates, share),
                    lambda: tf.constant(False))

    def _slots(self):
        """Slot name -> variable, of each trainable variable."""
        return [dict(zip(self.state.slots, group, strict=True))
                for group in zip(*self.state.slots.values(), strict=True)]

    def _new_statistics(self, statistics):
        """(Keras variable, new value) of those that may change."""
        return [(v, new) for v, new in zip(self.state.statistics, statistics, strict=True)
                if v.path not in self.state.frozen]

    def _by_kernels(self, gradients, statistics, rates, share):
        one = make_update(self.optimization)
        for variable, slots, gradient, rate in zip(
                self.state.trainable, self._slots(), gradients, rates, strict=True):
            one(variable.value, slots, gradient, rate)
        _assign((v.value, new) for v, new in self._new_statistics(statistics))
        for shadow, variable in zip(self.state.ema, self.state.weights, strict=True):
            apply_average(shadow, variable.value, share)
        return tf.constant(True)

    def _new_values(self, gradients, statistics, rates, share):
        """(variable, value after the update) of everything that changes."""
        values = {v.path: tf.convert_to_tensor(v.value) for v in self.state.weights}
        pairs = []
        for variable, slots, gradient, rate in zip(
                self.state.trainable, self._slots(), gradients, rates, strict=True):
            old = {name: tf.convert_to_tensor(slot) for name, slot in slots.items()}
            value, new = updated(self.optimization, values[variable.path], old, gradient, rate)
            values[variable.path] = value
            pairs += [(variable.value, value), *((slots[name], new[name]) for name in slots)]
        for variable, value in self._new_statistics(statistics):
            values[variable.path] = value
            pairs.append((variable.value, value))
        for shadow, variable in zip(self.state.ema, self.state.weights, strict=True):
            old = tf.convert_to_tensor(shadow)
            pairs.append((shadow, old - share * (old - values[variable.path])))
        return pairs

    def _counts(self, is_finite, held):
        """(variable, value) of step, skipped, loss scale and latch after an update was tried."""
        state = self.state
        passed = tf.cast(is_finite | self._skips, tf.int64)
        pairs = [(state.step, state.step + passed), (state.held, held),
                 (state.skipped, state.skipped + tf.where(is_finite, tf.zeros_like(passed),
                                                          passed))]
        return pairs + (state.loss_scale.after(is_finite) if state.loss_scale else [])

    def _holds(self, is_finite):
        """Whether Python has to look at an update: not at float16's overflow, the scale halves."""
        if self.state.loss_scale is None:
            return ~is_finite
        return ~is_finite & (self.state.loss_scale.value() < 2.0)

    def _unscaled(self, gradients):
        if self.state.loss_scale is None:
            return gradients
        factor = 1.0 / self.state.loss_scale.value()
        return [g * factor for g in gradients]


def _write(applies, pairs):
    """Sets each (variable, value) if `applies`, without a branch; in replica context."""
    _assign((v, tf.where(applies, value, tf.convert_to_tensor(v))) for v, value in pairs)


def _assign(pairs):
    """Sets each (variable, value) of this replica: `assign` would ask for an aggregation."""
    for variable, value in pairs:
        tf.raw_ops.AssignVariableOp(resource=variable.handle, value=value)


def _all_finite(tensors):
    """Whether every element is finite: three operations, however many tensors there are."""
    flat = [t if t.shape.rank == 1 else tf.reshape(t, [-1]) for t in tensors]
    return tf.reduce_all(tf.math.is_finite(tf.concat(flat, 0)))


def _is_head(variable):
    return stage_of(variable.path) == "head"
