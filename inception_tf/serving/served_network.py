"""A trained network as few TensorFlow operations, for a SavedModel.

What `folding` leaves of the network is put together without a second Keras model:
convolutions and dense layers are their operation, kernel and bias, of which TensorFlow
makes one fused kernel with the ReLU behind; other layers are called as they are. Kernels
are variables, biases constants: half the variables to save, to load and to hand through.
"""

import keras
import numpy as np
import tensorflow as tf

from inception_tf.serving.folding import (
    FOLDABLE,
    Affine,
    folded_weights,
    is_linear,
    what_folds,
)

_UNCHANGED = Affine(np.ones(1), np.zeros(1))


class ServedNetwork:
    """images [n, S, S, 3] -> (logits [n, K], features [n, C]), of a float32 functional model.

    Args:
        model: with the layer "pre_logits", whose output the features are.
    """

    def __init__(self, model):
        self._model = model
        affines, self._absorbed = what_folds(model)
        self._weights = {layer.name: _weights_of(layer, affines.get(layer.name, _UNCHANGED))
                         for layer in model.layers
                         if isinstance(layer, FOLDABLE) and is_linear(layer)}

    @property
    def variables(self):
        """All it reads."""
        taken = self._absorbed | set(self._weights)
        return ([kernel for kernel, _ in self._weights.values()]
                + [weight.value for layer in self._model.layers if layer.name not in taken
                   for weight in layer.weights])

    def __call__(self, images):
        """Runs it, or traces it inside a tf.function."""
        return logits_and_features(self._model, images, self._applied)

    def _applied(self, layer, x):
        if layer.name in self._absorbed or isinstance(layer, keras.layers.Dropout):
            return x
        if layer.name not in self._weights:
            return layer(x, training=False)
        kernel, bias = self._weights[layer.name]
        if isinstance(layer, keras.layers.Dense):
            return tf.nn.bias_add(tf.matmul(x, kernel), bias)
        x = tf.nn.conv2d(x, kernel, layer.strides, layer.padding.upper(),
                         dilations=layer.dilation_rate)
        return tf.nn.bias_add(x, bias)


def _weights_of(layer, affine):
    kernel, bias = folded_weights(layer, affine)
    return tf.Variable(kernel, trainable=False, name=f"{layer.name}/kernel"), bias


def logits_and_features(model, images, call):
    """The two of a functional model, layer by layer: call(layer, its inputs) gives its output.

    A value is dropped after its last reader. Keras itself keeps all of them to the end: 290 MB
    an image of Inception-ResNet-v2.
    """
    first, *others = model.layers
    ends = [model.output, model.get_layer("pre_logits").output]
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
