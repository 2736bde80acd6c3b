"""Inception-v4 (arXiv 1602.07261, Figures 3 to 9)."""

from collections.abc import Callable, Sequence

import keras

from inception_tf.nets.assembly import Initializers, Spec, Top, WeightsPath, assemble, triple
from inception_tf.nets.layers import LayerOptions, Tensor, avg_pool, concat, conv_bn, kernel_pair
from inception_tf.nets.modules import reduction_a, reduction_b_v4, stem_v4

# TF-slim initializes the convolutions by its variance_scaling_initializer, and leaves the rest
# at TF1's default.
SPECS = {"inception_v4": Spec(
    repeats=(4, 7, 3),
    initializers=Initializers(conv="he_normal"),
    weights_of_blocks=(318_240, 2_938_528, 4_556_352),
    other_weights=5_662_688,
    features=1536,
)}


def InceptionV4(
    include_top: bool = True,
    weights: WeightsPath = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable | None = "softmax",
    name: str = "inception_v4",
    *,
    aux_head: bool = False,
    dropout: float = 0.2,
    repeats: Sequence[int] | None = None,
    width: float = 1.0,
    batch_norm_momentum: float = 0.9997,
    batch_norm_gamma: bool = False,
    synchronized: bool = False,
    kernel_order: str = "released",
) -> keras.Model:
    """Inception-v4, with the signature of keras.applications.

    Args:
        include_top: with the classifier; otherwise the features.
        weights: None (random), the path of a .keras or .weights.h5 file saved from this
            network, or "imagenet": published weights, where there are any (docs/weights.md).
        input_tensor: a Keras tensor to use as image.
        input_shape: (height, width, channels), sides of 75 or more, or None for any
            size. Default (299, 299, 3), without top (None, None, 3).
        pooling: without top: None (a grid), "avg" or "max" (a vector).
        classes: size of the classifier.
        classifier_activation: None leaves the logits as output.
        name: name of the model.
        aux_head: add the auxiliary classifier. The model then has two outputs,
            [main, auxiliary], of the same size and activation.
        dropout: share of the pooled features dropped in training (the paper keeps 0.8).
        repeats: number of blocks per stage (A, B, C); default (4, 7, 3).
        width: multiplier of every layer's filters.
        batch_norm_momentum: decay of the batch statistics (0.9997: TF-slim).
        batch_norm_gamma: give batch norm a learned scale (TF-slim has none).
        synchronized: compute batch statistics over all replicas.
        kernel_order: order of the asymmetric kernels where figures and released code
            differ: "released" (weights load) or "figure".

    Shape: [N, H, W, 3] in -1..1 -> [N, classes].
    """
    spec = SPECS["inception_v4"]
    repeats = triple(repeats, spec.repeats, "repeats")
    layers = LayerOptions(
        kernel_initializer=spec.initializers.conv, width=width,
        batch_norm_momentum=batch_norm_momentum, batch_norm_gamma=batch_norm_gamma,
        synchronized=synchronized, kernel_order=kernel_order)
    top = Top(
        include_top=include_top, pooling=pooling, classes=classes,
        activation=classifier_activation, dropout=dropout, aux_head=aux_head,
        initializers=spec.initializers)
    return assemble(
        lambda image: body(image, repeats), layers, top,
        input_tensor=input_tensor, input_shape=input_shape, weights=weights, name=name)


def body(x: Tensor, repeats: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Inception-v4 without its classifier (Figure 9).

    Shape: [N, 299, 299, 3] -> [N, 8, 8, 1536], and [N, 17, 17, 1024] for the aux head.
    """
    num_a, num_b, num_c = repeats

    x = stem_v4(x)  # 35x35x384
    for i in range(num_a):
        x = inception_a(x, f"inception_a_{i + 1}")

    x = reduction_a(x, k=192, l=224, m=256, n=384)  # 17x17x1024
    for i in range(num_b):
        x = inception_b(x, f"inception_b_{i + 1}")
    grid17 = x

    x = reduction_b_v4(x)  # 8x8x1536
    for i in range(num_c):
        x = inception_c(x, f"inception_c_{i + 1}")
    return x, grid17


def inception_a(x: Tensor, name: str) -> Tensor:
    """Inception-A, 35x35 grid of Inception-v4 (Figure 4).

    Shape: [N, 35, 35, 384] -> [N, 35, 35, 384].
    """
    one = conv_bn(x, 96, 1, name=f"{name}_1x1")

    short = conv_bn(x, 64, 1, name=f"{name}_short_1x1")
    short = conv_bn(short, 96, 3, name=f"{name}_short_3x3")

    long = conv_bn(x, 64, 1, name=f"{name}_long_1x1")
    long = conv_bn(long, 96, 3, name=f"{name}_long_3x3_1")
    long = conv_bn(long, 96, 3, name=f"{name}_long_3x3_2")

    pool = avg_pool(x, name=f"{name}_pool")
    pool = conv_bn(pool, 96, 1, name=f"{name}_pool_1x1")
    return concat([one, short, long, pool], name=name)


def inception_b(x: Tensor, name: str) -> Tensor:
    """Inception-B, 17x17 grid of Inception-v4 (Figure 5).

    The figure prints 1x7 twice in its short branch; the second is 7x1.

    Shape: [N, 17, 17, 1024] -> [N, 17, 17, 1024].
    """
    one = conv_bn(x, 384, 1, name=f"{name}_1x1")

    short = conv_bn(x, 192, 1, name=f"{name}_short_1x1")
    short = conv_bn(short, 224, (1, 7), name=f"{name}_short_1x7")
    short = conv_bn(short, 256, (7, 1), name=f"{name}_short_7x1")

    # The figure draws 1x7 first, the released code 7x1.
    first, second = kernel_pair(7)
    long = conv_bn(x, 192, 1, name=f"{name}_long_1x1")
    long = conv_bn(long, 192, first, name=f"{name}_long_7_1")
    long = conv_bn(long, 224, second, name=f"{name}_long_7_2")
    long = conv_bn(long, 224, first, name=f"{name}_long_7_3")
    long = conv_bn(long, 256, second, name=f"{name}_long_7_4")

    pool = avg_pool(x, name=f"{name}_pool")
    pool = conv_bn(pool, 128, 1, name=f"{name}_pool_1x1")
    return concat([one, short, long, pool], name=name)


def inception_c(x: Tensor, name: str) -> Tensor:
    """Inception-C, 8x8 grid of Inception-v4 (Figure 6).

    Shape: [N, 8, 8, 1536] -> [N, 8, 8, 1536].
    """
    one = conv_bn(x, 256, 1, name=f"{name}_1x1")

    short = conv_bn(x, 384, 1, name=f"{name}_short_1x1")
    short_wide = conv_bn(short, 256, (1, 3), name=f"{name}_short_1x3")
    short_tall = conv_bn(short, 256, (3, 1), name=f"{name}_short_3x1")

    # The figure draws 1x3 first, the released code 3x1.
    first, second = kernel_pair(3)
    long = conv_bn(x, 384, 1, name=f"{name}_long_1x1")
    long = conv_bn(long, 448, first, name=f"{name}_long_3_1")
    long = conv_bn(long, 512, second, name=f"{name}_long_3_2")
    long_wide = conv_bn(long, 256, (1, 3), name=f"{name}_long_1x3")
    long_tall = conv_bn(long, 256, (3, 1), name=f"{name}_long_3x1")

    pool = avg_pool(x, name=f"{name}_pool")
    pool = conv_bn(pool, 256, 1, name=f"{name}_pool_1x1")
    return concat([one, short_wide, short_tall, long_wide, long_tall, pool], name=name)
