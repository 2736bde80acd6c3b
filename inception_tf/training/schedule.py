"""Learning rate and averaging decay as functions of the step, counted in images.

A step is one completed update of the global batch, however many passes or replicas made it.
"""

import math
from dataclasses import dataclass

import tensorflow as tf

from inception_tf.config import Optimization


@dataclass(frozen=True)
class Schedule:
    """How the learning rate falls: the staircase of [P], cosine, or not at all.

    Source: cosine without restarts, down to 0: arXiv 1608.03983, equation 5.

    Args:
        optimization: the run's settings.
        num_examples: images in the training split, one epoch.
    """

    optimization: Optimization
    num_examples: int

    def learning_rate(self, step: int | tf.Tensor | tf.Variable) -> tf.Tensor:
        """Rate of the update that turns step `step` into `step + 1`: float32 scalar."""
        o = self.optimization
        images = tf.cast(step, tf.int64) * o.global_batch
        decayed = self._decayed(images)
        warmup_images = round(o.warmup_epochs * self.num_examples)
        if not warmup_images:
            return decayed
        if o.warmup_rate:
            return tf.where(images < warmup_images, o.warmup_rate, decayed)
        share = tf.cast(images + o.global_batch, tf.float32) / warmup_images
        return decayed * tf.minimum(share, 1.0)

    def _decayed(self, images):
        """Rate after `images` (int64), before any warm-up: float32, of the same shape."""
        o = self.optimization
        if o.schedule == "constant":
            return o.learning_rate * tf.ones_like(images, tf.float32)
        if o.schedule == "cosine":
            share = tf.cast(images, tf.float32) / max(1.0, o.epochs * self.num_examples)
            return o.learning_rate * 0.5 * (1.0 + tf.cos(math.pi * tf.minimum(share, 1.0)))
        stairs = images // max(1, round(o.decay_epochs * self.num_examples))
        return o.learning_rate * tf.pow(o.decay_rate, tf.cast(stairs, tf.float32))

    def ema_decay(self, step: int | tf.Tensor | tf.Variable) -> tf.Tensor:
        """TF1's warm-up min(decay, (1 + n) / (10 + n)) after n = step + 1 updates [I]."""
        updates = tf.cast(step + 1, tf.float32)
        return tf.minimum(self.optimization.ema_decay, (1.0 + updates) / (10.0 + updates))

    @property
    def steps_per_epoch(self) -> float:
        """Updates per epoch: a fraction, since an epoch need not be whole batches."""
        return self.num_examples / self.optimization.global_batch

    def steps(self, epochs: float) -> int:
        """Updates after which `epochs` epochs have been seen, rounded up."""
        return math.ceil(epochs * self.num_examples / self.optimization.global_batch)
