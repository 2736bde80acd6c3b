"""Batch norm of the training step by TensorFlow's fused operation.

Keras 3 composes batch norm from means, squares and products, and under a 16-bit policy casts
every activation to float32 first; the fused operation reads 16 bits and keeps statistics in
float32 (docs/training.md has what it gains). The model keeps its stock Keras layers: only the
pass of a training step, inside `fused`, computes them differently.
"""

import functools
import math
from contextlib import AbstractContextManager

import keras
import numpy as np
import tensorflow as tf

from inception_tf.training.layer_calls import replaced


def fused(model: keras.Model) -> AbstractContextManager[None]:
    """Context in which calls of `model`'s batch norm with training=True take the fused operation.

    Synchronized and frozen layers, and those over another axis than the last, stay as they are, and
    so do calls with a number of images that the graph does not know.
    """
    call = functools.partial(_call, functools.cache(_constant))
    return replaced({layer: functools.partial(call, layer)
                     for layer in model.layers if _can_be_fused(layer)})


def _constant(value, *shape):
    """float32, of few elements; made outside of graphs: each holds it once, for all layers."""
    with tf.init_scope():
        return tf.fill(shape, value)


def _can_be_fused(layer):
    return (isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
            and not layer.synchronized and not layer.renorm and layer.axis in (-1, 3))


def _call(constant, layer, inputs, training=None, mask=None):
    """As layer.call: float32, bfloat16 or float16 [n, h, w, c] -> the same, statistics float32.

    TensorFlow's variance is of n - 1; the moving variance takes that of n, as in Keras and
    in TF1's unfused layers.
    """
    shape = inputs.shape
    if not training or mask is not None or shape.rank != 4 or not shape.is_fully_defined():
        return type(layer).call(layer, inputs, training=training, mask=mask)
    channels, unused = shape[-1], constant(0.0, 0)
    gamma = tf.convert_to_tensor(layer.gamma) if layer.scale else tf.ones([channels])
    beta = tf.convert_to_tensor(layer.beta) if layer.center else tf.zeros([channels])
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=inputs, scale=gamma, offset=beta, mean=unused, variance=unused, epsilon=layer.epsilon,
        exponential_avg_factor=1.0, data_format="NHWC", is_training=True)
    count = np.float32(math.prod(shape[:-1]))
    variance *= constant(float(np.maximum(count - 1, np.float32(1)) / count))
    kept, taken = constant(layer.momentum), constant(1.0 - layer.momentum)
    for moving, now in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
        moving.assign(moving * kept + now * taken)
    return outputs
