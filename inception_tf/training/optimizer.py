"""TF1's optimizers, update by update (traps: Keras' RMSprop starts its slot at zero).

RMSProp of [P] in TF1's arithmetic, which PyTorch and Keras 3 do not share:

    ms  <- decay ms + (1 - decay) g^2          starts at ONE
    mom <- momentum mom + rate g / sqrt(ms + epsilon)
    w   <- w - mom
"""

import tensorflow as tf

SLOTS = {
    "rmsprop": {"mean_square": tf.ones, "momentum": tf.zeros},
    "rmsprop_keras": {"mean_square": tf.zeros, "momentum": tf.zeros},
    "momentum": {"momentum": tf.zeros},
}


def make_slots(optimization, variables):
    """Slot name -> one tf.Variable per variable, at TF1's initial value.

    Call it in the strategy's scope; `variables` are Keras or tf variables.
    """
    return {
        slot: [tf.Variable(initial(v.shape, v.dtype), trainable=False, name=slot)
               for v in variables]
        for slot, initial in SLOTS[optimization.optimizer].items()
    }


def apply_update(optimization, variable, slots, gradient, learning_rate):
    """Updates one variable and its slots in place with TF1's fused kernel.

    Args:
        optimization: config.Optimization with the optimizer's constants.
        variable: a tf.Variable on this device.
        slots: slot name -> tf.Variable of the same shape.
        gradient: float tensor of the variable's shape.
        learning_rate: float32 scalar.
    """
    constant = lambda value: tf.constant(value, variable.dtype)  # noqa: E731
    if optimization.optimizer.startswith("rmsprop"):
        return tf.raw_ops.ResourceApplyRMSProp(
            var=variable.handle, ms=slots["mean_square"].handle, mom=slots["momentum"].handle,
            lr=learning_rate, rho=constant(optimization.rmsprop_decay),
            momentum=constant(optimization.momentum), epsilon=constant(optimization.epsilon),
            grad=gradient,
        )
    return tf.raw_ops.ResourceApplyMomentum(
        var=variable.handle, accum=slots["momentum"].handle, lr=learning_rate, grad=gradient,
        momentum=constant(optimization.momentum), use_nesterov=False,
    )


def apply_average(shadow, variable, decay):
    """shadow <- shadow - (1 - decay) (shadow - variable), TF1's order of operations."""
    return tf.raw_ops.ResourceApplyGradientDescent(
        var=shadow.handle, alpha=1.0 - decay, delta=shadow - variable
    )


def clip_scale(norm, clip_norm):
    """Factor that limits a gradient of global norm `norm` to `clip_norm`; 1 when 0 (off)."""
    if not clip_norm:
        return tf.ones_like(norm)
    return clip_norm / tf.maximum(norm, clip_norm)
