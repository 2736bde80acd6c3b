"""TF1's optimizers, update by update: Keras' RMSprop starts its slot at zero.

RMSProp of [P] in TF1's arithmetic, which PyTorch and Keras 3 do not share:

    ms  <- decay ms + (1 - decay) g^2          starts at ONE
    mom <- momentum mom + rate g / sqrt(ms + epsilon)
    w   <- w - mom
"""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from inception_tf.config import Optimization

SLOTS = {
    "rmsprop": {"mean_square": tf.ones, "momentum": tf.zeros},
    "rmsprop_keras": {"mean_square": tf.zeros, "momentum": tf.zeros},
    "momentum": {"momentum": tf.zeros},
}


def make_slots(optimization: Optimization, variables: Sequence[Any],
               ) -> dict[str, list[tf.Variable]]:
    """Slot name -> one tf.Variable per variable, at TF1's initial value.

    Call it in the strategy's scope; `variables` are Keras or tf variables.
    """
    return {
        slot: [tf.Variable(initial(v.shape, v.dtype), trainable=False, name=slot)
               for v in variables]
        for slot, initial in SLOTS[optimization.optimizer].items()
    }


def make_update(optimization: Optimization) -> Callable[..., None]:
    """Function that updates one variable and its slots in place with TF1's fused kernel.

    Its arguments: a tf.Variable on this device; slot name -> tf.Variable of its shape; the
    gradient; the learning rate, a float32 scalar. All the updates of a graph share the
    optimizer's constants, which are made here.
    """
    momentum = tf.constant(optimization.momentum)
    rho, epsilon = tf.constant(optimization.rmsprop_decay), tf.constant(optimization.epsilon)

    def rmsprop(variable, slots, gradient, learning_rate):
        tf.raw_ops.ResourceApplyRMSProp(
            var=variable.handle, ms=slots["mean_square"].handle, mom=slots["momentum"].handle,
            lr=learning_rate, rho=rho, momentum=momentum, epsilon=epsilon, grad=gradient)

    def with_momentum(variable, slots, gradient, learning_rate):
        tf.raw_ops.ResourceApplyMomentum(
            var=variable.handle, accum=slots["momentum"].handle, lr=learning_rate, grad=gradient,
            momentum=momentum, use_nesterov=False)

    return rmsprop if optimization.optimizer.startswith("rmsprop") else with_momentum


def updated(optimization: Optimization, value: tf.Tensor, slots: dict[str, tf.Tensor],
            gradient: tf.Tensor, learning_rate: tf.Tensor,
            ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """(value, slots) after an update: the kernels' arithmetic written out, for XLA.

    Within rounding of `make_update`'s, not bit-equal: XLA fuses products and sums.

    Args:
        optimization: the optimizer and its constants.
        value: of a variable.
        slots: slot name -> tensor of its shape.
        gradient: of its shape.
        learning_rate: float32 scalar.
    """
    momentum = slots["momentum"] * optimization.momentum
    if not optimization.optimizer.startswith("rmsprop"):
        momentum += gradient
        return value - learning_rate * momentum, {"momentum": momentum}
    square = slots["mean_square"]
    square += (tf.square(gradient) - square) * (1.0 - optimization.rmsprop_decay)
    momentum += learning_rate * gradient / tf.sqrt(square + optimization.epsilon)
    return value - momentum, {"mean_square": square, "momentum": momentum}


def apply_average(shadow: tf.Variable, variable: tf.Variable, share: tf.Tensor) -> None:
    """shadow <- shadow - share (shadow - variable), TF1's order of operations.

    `share` is 1 - decay.
    """
    tf.raw_ops.ResourceApplyGradientDescent(
        var=shadow.handle, alpha=share, delta=shadow - variable)


def clip_scale(norm: tf.Tensor, clip_norm: float) -> tf.Tensor:
    """Factor that limits a gradient of global norm `norm` to `clip_norm`; 1 when 0 (off)."""
    if not clip_norm:
        return tf.ones_like(norm)
    return clip_norm / tf.maximum(norm, clip_norm)


# As in mixed precision training elsewhere (Keras' LossScaleOptimizer, NVIDIA's apex).
INITIAL = 2.0**15
STEPS_TO_DOUBLE = 2000


class LossScale:
    """Halved at every overflow, doubled after STEPS_TO_DOUBLE updates without one.

    Make it in the strategy's scope. `variables` (name -> variable) belong to a checkpoint.
    """

    def __init__(self) -> None:
        self._scale = tf.Variable(INITIAL, trainable=False, name="loss_scale")
        self._updates = tf.Variable(0, dtype=tf.int64, trainable=False, name="updates_at_scale")
        self.variables = {"loss_scale": self._scale, "updates_at_loss_scale": self._updates}

    def value(self) -> tf.Tensor:
        """Factor of the loss: float32 scalar, a power of two."""
        return tf.convert_to_tensor(self._scale)

    def after(self, is_finite: tf.Tensor) -> list[tuple[tf.Variable, tf.Tensor]]:
        """Each variable with its value after an update: bool scalar, whether that was finite."""
        scale, updates = (tf.convert_to_tensor(v) for v in self.variables.values())
        doubles = updates + 1 >= STEPS_TO_DOUBLE
        return [
            (self._scale, tf.where(is_finite, tf.where(doubles, scale * 2.0, scale), scale / 2.0)),
            (self._updates, tf.where(is_finite & ~doubles, updates + 1, tf.zeros_like(updates))),
        ]
