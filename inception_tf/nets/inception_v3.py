"""Inception-v3 (arXiv 1512.00567), the baseline the paper compares with.

Built as the released TF-slim code has it, which differs from Table 1 of its paper
(docs/errata.md); figure numbers here are those of 1512.00567.
"""

from collections.abc import Callable, Sequence

import keras

from inception_tf.nets.assembly import Initializers, Spec, Top, WeightsPath, assemble, triple
from inception_tf.nets.layers import LayerOptions, Tensor, avg_pool, concat, conv_bn, max_pool
from inception_tf.nets.modules import stem_v3


def _truncated_normal(stddev):
    return {"class_name": "TruncatedNormal", "config": {"stddev": stddev}}


# The initializers are TF-slim's.
SPECS = {"inception_v3": Spec(
    repeats=(3, 4, 2),
    initializers=Initializers(
        conv="he_normal", logits="he_normal", aux_logits=_truncated_normal(0.001),
        aux_conv=_truncated_normal(0.01)),
    weights_of_blocks=(398_576, 1_701_168, 5_503_776),
    other_weights=2_651_792,
    features=2048,
)}

# This network alone varies its blocks along a stage (TF-slim). Blocks past the table's end
# take its last entry.
_POOL_FILTERS = (32, 64, 64)
_SEVEN_FILTERS = (128, 160, 160, 192)


def InceptionV3(
    include_top: bool = True,
    weights: WeightsPath = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable | None = "softmax",
    name: str = "inception_v3",
    *,
    aux_head: bool = False,
    dropout: float = 0.2,
    repeats: Sequence[int] | None = None,
    width: float = 1.0,
    batch_norm_momentum: float = 0.9997,
    batch_norm_gamma: bool = False,
    synchronized: bool = False,
    pool_counts_padding: bool = False,
) -> keras.Model:
    """Inception-v3. Arguments as in `InceptionV4`, except:

    Args:
        repeats: default (3, 4, 2).
        pool_counts_padding: average pools count padded cells as zeros, as torchvision's and
            timm's Inception-v3 do; TF-slim leaves them out of the mean.
    """
    spec = SPECS["inception_v3"]
    repeats = triple(repeats, spec.repeats, "repeats")
    layers = LayerOptions(
        kernel_initializer=spec.initializers.conv, width=width,
        batch_norm_momentum=batch_norm_momentum, batch_norm_gamma=batch_norm_gamma,
        synchronized=synchronized, pool_counts_padding=pool_counts_padding)
    top = Top(
        include_top=include_top, pooling=pooling, classes=classes,
        activation=classifier_activation, dropout=dropout, aux_head=aux_head,
        initializers=spec.initializers)
    return assemble(
        lambda image: body(image, repeats), layers, top,
        input_tensor=input_tensor, input_shape=input_shape, weights=weights, name=name)


def body(x: Tensor, repeats: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Inception-v3 without its classifier (TF-slim; Table 1 of 1512.00567).

    Shape: [N, 299, 299, 3] -> [N, 8, 8, 2048], and [N, 17, 17, 768] for the aux head.
    """
    num_a, num_b, num_c = repeats

    x = stem_v3(x)  # 35x35x192
    for i in range(num_a):
        x = inception_a(x, _entry(_POOL_FILTERS, i), f"inception_a_{i + 1}")

    x = reduction_a(x)  # 17x17x768
    for i in range(num_b):
        x = inception_b(x, _entry(_SEVEN_FILTERS, i), f"inception_b_{i + 1}")
    grid17 = x

    x = reduction_b(x)  # 8x8x1280
    for i in range(num_c):
        x = inception_c(x, f"inception_c_{i + 1}")
    return x, grid17


def inception_a(x: Tensor, pool_filters: int, name: str) -> Tensor:
    """35x35 block, Mixed_5b to 5d (Figure 5 of 1512.00567, with one 5x5 kept).

    Shape: [N, 35, 35, C] -> [N, 35, 35, 224 + pool_filters].
    """
    one = conv_bn(x, 64, 1, name=f"{name}_1x1")

    short = conv_bn(x, 48, 1, name=f"{name}_short_1x1")
    short = conv_bn(short, 64, 5, name=f"{name}_short_5x5")

    long = conv_bn(x, 64, 1, name=f"{name}_long_1x1")
    long = conv_bn(long, 96, 3, name=f"{name}_long_3x3_1")
    long = conv_bn(long, 96, 3, name=f"{name}_long_3x3_2")

    pool = avg_pool(x, name=f"{name}_pool")
    pool = conv_bn(pool, pool_filters, 1, name=f"{name}_pool_1x1")
    return concat([one, short, long, pool], name=name)


def reduction_a(x: Tensor, name: str = "reduction_a") -> Tensor:
    """35x35 to 17x17 grid, Mixed_6a (Figure 10 of 1512.00567).

    Shape: [N, 35, 35, 288] -> [N, 17, 17, 768].
    """
    short = conv_bn(x, 384, 3, strides=2, padding="valid", name=f"{name}_short_3x3")

    long = conv_bn(x, 64, 1, name=f"{name}_long_1x1")
    long = conv_bn(long, 96, 3, name=f"{name}_long_3x3_1")
    long = conv_bn(long, 96, 3, strides=2, padding="valid", name=f"{name}_long_3x3_2")

    pool = max_pool(x, name=f"{name}_pool")
    return concat([short, long, pool], name=name)


def inception_b(x: Tensor, filters: int, name: str) -> Tensor:
    """17x17 block, Mixed_6b to 6e (Figure 6 of 1512.00567).

    Shape: [N, 17, 17, 768] -> [N, 17, 17, 768].
    """
    one = conv_bn(x, 192, 1, name=f"{name}_1x1")

    short = conv_bn(x, filters, 1, name=f"{name}_short_1x1")
    short = conv_bn(short, filters, (1, 7), name=f"{name}_short_1x7")
    short = conv_bn(short, 192, (7, 1), name=f"{name}_short_7x1")

    long = conv_bn(x, filters, 1, name=f"{name}_long_1x1")
    long = conv_bn(long, filters, (7, 1), name=f"{name}_long_7x1_1")
    long = conv_bn(long, filters, (1, 7), name=f"{name}_long_1x7_1")
    long = conv_bn(long, filters, (7, 1), name=f"{name}_long_7x1_2")
    long = conv_bn(long, 192, (1, 7), name=f"{name}_long_1x7_2")

    pool = avg_pool(x, name=f"{name}_pool")
    pool = conv_bn(pool, 192, 1, name=f"{name}_pool_1x1")
    return concat([one, short, long, pool], name=name)


def reduction_b(x: Tensor, name: str = "reduction_b") -> Tensor:
    """17x17 to 8x8 grid, Mixed_7a (TF-slim; the form of Figure 10 of 1512.00567).

    Shape: [N, 17, 17, 768] -> [N, 8, 8, 1280].
    """
    short = conv_bn(x, 192, 1, name=f"{name}_short_1x1")
    short = conv_bn(short, 320, 3, strides=2, padding="valid", name=f"{name}_short_3x3")

    long = conv_bn(x, 192, 1, name=f"{name}_long_1x1")
    long = conv_bn(long, 192, (1, 7), name=f"{name}_long_1x7")
    long = conv_bn(long, 192, (7, 1), name=f"{name}_long_7x1")
    long = conv_bn(long, 192, 3, strides=2, padding="valid", name=f"{name}_long_3x3")

    pool = max_pool(x, name=f"{name}_pool")
    return concat([short, long, pool], name=name)


def inception_c(x: Tensor, name: str) -> Tensor:
    """8x8 block, Mixed_7b and 7c (Figure 7 of 1512.00567).

    Shape: [N, 8, 8, C] -> [N, 8, 8, 2048].
    """
    one = conv_bn(x, 320, 1, name=f"{name}_1x1")

    short = conv_bn(x, 384, 1, name=f"{name}_short_1x1")
    short_wide = conv_bn(short, 384, (1, 3), name=f"{name}_short_1x3")
    short_tall = conv_bn(short, 384, (3, 1), name=f"{name}_short_3x1")

    long = conv_bn(x, 448, 1, name=f"{name}_long_1x1")
    long = conv_bn(long, 384, 3, name=f"{name}_long_3x3")
    long_wide = conv_bn(long, 384, (1, 3), name=f"{name}_long_1x3")
    long_tall = conv_bn(long, 384, (3, 1), name=f"{name}_long_3x1")

    pool = avg_pool(x, name=f"{name}_pool")
    pool = conv_bn(pool, 192, 1, name=f"{name}_pool_1x1")
    return concat([one, short_wide, short_tall, long_wide, long_tall, pool], name=name)


def _entry(table, i):
    return table[min(i, len(table) - 1)]
