"""The float32 network of a SavedModel, in two forms.

A CPU runs a batch as two halves in parallel, which fills the gaps where threads wait for one
another, and with convolutions of fewer multiplications (winograd.py). A single image, and any
batch on another device, goes through the plain convolutions (plain.py).

Callers call the plain form, which is all that a converter to another format sees. Where
TensorFlow places the call on a CPU it substitutes the other function of the same
`api_implements`.
"""

import uuid

import keras
import tensorflow as tf

from inception_tf.serving.saved_model import winograd
from inception_tf.serving.saved_model.plain import PlainNetwork

# TensorFlow's name of the device type.
PROCESSOR = "CPU"


class ServedNetwork(PlainNetwork):
    """A PlainNetwork in float32, with a second form for several images on a CPU."""

    def __init__(self, model: keras.Model):
        super().__init__(model)
        # Unique: TensorFlow may exchange any functions of one interface in a process.
        interface = f"inception_network_{uuid.uuid4().hex}"
        spec = tf.TensorSpec([None, *model.input.shape[1:]], tf.float32)
        self._elsewhere, self._on_processor = (
            tf.function(self._with_all_variables(form), input_signature=[spec], autograph=False,
                        experimental_attributes={"api_implements": interface,
                                                 "api_preferred_device": device})
            for form, device in ((self.plain, "GPU"), (self.by_number, PROCESSOR)))

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

    def in_halves(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Two halves of the batch in parallel, with the convolutions that suit a CPU."""
        middle = tf.shape(images)[0] // 2
        layers = {name: self._fast(layer) for name, layer in self._folded.items()}
        halves = [self._answers(half, layers) for half in (images[:middle], images[middle:])]
        return tuple(tf.concat(answers, axis=0) for answers in zip(*halves, strict=True))

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
