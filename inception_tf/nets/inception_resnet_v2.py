"""Inception-ResNet-v2: the paper's (Figures 3, 7, 15 to 19) and the released one.

They are two networks. The paper draws the stem of Inception-v4, 5/10/5 blocks, and
classifies the last block's output. What Google released (TF-slim; carried by Keras
and timm) has the stem of Inception-v3 and one more module, 10/20/10 blocks, a last
block without ReLU, and a 1x1 convolution before the classifier.
"""

import functools
from collections.abc import Callable, Sequence

import keras

from inception_tf.nets.assembly import Initializers, Spec, Top, WeightsPath, assemble, triple
from inception_tf.nets.layers import (
    LayerOptions,
    Tensor,
    avg_pool,
    concat,
    conv_bn,
    conv_linear,
    scaled_residual,
)
from inception_tf.nets.modules import (
    reduction_a,
    reduction_b_resnet_v1,
    reduction_b_resnet_v2,
    stem_v3,
    stem_v4,
)

NAMES = {"paper": "inception_resnet_v2", "released": "inception_resnet_v2_released"}

# The paper says 0.1 to 0.3 for the residual scales; these are TF-slim's.
SPECS = {
    "inception_resnet_v2": Spec(
        repeats=(5, 10, 5),
        initializers=Initializers(),
        residual_scales=(0.17, 0.10, 0.20),
        weights_of_blocks=(137_808, 1_172_576, 2_089_600),
        other_weights=7_442_560,
        features=2144,
    ),
    "inception_resnet_v2_released": Spec(
        repeats=(10, 20, 10),
        initializers=Initializers(),
        residual_scales=(0.17, 0.10, 0.20),
        weights_of_blocks=(123_408, 1_127_456, 2_036_288),
        other_weights=10_190_656,
        features=1536,
    ),
}


def InceptionResNetV2(
    include_top: bool = True,
    weights: WeightsPath = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable | None = "softmax",
    name: str | None = None,
    *,
    variant: str = "paper",
    aux_head: bool = False,
    dropout: float = 0.2,
    repeats: Sequence[int] | None = None,
    width: float = 1.0,
    batch_norm_momentum: float = 0.9997,
    batch_norm_gamma: bool = False,
    synchronized: bool = False,
    kernel_order: str = "released",
    residual_scales: Sequence[float] | None = None,
    final_batch_norm: bool = False,
    reduction_b_figure: int = 18,
) -> keras.Model:
    """Inception-ResNet-v2. Arguments as in `InceptionV4`, except:

    Args:
        name: default "inception_resnet_v2", released: "inception_resnet_v2_released".
        variant: "paper" or "released", two different networks (see the module's text).
        repeats: default (5, 10, 5), released (10, 20, 10).
        residual_scales: factor of the residual per stage (A, B, C) before it is added;
            default (0.17, 0.10, 0.20) (TF-slim; the paper says 0.1 to 0.3). The last
            block of the released variant always has 1.0.
        final_batch_norm: batch norm before the pool, a remedy that section 3.3 rejects.
        reduction_b_figure: 18, or 12: the smaller Reduction-B that gives the 2048
            channels Figure 19 prints (paper variant only).
    """
    _check_variant(variant, reduction_b_figure)
    spec = SPECS[NAMES[variant]]
    repeats = triple(repeats, spec.repeats, "repeats")
    scales = triple(residual_scales, spec.residual_scales, "residual_scales")

    def body(image):
        if variant == "released":
            return body_released(image, repeats, scales)
        return body_paper(image, repeats, scales, _REDUCTIONS_B[reduction_b_figure])

    layers = LayerOptions(
        kernel_initializer=spec.initializers.conv, width=width,
        batch_norm_momentum=batch_norm_momentum, batch_norm_gamma=batch_norm_gamma,
        synchronized=synchronized, kernel_order=kernel_order)
    top = Top(
        include_top=include_top, pooling=pooling, classes=classes,
        activation=classifier_activation, dropout=dropout, aux_head=aux_head,
        initializers=spec.initializers, final_batch_norm=final_batch_norm)
    return assemble(
        body, layers, top, input_tensor=input_tensor, input_shape=input_shape,
        weights=weights, name=name or NAMES[variant])


# Figure -> Reduction-B.
_REDUCTIONS_B = {12: reduction_b_resnet_v1, 18: reduction_b_resnet_v2}

InceptionResNetV2Released = functools.partial(InceptionResNetV2, variant="released")


def body_paper(x: Tensor, repeats: Sequence[int], scales: Sequence[float],
               reduction_b: Callable[[Tensor], Tensor] = reduction_b_resnet_v2
               ) -> tuple[Tensor, Tensor]:
    """The paper's Inception-ResNet-v2 without its classifier (Figure 15).

    Shape: [N, 299, 299, 3] -> [N, 8, 8, 2144], and [N, 17, 17, 1152] for the aux head.
    """
    num_a, num_b, num_c = repeats
    scale_a, scale_b, scale_c = scales

    x = stem_v4(x)  # 35x35x384
    for i in range(num_a):
        x = inception_resnet_a(x, scale_a, f"inception_resnet_a_{i + 1}")

    x = reduction_a(x, k=256, l=256, m=384, n=384)  # 17x17x1152
    for i in range(num_b):
        x = inception_resnet_b(x, scale_b, f"inception_resnet_b_{i + 1}")
    grid17 = x

    x = reduction_b(x)  # 8x8x2144
    for i in range(num_c):
        x = inception_resnet_c(x, scale_c, f"inception_resnet_c_{i + 1}")
    return x, grid17


def body_released(x: Tensor, repeats: Sequence[int], scales: Sequence[float]
                  ) -> tuple[Tensor, Tensor]:
    """The released Inception-ResNet-v2 without its classifier (TF-slim).

    Shape: [N, 299, 299, 3] -> [N, 8, 8, 1536], and [N, 17, 17, 1088] for the aux head.
    """
    num_a, num_b, num_c = repeats
    scale_a, scale_b, scale_c = scales

    x = stem_v3(x)  # 35x35x192
    x = mixed_5b(x)  # 35x35x320
    for i in range(num_a):
        x = inception_resnet_a(x, scale_a, f"inception_resnet_a_{i + 1}")

    x = reduction_a(x, k=256, l=256, m=384, n=384)  # 17x17x1088
    for i in range(num_b):
        x = inception_resnet_b(x, scale_b, f"inception_resnet_b_{i + 1}")
    grid17 = x

    x = reduction_b_resnet_v2(x)  # 8x8x2080
    for i in range(num_c - 1):
        x = inception_resnet_c(x, scale_c, f"inception_resnet_c_{i + 1}")
    if num_c:
        x = inception_resnet_c(x, 1.0, f"inception_resnet_c_{num_c}", relu=False)
    return conv_bn(x, 1536, 1, name="conv_7b"), grid17


def mixed_5b(x: Tensor, name: str = "mixed_5b") -> Tensor:
    """Widens the 35x35 grid before the blocks of the released variant (TF-slim).

    Shape: [N, 35, 35, 192] -> [N, 35, 35, 320].
    """
    one = conv_bn(x, 96, 1, name=f"{name}_1x1")

    short = conv_bn(x, 48, 1, name=f"{name}_short_1x1")
    short = conv_bn(short, 64, 5, name=f"{name}_short_5x5")

    long = conv_bn(x, 64, 1, name=f"{name}_long_1x1")
    long = conv_bn(long, 96, 3, name=f"{name}_long_3x3_1")
    long = conv_bn(long, 96, 3, name=f"{name}_long_3x3_2")

    pool = avg_pool(x, name=f"{name}_pool")
    pool = conv_bn(pool, 64, 1, name=f"{name}_pool_1x1")
    return concat([one, short, long, pool], name=name)


def inception_resnet_a(x: Tensor, scale: float, name: str) -> Tensor:
    """Inception-ResNet-A, 35x35 grid of Inception-ResNet-v2 (Figure 16).

    Shape: [N, 35, 35, 384] -> the same (released: 320 channels).
    """
    one = conv_bn(x, 32, 1, name=f"{name}_1x1")

    short = conv_bn(x, 32, 1, name=f"{name}_short_1x1")
    short = conv_bn(short, 32, 3, name=f"{name}_short_3x3")

    long = conv_bn(x, 32, 1, name=f"{name}_long_1x1")
    long = conv_bn(long, 48, 3, name=f"{name}_long_3x3_1")
    long = conv_bn(long, 64, 3, name=f"{name}_long_3x3_2")

    residual = concat([one, short, long], name=f"{name}_concat")
    residual = conv_linear(residual, x.shape[-1], name=f"{name}_linear")
    return scaled_residual(x, residual, scale, name=name)


def inception_resnet_b(x: Tensor, scale: float, name: str) -> Tensor:
    """Inception-ResNet-B, 17x17 grid of Inception-ResNet-v2 (Figure 17).

    The figure prints 1154 for the linear layer; its shortcut has 1152.

    Shape: [N, 17, 17, 1152] -> the same (released: 1088 channels).
    """
    one = conv_bn(x, 192, 1, name=f"{name}_1x1")

    long = conv_bn(x, 128, 1, name=f"{name}_long_1x1")
    long = conv_bn(long, 160, (1, 7), name=f"{name}_long_1x7")
    long = conv_bn(long, 192, (7, 1), name=f"{name}_long_7x1")

    residual = concat([one, long], name=f"{name}_concat")
    residual = conv_linear(residual, x.shape[-1], name=f"{name}_linear")
    return scaled_residual(x, residual, scale, name=name)


def inception_resnet_c(x: Tensor, scale: float, name: str, relu: bool = True) -> Tensor:
    """Inception-ResNet-C, 8x8 grid of Inception-ResNet-v2 (Figure 19).

    The figure prints 2048 for the linear layer; its shortcut has 2144.

    Shape: [N, 8, 8, 2144] -> the same (released: 2080 channels).
    """
    one = conv_bn(x, 192, 1, name=f"{name}_1x1")

    long = conv_bn(x, 192, 1, name=f"{name}_long_1x1")
    long = conv_bn(long, 224, (1, 3), name=f"{name}_long_1x3")
    long = conv_bn(long, 256, (3, 1), name=f"{name}_long_3x1")

    residual = concat([one, long], name=f"{name}_concat")
    residual = conv_linear(residual, x.shape[-1], name=f"{name}_linear")
    return scaled_residual(x, residual, scale, name=name, relu=relu)


def _check_variant(variant, reduction_b_figure):
    if variant not in ("paper", "released"):
        raise ValueError(f"variant is 'paper' or 'released', got {variant!r}")
    if reduction_b_figure not in (12, 18):
        raise ValueError(f"reduction_b_figure is 18 or 12, got {reduction_b_figure!r}")
    if variant == "released" and reduction_b_figure != 18:
        raise ValueError("reduction_b_figure=12 is a reading of the paper's variant only")
