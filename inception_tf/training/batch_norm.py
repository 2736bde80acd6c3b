"""Batch norm of the training step by TensorFlow's fused operation.

Keras 3 composes batch norm from means, squares and products, and under a 16-bit policy casts
every activation to float32 first; the fused operation reads 16 bits and keeps statistics in
float32 (docs/training.md has what it gains). The model keeps its stock Keras layers: only the
pass of a training step, inside `fused`, computes them differently.
"""

import functools
from contextlib import AbstractContextManager

import keras
import tensorflow as tf

from inception_tf.training.layer_calls import replaced


def fused(model: keras.Model) -> AbstractContextManager[None]:
    """Context in which calls of `model`'s batch norm with training=True take the fused operation.

    Synchronized and frozen layers, and those over another axis than the last, stay as they are.
    """
    return replaced({layer: functools.partial(_call, layer)
                     for layer in model.layers if _can_be_fused(layer)})


def _can_be_fused(layer):
    return (isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
            and not layer.synchronized and not layer.renorm and layer.axis in (-1, 3))


def _call(layer, inputs, training=None, mask=None):
    """As layer.call: float32, bfloat16 or float16 [n, h, w, c] -> the same, statistics float32.

    TensorFlow's variance is of n - 1; the moving variance takes that of n, as in Keras and
    in TF1's unfused layers.
    """
    if not training or mask is not None or inputs.shape.rank != 4:
        return type(layer).call(layer, inputs, training=training, mask=mask)
    channels = inputs.shape[-1]
    gamma = tf.convert_to_tensor(layer.gamma) if layer.scale else tf.ones([channels])
    beta = tf.convert_to_tensor(layer.beta) if layer.center else tf.zeros([channels])
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=inputs, scale=gamma, offset=beta, mean=tf.zeros([0]), variance=tf.zeros([0]),
        epsilon=layer.epsilon, exponential_avg_factor=1.0, data_format="NHWC", is_training=True)
    count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:-1]), tf.float32)
    variance *= tf.maximum(count - 1.0, 1.0) / count
    for moving, now in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
        moving.assign(moving * layer.momentum + now * (1.0 - layer.momentum))
    return outputs
