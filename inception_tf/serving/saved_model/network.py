"""A trained network as few TensorFlow operations, for a SavedModel.

The folded network (folding.py) is built without a second Keras model: convolutions and dense
layers become their operation, kernel and bias, which TensorFlow fuses with the ReLU that
follows; other layers are called as they are. Kernels are variables, biases constants: that
halves the variables to save, load and pass on.

A CPU runs a batch as two halves in parallel, which fills the gaps where threads wait for one
another, and with convolutions of fewer multiplications (winograd.py). A single image, and any
batch on another device, goes through the plain convolutions.

Callers call the plain form, which is all that a converter to another format sees. Where
TensorFlow places the call on a CPU it substitutes the other function of the same
`api_implements`.
"""

import uuid
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inception_tf.serving.saved_model import winograd
from inception_tf.serving.saved_model.folding import (
    FOLDABLE,
    Affine,
    folded_weights,
    is_linear,
    what_folds,
)

_UNCHANGED = Affine(np.ones(1), np.zeros(1))
# TensorFlow's name of the device type.
PROCESSOR = "CPU"


class ServedNetwork:
    """images [n, S, S, 3] -> (logits [n, K], features [n, C]), of a float32 functional model.

    Features are the output of its layer "pre_logits".
    """

    def __init__(self, model: keras.Model):
        self._model = model
        affines, absorbed, self._rectified = what_folds(model)
        self._left_out = absorbed | set(self._rectified.values()) | {
            layer.name for layer in model.layers if isinstance(layer, keras.layers.Dropout)}
        self._folded = {layer.name: layer for layer in model.layers
                        if isinstance(layer, FOLDABLE) and is_linear(layer)}
        self._weights = {name: _weights_of(layer, affines.get(name, _UNCHANGED))
                         for name, layer in self._folded.items()}
        # Unique: TensorFlow may exchange any functions of one interface in a process.
        interface = f"inception_network_{uuid.uuid4().hex}"
        spec = tf.TensorSpec([None, *model.input.shape[1:]], tf.float32)
        self._elsewhere, self._on_processor = (
            tf.function(self._with_all_variables(form), input_signature=[spec], autograph=False,
                        experimental_attributes={"api_implements": interface,
                                                 "api_preferred_device": device})
            for form, device in ((self.plain, "GPU"), (self.by_number, PROCESSOR)))

    @property
    def variables(self) -> list[tf.Variable]:
        """All variables it reads."""
        taken = self._left_out | set(self._folded)
        return ([kernel for kernel, _ in self._weights.values()]
                + [weight.value for layer in self._model.layers if layer.name not in taken
                   for weight in layer.weights])

    def __call__(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """(logits, features)."""
        self._on_processor.get_concrete_function().add_to_graph()
        return self._elsewhere(images)

    def _with_all_variables(self, form):
        """`form` with all variables captured: TensorFlow exchanges only functions with the same
        captures in the same order."""
        def traced(images):
            for variable in self.variables:
                tf.compat.v1.get_default_graph().capture(variable.handle)
            return form(images)

        return traced

    def by_number(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The CPU's form: a single image plain, a batch in halves."""
        return tf.cond(tf.shape(images)[0] > 1,
                       lambda: self.in_halves(images), lambda: self.plain(images))

    def plain(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """With ordinary convolutions."""
        return self._answers(images, {name: self._plain(layer)
                                      for name, layer in self._folded.items()})

    def in_halves(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Two halves of the batch in parallel, with the convolutions that suit a CPU."""
        middle = tf.shape(images)[0] // 2
        layers = {name: self._fast(layer) for name, layer in self._folded.items()}
        halves = [self._answers(half, layers) for half in (images[:middle], images[middle:])]
        return tuple(tf.concat(answers, axis=0) for answers in zip(*halves, strict=True))

    def _answers(self, images, layers):
        def applied(layer, x):
            if layer.name in self._left_out:
                return x
            if layer.name in layers:
                return layers[layer.name](x)
            return layer(x, training=False)

        return logits_and_features(self._model, images, applied)

    def _plain(self, layer):
        kernel, _ = self._weights[layer.name]
        if isinstance(layer, keras.layers.Dense):
            return lambda x: self._finished(layer, tf.matmul(x, kernel))
        return lambda x: self._finished(layer, tf.nn.conv2d(
            x, kernel, layer.strides, layer.padding.upper(), dilations=layer.dilation_rate))

    def _fast(self, layer):
        if isinstance(layer, keras.layers.Dense):
            return self._plain(layer)
        kernel, _ = self._weights[layer.name]
        if winograd.pays(layer):
            convolve = winograd.convolution(layer, kernel)
            return lambda x: self._finished(layer, convolve(x))
        if layer.kernel_size == layer.strides == (1, 1) and layer.groups == 1:
            return lambda x: self._pointwise(layer, x)
        return self._plain(layer)

    def _pointwise(self, layer, x):
        """1x1: a matrix product, whose kernel oneDNN does not reorder in every pass."""
        kernel, _ = self._weights[layer.name]
        channels, filters = kernel.shape[2:]
        flat = tf.matmul(tf.reshape(x, [-1, channels]), tf.reshape(kernel, [channels, filters]))
        return tf.reshape(self._finished(layer, flat), [-1, *layer.output.shape[1:]])

    def _finished(self, layer, x):
        """With the bias, and the ReLU where one follows."""
        _, bias = self._weights[layer.name]
        x = tf.nn.bias_add(x, bias)
        return tf.nn.relu(x) if layer.name in self._rectified else x


def _weights_of(layer, affine):
    kernel, bias = folded_weights(layer, affine)
    return tf.Variable(kernel, trainable=False, name=f"{layer.name}/kernel"), bias


def logits_and_features(model: keras.Model, images: tf.Tensor,
                        call: Callable[[keras.Layer, Any], Any]) -> tuple[tf.Tensor, tf.Tensor]:
    """Runs a functional model layer by layer: call(layer, its inputs) gives its output.

    A value is dropped after its last reader. Keras keeps all of them to the end: 290 MB an
    image with Inception-ResNet-v2.
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
