"""A trained network as few TensorFlow operations.

The folded network (folding.py) is built without a second Keras model: convolutions and dense
layers become their operation, kernel and bias, which TensorFlow fuses with the ReLU that
follows; other layers are called as they are. Kernels are variables, biases constants: that
halves the variables to save, load and pass on.

In 16 bits all of it up to the pooled features is computed so, and kernels are stored so:
folded in float64 and rounded once. Pooling and classifier are computed in float32.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inception_tf.serving.saved_model.folding import (
    FOLDABLE,
    Affine,
    folded_weights,
    is_linear,
    what_folds,
)

_UNCHANGED = Affine(np.ones(1), np.zeros(1))
FEATURES = "pre_logits"


class PlainNetwork:
    """images [n, S, S, 3] -> (logits [n, K], features [n, C]), all float32, of a float32
    functional model.

    Features are the output of its layer "pre_logits". `dtype`: "float32", "bfloat16" or
    "float16".
    """

    def __init__(self, model: keras.Model, dtype: str = "float32"):
        self._model, self._dtype = model, tf.as_dtype(dtype)
        affines, absorbed, self._rectified = what_folds(model)
        self._left_out = absorbed | set(self._rectified.values()) | {
            layer.name for layer in model.layers if isinstance(layer, keras.layers.Dropout)}
        self._folded = {layer.name: layer for layer in model.layers
                        if isinstance(layer, FOLDABLE) and is_linear(layer)}
        self._weights = {name: self._weights_of(layer, affines.get(name, _UNCHANGED))
                         for name, layer in self._folded.items()}
        self._others = {layer.name: self._in_dtype(layer) for layer in model.layers
                        if layer.name not in self._folded}

    @property
    def variables(self) -> list[tf.Variable]:
        """All variables it reads."""
        taken = self._left_out | set(self._folded)
        return ([kernel for kernel, _ in self._weights.values()]
                + [weight.value for layer in self._model.layers if layer.name not in taken
                   for weight in layer.weights])

    def __call__(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """(logits, features)."""
        return self.plain(images)

    def plain(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """With ordinary convolutions."""
        return self._answers(images, {name: self._plain(layer)
                                      for name, layer in self._folded.items()})

    def _answers(self, images, layers):
        def applied(layer, x):
            if layer.name in self._left_out:
                return x
            if layer.name in layers:
                return layers[layer.name](x)
            return self._others[layer.name](x, training=False)

        answers = logits_and_features(self._model, images, applied)
        return tuple(tf.cast(answer, tf.float32) for answer in answers)

    def _plain(self, layer):
        kernel, _ = self._weights[layer.name]
        if isinstance(layer, keras.layers.Dense):
            return lambda x: self._finished(layer, tf.matmul(
                tf.cast(x, tf.float32), tf.cast(kernel, tf.float32)))
        return lambda x: self._finished(layer, tf.nn.conv2d(
            tf.cast(x, self._dtype), kernel, layer.strides, layer.padding.upper(),
            dilations=layer.dilation_rate))

    def _finished(self, layer, x):
        """With the bias, and the ReLU where one follows."""
        _, bias = self._weights[layer.name]
        x = tf.nn.bias_add(x, bias)
        return tf.nn.relu(x) if layer.name in self._rectified else x

    def _weights_of(self, layer, affine):
        kernel, bias = folded_weights(layer, affine)
        if isinstance(layer, keras.layers.Conv2D):
            bias = bias.astype(self._dtype.as_numpy_dtype)
            kernel = kernel if self._dtype == tf.float32 else _taps_that_see(layer, kernel)
        return tf.Variable(tf.cast(kernel, self._dtype), trainable=False,
                           name=f"{layer.name}/kernel"), bias

    def _in_dtype(self, layer):
        """Keras casts the inputs of a layer to the type of its policy."""
        if self._dtype == tf.float32 or layer.weights or layer.name == FEATURES:
            return layer
        return layer.__class__.from_config({**layer.get_config(), "dtype": self._dtype.name})


def _taps_that_see(layer, kernel):
    """`kernel` without the taps that see padding alone: on a small grid the outer ones.

    With them oneDNN's float16 is wrong: 3x1 on 1x1, 56 to 64 channels, with AVX512_FP16.
    """
    if layer.padding != "same" or layer.strides != (1, 1) or layer.dilation_rate != (1, 1):
        return kernel
    for axis, (taps, side) in enumerate(zip(layer.kernel_size, layer.input.shape[1:3],
                                            strict=True)):
        if taps % 2:
            unseen = max(0, taps // 2 - (side - 1))
            kernel = np.take(kernel, range(unseen, taps - unseen), axis)
    return kernel


def logits_and_features(model: keras.Model, images: tf.Tensor,
                        call: Callable[[keras.Layer, Any], Any]) -> tuple[tf.Tensor, tf.Tensor]:
    """Runs a functional model layer by layer: call(layer, its inputs) gives its output.

    A value is dropped after its last reader. Keras keeps all of them to the end: 290 MB an
    image with Inception-ResNet-v2.
    """
    first, *others = model.layers
    ends = [model.output, model.get_layer(FEATURES).output]
    last_reader = {id(x): layer for layer in others for x in keras.tree.flatten(layer.input)}
    last_reader |= {id(end): None for end in ends}
    values = {id(first.output): images}
    for layer in others:
        inputs = keras.tree.map_structure(lambda x: values[id(x)], layer.input)
        values[id(layer.output)] = call(layer, inputs)
        for x in keras.tree.flatten(layer.input):
            if last_reader[id(x)] is layer:
                values.pop(id(x), None)
    return tuple(values[id(end)] for end in ends)
