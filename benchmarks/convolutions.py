"""Could another form of a convolution make training faster? Forms beside TensorFlow's own.

    python -m benchmarks.convolutions [--quick]

Every convolution of the released Inception-ResNet-v2 at 299x299, batch 8: forward, towards the
input and towards the kernel, on two cores or more. The forms of one convolution take turns. A
form's time is that of all convolutions of the network, where it does not apply that of TensorFlow's
own; "the fastest of each" takes the best form of every convolution. Writes
results/convolutions.json.
"""

import collections
import logging
import statistics
from typing import NamedTuple

from benchmarks import harness
from benchmarks.gpu_tensorflow_cases import SMALL
from inception_tf.commands.shell import import_tensorflow

BATCH, ROUNDS = 8, 5
OWN, BEST = "TensorFlow's convolutions", "the fastest of each"
PRECISIONS = ("float32", "bfloat16")


class Shape(NamedTuple):
    """A convolution of the network: of images [size[0], size[1], channels]."""

    size: tuple
    channels: int
    filters: int
    kernel: tuple
    stride: int
    padding: str


def main():
    """Prints a line a form; keeps the result."""
    arguments = harness.arguments(__doc__)
    import_tensorflow()
    # It warns of functions that are traced for many shapes, which is what is wanted here.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    shapes = shapes_of(arguments.quick)
    result = {"batch": BATCH, "convolutions": shapes.total(), "precisions": {}}
    for precision in PRECISIONS:
        times = [(count, measured(shape, precision, arguments.quick))
                 for shape, count in shapes.items()]
        rows = result["precisions"][precision] = totals(times)
        for name, row in rows.items():
            print(f"{precision}, {name}: {1e3 * row['seconds']:.0f} ms, {row['ratio']:.2f} times "
                  f"as fast, on {row['convolutions']} convolutions", flush=True)
    return harness.keep("convolutions", result, arguments.quick)


def shapes_of(quick):
    """Counter of the Shapes of the network's convolutions."""
    import keras

    from inception_tf import nets

    small = dict(SMALL) if quick else {"image_size": 299}
    size = small.pop("image_size")
    model = nets.build("inception_resnet_v2_released", input_shape=(size, size, 3), classes=10,
                       **small)
    return collections.Counter(
        Shape(layer.input.shape[1:3], layer.input.shape[-1], layer.filters, layer.kernel_size,
              layer.strides[0], layer.padding.upper())
        for layer in model.layers if isinstance(layer, keras.layers.Conv2D))


def measured(shape, precision, quick):
    """Form -> median seconds, of those that apply to the Shape."""
    import tensorflow as tf

    batch, rounds = (2, 1) if quick else (BATCH, ROUNDS)
    images = tf.cast(tf.random.normal([batch, *shape.size, shape.channels]), precision)
    kernel = tf.cast(tf.random.normal([*shape.kernel, shape.channels, shape.filters]), precision)
    outputs = tf.nn.conv2d(images, kernel, shape.stride, shape.padding)
    gradients = tf.cast(tf.random.normal(outputs.shape), precision)
    calls = {}
    for name, (form, applies) in FORMS.items():
        if applies(shape):
            call = tf.function(lambda *given, form=form: form(*given, shape), autograph=False)
            calls[name] = lambda call=call: call(images, kernel, gradients)[0].numpy()
    return {name: statistics.median(clock["wall"])
            for name, clock in harness.interleaved(calls, rounds, warmup=2).items()}


def totals(times):
    """Form -> seconds of all convolutions, times as fast as TensorFlow's own, how many it takes.

    times: (how often, form -> seconds), a convolution each.
    """
    own = sum(count * forms[OWN] for count, forms in times)
    rows = {}
    for name in (*FORMS, BEST):
        taken = [(count, forms.get(name, min(forms.values()) if name == BEST else forms[OWN]))
                 for count, forms in times]
        seconds = sum(count * each for count, each in taken)
        number = sum(count for count, forms in times if name in forms or (
            name == BEST and min(forms, key=forms.get) != OWN))
        rows[name] = {"seconds": seconds, "ratio": own / seconds, "convolutions": number}
    return rows


def _own(images, kernel, gradients, shape):
    """(outputs, gradient of the images, gradient of the kernel)."""
    import tensorflow as tf

    strides = [1, shape.stride, shape.stride, 1]
    return (tf.nn.conv2d(images, kernel, strides, shape.padding),
            tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(images), filter=kernel, out_backprop=gradients,
                strides=strides, padding=shape.padding),
            tf.raw_ops.Conv2DBackpropFilter(
                input=images, filter_sizes=tf.shape(kernel), out_backprop=gradients,
                strides=strides, padding=shape.padding))


def _products(images, kernel, gradients, shape):
    """All three of a 1x1 convolution as matrix products."""
    import tensorflow as tf

    pixels = tf.reshape(images, [-1, shape.channels])
    outputs = tf.matmul(pixels, tf.reshape(kernel, kernel.shape[2:]))
    return (tf.reshape(outputs, gradients.shape), *_product_gradients(images, kernel, gradients))


def _products_backward(images, kernel, gradients, shape):
    """The two gradients of a 1x1 convolution as matrix products."""
    import tensorflow as tf

    return (tf.nn.conv2d(images, kernel, 1, shape.padding),
            *_product_gradients(images, kernel, gradients))


def _product_gradients(images, kernel, gradients):
    import tensorflow as tf

    matrix = tf.reshape(kernel, kernel.shape[2:])
    pixels = tf.reshape(images, [-1, images.shape[-1]])
    flat = tf.reshape(gradients, [-1, gradients.shape[-1]])
    return (tf.reshape(tf.matmul(flat, matrix, transpose_b=True), images.shape),
            tf.reshape(tf.matmul(pixels, flat, transpose_a=True), kernel.shape))


def _halves(images, kernel, gradients, shape):
    """The batch as two halves side by side."""
    import tensorflow as tf

    parts = [_own(half, kernel, gradient, shape) for half, gradient in
             zip(tf.split(images, 2), tf.split(gradients, 2), strict=True)]
    outputs, towards_images, towards_kernel = zip(*parts, strict=True)
    return tf.concat(outputs, 0), tf.concat(towards_images, 0), tf.add_n(towards_kernel)


def _forward_for_input(images, kernel, gradients, shape):
    """The gradient of the images as a convolution of the output's with the turned kernel."""
    import tensorflow as tf

    outputs, _, towards_kernel = _own(images, kernel, gradients, shape)
    turned = tf.transpose(tf.reverse(kernel, [0, 1]), [0, 1, 3, 2])
    padding = "SAME"
    if shape.padding == "VALID":
        padding = [[0, 0], *([side - 1, side - 1] for side in shape.kernel), [0, 0]]
    return outputs, tf.nn.conv2d(gradients, turned, 1, padding), towards_kernel


# Name -> (images, kernel, gradients of the outputs, shape -> three tensors; the Shapes it is for).
FORMS = {
    OWN: (_own, lambda shape: True),
    "1x1 as matrix products": (_products, lambda shape: shape.kernel == (1, 1)),
    "gradients of 1x1 as matrix products": (
        _products_backward, lambda shape: shape.kernel == (1, 1)),
    "two halves of the batch side by side": (_halves, lambda shape: True),
    "towards the input by a forward convolution": (
        _forward_for_input, lambda shape: shape.stride == 1),
}


if __name__ == "__main__":
    main()
