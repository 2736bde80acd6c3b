"""The training loss: smoothed cross-entropy of both heads [V3][S][I]."""

from collections.abc import Sequence

import tensorflow as tf


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor, label_smoothing: float) -> tf.Tensor:
    """Per-example cross-entropy against smoothed labels ([V3], section 7).

    The true class gets 1 - s + s / K, every other s / K, with K the number of logits.

    Shape: logits float [n, K], labels int32 [n] in 0..K-1 -> float32 [n].
    """
    log_probabilities = tf.nn.log_softmax(tf.cast(logits, tf.float32))
    # Not tf.gather: its gradient makes ten copies between a GPU and the host.
    own = tf.reduce_sum(
        log_probabilities * tf.one_hot(labels, log_probabilities.shape[-1]), axis=1)
    spread = tf.reduce_mean(log_probabilities, axis=1)
    return -(1.0 - label_smoothing) * own - label_smoothing * spread


def is_decayed(path: str) -> bool:
    """Whether the variable at `path` gets weight decay: kernels only (R12, docs/training.md)."""
    return path.rsplit("/", 1)[-1] == "kernel"


def weight_decay_loss(kernels: Sequence[tf.Tensor], weight_decay: float) -> tf.Tensor:
    """weight_decay times half the sum of squares, as TF1 means it ([S], R12)."""
    return weight_decay * tf.add_n([tf.nn.l2_loss(k) for k in kernels])
