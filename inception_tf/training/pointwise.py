"""1x1 convolutions of the training step as matrix products.

They are matrix products, and on a processor TensorFlow computes products faster than convolutions
and their gradients, in 16 bits by far (docs/lab/training.md#forms-of-convolutions). The model keeps
its stock Keras layers: only the pass of a training step, inside `as_products`, computes them so.
"""

import functools
from contextlib import AbstractContextManager

import keras
import tensorflow as tf

from inception_tf.runtime.devices import has_accelerator
from inception_tf.training.layer_calls import replaced


def as_products(model: keras.Model) -> AbstractContextManager[None]:
    """Context in which calls of `model`'s 1x1 convolutions are matrix products, on a CPU."""
    layers = [] if has_accelerator() else filter(_is_product, model.layers)
    return replaced({layer: functools.partial(_call, layer) for layer in layers})


def _is_product(layer):
    return (isinstance(layer, keras.layers.Conv2D) and layer.kernel_size == (1, 1)
            and layer.strides == (1, 1) and layer.groups == 1
            and layer.data_format == "channels_last" and None not in layer.input.shape[1:])


def _call(layer, inputs):
    """As layer.call: [n, h, w, c] -> [n, h, w, filters]."""
    _, height, width, channels = inputs.shape
    kernel = tf.cast(tf.convert_to_tensor(layer.kernel), inputs.dtype)
    outputs = tf.matmul(tf.reshape(inputs, [-1, channels]), tf.reshape(kernel, kernel.shape[2:]))
    if layer.use_bias:
        outputs += tf.cast(tf.convert_to_tensor(layer.bias), inputs.dtype)
    outputs = tf.reshape(outputs, [-1, height, width, layer.filters])
    return outputs if layer.activation is None else layer.activation(outputs)
