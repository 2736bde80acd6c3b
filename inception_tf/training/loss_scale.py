"""Loss scaling for float16, whose smallest numbers are larger than many gradients."""

import tensorflow as tf

# As in mixed precision training elsewhere (Keras' LossScaleOptimizer, NVIDIA's apex).
INITIAL = 2.0**15
STEPS_TO_DOUBLE = 2000


class LossScale:
    """Halved at every overflow, doubled after STEPS_TO_DOUBLE updates without one.

    Call it in the strategy's scope. `variables` (name -> variable) belong to a checkpoint.
    """

    def __init__(self):
        self._scale = tf.Variable(INITIAL, trainable=False, name="loss_scale")
        self._updates = tf.Variable(0, dtype=tf.int64, trainable=False, name="updates_at_scale")
        self.variables = {"loss_scale": self._scale, "updates_at_loss_scale": self._updates}

    def value(self):
        """Factor of the loss: float32 scalar, a power of two."""
        return tf.convert_to_tensor(self._scale)

    def after_finite_update(self):
        """Counts one update, and doubles the scale when it is time."""
        doubles = self._updates + 1 >= STEPS_TO_DOUBLE
        self._scale.assign(tf.where(doubles, self._scale * 2.0, self._scale))
        self._updates.assign(tf.where(doubles, tf.constant(0, tf.int64), self._updates + 1))

    def after_overflow(self):
        """Halves the scale; the update was not applied."""
        self._scale.assign(self._scale / 2.0)
        self._updates.assign(0)
