"""Inception-ResNet-v1 (arXiv 1602.07261, Figures 7 and 10 to 15)."""

from collections.abc import Callable, Sequence

import keras

from inception_tf.nets.assembly import Initializers, Spec, Top, WeightsPath, assemble, triple
from inception_tf.nets.layers import (
    LayerOptions,
    Tensor,
    concat,
    conv_bn,
    conv_linear,
    scaled_residual,
)
from inception_tf.nets.modules import reduction_a, reduction_b_resnet_v1, stem_resnet_v1

SPECS = {"inception_resnet_v1": Spec(
    repeats=(5, 10, 5),
    initializers=Initializers(),
    residual_scales=(0.17, 0.10, 0.20),  # facenet, TF-slim
    weights_of_blocks=(77_632, 690_560, 1_601_536),
    other_weights=5_675_408,
    features=1792,
)}


def InceptionResNetV1(
    include_top: bool = True,
    weights: WeightsPath = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable | None = "softmax",
    name: str = "inception_resnet_v1",
    *,
    aux_head: bool = False,
    dropout: float = 0.2,
    repeats: Sequence[int] | None = None,
    width: float = 1.0,
    batch_norm_momentum: float = 0.9997,
    batch_norm_gamma: bool = False,
    synchronized: bool = False,
    residual_scales: Sequence[float] | None = None,
    final_batch_norm: bool = False,
) -> keras.Model:
    """Inception-ResNet-v1. Arguments as in `InceptionV4`, except:

    Args:
        repeats: default (5, 10, 5).
        residual_scales: factor of the residual per stage (A, B, C) before it is added;
            default (0.17, 0.10, 0.20) (TF-slim, facenet; the paper gives none for v1).
    """
    spec = SPECS["inception_resnet_v1"]
    repeats = triple(repeats, spec.repeats, "repeats")
    scales = triple(residual_scales, spec.residual_scales, "residual_scales")
    layers = LayerOptions(
        kernel_initializer=spec.initializers.conv, width=width,
        batch_norm_momentum=batch_norm_momentum, batch_norm_gamma=batch_norm_gamma,
        synchronized=synchronized)
    top = Top(
        include_top=include_top, pooling=pooling, classes=classes,
        activation=classifier_activation, dropout=dropout, aux_head=aux_head,
        initializers=spec.initializers, final_batch_norm=final_batch_norm)
    return assemble(
        lambda image: body(image, repeats, scales), layers, top,
        input_tensor=input_tensor, input_shape=input_shape, weights=weights, name=name)


def body(x: Tensor, repeats: Sequence[int], scales: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Inception-ResNet-v1 without its classifier (Figure 15).

    Shape: [N, 299, 299, 3] -> [N, 8, 8, 1792], and [N, 17, 17, 896] for the aux head.
    """
    num_a, num_b, num_c = repeats
    scale_a, scale_b, scale_c = scales

    x = stem_resnet_v1(x)  # 35x35x256
    for i in range(num_a):
        x = inception_resnet_a(x, scale_a, f"inception_resnet_a_{i + 1}")

    x = reduction_a(x, k=192, l=192, m=256, n=384)  # 17x17x896
    for i in range(num_b):
        x = inception_resnet_b(x, scale_b, f"inception_resnet_b_{i + 1}")
    grid17 = x

    x = reduction_b_resnet_v1(x)  # 8x8x1792
    for i in range(num_c):
        x = inception_resnet_c(x, scale_c, f"inception_resnet_c_{i + 1}")
    return x, grid17


def inception_resnet_a(x: Tensor, scale: float, name: str) -> Tensor:
    """Inception-ResNet-A, 35x35 grid of Inception-ResNet-v1 (Figure 10).

    Shape: [N, 35, 35, 256] -> [N, 35, 35, 256].
    """
    one = conv_bn(x, 32, 1, name=f"{name}_1x1")

    short = conv_bn(x, 32, 1, name=f"{name}_short_1x1")
    short = conv_bn(short, 32, 3, name=f"{name}_short_3x3")

    long = conv_bn(x, 32, 1, name=f"{name}_long_1x1")
    long = conv_bn(long, 32, 3, name=f"{name}_long_3x3_1")
    long = conv_bn(long, 32, 3, name=f"{name}_long_3x3_2")

    residual = concat([one, short, long], name=f"{name}_concat")
    residual = conv_linear(residual, x.shape[-1], name=f"{name}_linear")  # 256
    return scaled_residual(x, residual, scale, name=name)


def inception_resnet_b(x: Tensor, scale: float, name: str) -> Tensor:
    """Inception-ResNet-B, 17x17 grid of Inception-ResNet-v1 (Figure 11).

    Shape: [N, 17, 17, 896] -> [N, 17, 17, 896].
    """
    one = conv_bn(x, 128, 1, name=f"{name}_1x1")

    long = conv_bn(x, 128, 1, name=f"{name}_long_1x1")
    long = conv_bn(long, 128, (1, 7), name=f"{name}_long_1x7")
    long = conv_bn(long, 128, (7, 1), name=f"{name}_long_7x1")

    residual = concat([one, long], name=f"{name}_concat")
    residual = conv_linear(residual, x.shape[-1], name=f"{name}_linear")  # 896
    return scaled_residual(x, residual, scale, name=name)


def inception_resnet_c(x: Tensor, scale: float, name: str, relu: bool = True) -> Tensor:
    """Inception-ResNet-C, 8x8 grid of Inception-ResNet-v1 (Figure 13).

    Shape: [N, 8, 8, 1792] -> [N, 8, 8, 1792].
    """
    one = conv_bn(x, 192, 1, name=f"{name}_1x1")

    long = conv_bn(x, 192, 1, name=f"{name}_long_1x1")
    long = conv_bn(long, 192, (1, 3), name=f"{name}_long_1x3")
    long = conv_bn(long, 192, (3, 1), name=f"{name}_long_3x1")

    residual = concat([one, long], name=f"{name}_concat")
    residual = conv_linear(residual, x.shape[-1], name=f"{name}_linear")  # 1792
    return scaled_residual(x, residual, scale, name=name, relu=relu)
