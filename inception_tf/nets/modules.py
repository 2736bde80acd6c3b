"""What more than one network has: stems, and reductions from one grid to the next.

Each step of a stem is an endpoint: `stem_1`, `stem_2`, ... and `stem`, the last.
"""

from inception_tf.nets.layers import Tensor, concat, conv_bn, kernel_pair, max_pool


def stem_v4(x: Tensor, name: str = "stem") -> Tensor:
    """Stem of Inception-v4 and of the paper's Inception-ResNet-v2 (Figure 3).

    Shape: [N, 299, 299, 3] -> [N, 35, 35, 384].

    The figure forgets stride 2 of its last convolution and the kernel of its last
    pool; 71x71 -> 35x35 and the released code settle both.
    """
    x = conv_bn(x, 32, 3, strides=2, padding="valid", name=f"{name}_1")  # 149x149
    x = conv_bn(x, 32, 3, padding="valid", name=f"{name}_2")  # 147x147
    x = conv_bn(x, 64, 3, name=f"{name}_3")

    pool = max_pool(x, name=f"{name}_4_pool")
    conv = conv_bn(x, 96, 3, strides=2, padding="valid", name=f"{name}_4_3x3")
    x = concat([pool, conv], name=f"{name}_4")  # 73x73x160

    short = conv_bn(x, 64, 1, name=f"{name}_5_short_1x1")
    short = conv_bn(short, 96, 3, padding="valid", name=f"{name}_5_short_3x3")

    # The figure draws 7x1 first, the released code 1x7.
    second, first = kernel_pair(7)
    long = conv_bn(x, 64, 1, name=f"{name}_5_long_1x1")
    long = conv_bn(long, 64, first, name=f"{name}_5_long_7_1")
    long = conv_bn(long, 64, second, name=f"{name}_5_long_7_2")
    long = conv_bn(long, 96, 3, padding="valid", name=f"{name}_5_long_3x3")
    x = concat([short, long], name=f"{name}_5")  # 71x71x192

    conv = conv_bn(x, 192, 3, strides=2, padding="valid", name=f"{name}_6_3x3")
    pool = max_pool(x, name=f"{name}_6_pool")
    return concat([conv, pool], name=name)


def stem_v3(x: Tensor, name: str = "stem") -> Tensor:
    """Stem of Inception-v3 and of the released Inception-ResNet-v2 (TF-slim).

    Shape: [N, 299, 299, 3] -> [N, 35, 35, 192].
    """
    x = conv_bn(x, 32, 3, strides=2, padding="valid", name=f"{name}_1")  # 149x149
    x = conv_bn(x, 32, 3, padding="valid", name=f"{name}_2")  # 147x147
    x = conv_bn(x, 64, 3, name=f"{name}_3")
    x = max_pool(x, name=f"{name}_4")  # 73x73
    x = conv_bn(x, 80, 1, name=f"{name}_5")
    x = conv_bn(x, 192, 3, padding="valid", name=f"{name}_6")  # 71x71
    return max_pool(x, name=name)


def stem_resnet_v1(x: Tensor, name: str = "stem") -> Tensor:
    """Stem of Inception-ResNet-v1 (Figure 14).

    Shape: [N, 299, 299, 3] -> [N, 35, 35, 256].
    """
    x = conv_bn(x, 32, 3, strides=2, padding="valid", name=f"{name}_1")  # 149x149
    x = conv_bn(x, 32, 3, padding="valid", name=f"{name}_2")  # 147x147
    x = conv_bn(x, 64, 3, name=f"{name}_3")
    x = max_pool(x, name=f"{name}_4")  # 73x73
    x = conv_bn(x, 80, 1, name=f"{name}_5")
    x = conv_bn(x, 192, 3, padding="valid", name=f"{name}_6")  # 71x71
    return conv_bn(x, 256, 3, strides=2, padding="valid", name=name)


def reduction_a(x: Tensor, *, k: int, l: int, m: int, n: int,  # noqa: E741 (the paper's letter)
                name: str = "reduction_a") -> Tensor:
    """Reduction-A, 35x35 to 17x17 grid, of all networks of the paper (Figure 7).

    k, l, m, n are the filters of Table 1.

    Shape: [N, 35, 35, C] -> [N, 17, 17, n + m + C].
    """
    short = conv_bn(x, n, 3, strides=2, padding="valid", name=f"{name}_short_3x3")

    long = conv_bn(x, k, 1, name=f"{name}_long_1x1")
    long = conv_bn(long, l, 3, name=f"{name}_long_3x3_1")
    long = conv_bn(long, m, 3, strides=2, padding="valid", name=f"{name}_long_3x3_2")

    pool = max_pool(x, name=f"{name}_pool")
    return concat([short, long, pool], name=name)


def reduction_b_v4(x: Tensor, name: str = "reduction_b") -> Tensor:
    """Reduction-B, 17x17 to 8x8 grid, of Inception-v4 (Figure 8).

    Shape: [N, 17, 17, 1024] -> [N, 8, 8, 1536].
    """
    short = conv_bn(x, 192, 1, name=f"{name}_short_1x1")
    short = conv_bn(short, 192, 3, strides=2, padding="valid", name=f"{name}_short_3x3")

    long = conv_bn(x, 256, 1, name=f"{name}_long_1x1")
    long = conv_bn(long, 256, (1, 7), name=f"{name}_long_1x7")
    long = conv_bn(long, 320, (7, 1), name=f"{name}_long_7x1")
    long = conv_bn(long, 320, 3, strides=2, padding="valid", name=f"{name}_long_3x3")

    pool = max_pool(x, name=f"{name}_pool")
    return concat([short, long, pool], name=name)


def reduction_b_resnet_v1(x: Tensor, name: str = "reduction_b") -> Tensor:
    """Reduction-B, 17x17 to 8x8 grid, of Inception-ResNet-v1 (Figure 12).

    Shape: [N, 17, 17, 896] -> [N, 8, 8, 1792].
    """
    wide = conv_bn(x, 256, 1, name=f"{name}_wide_1x1")
    wide = conv_bn(wide, 384, 3, strides=2, padding="valid", name=f"{name}_wide_3x3")

    short = conv_bn(x, 256, 1, name=f"{name}_short_1x1")
    short = conv_bn(short, 256, 3, strides=2, padding="valid", name=f"{name}_short_3x3")

    long = conv_bn(x, 256, 1, name=f"{name}_long_1x1")
    long = conv_bn(long, 256, 3, name=f"{name}_long_3x3_1")
    long = conv_bn(long, 256, 3, strides=2, padding="valid", name=f"{name}_long_3x3_2")

    pool = max_pool(x, name=f"{name}_pool")
    return concat([wide, short, long, pool], name=name)


def reduction_b_resnet_v2(x: Tensor, name: str = "reduction_b") -> Tensor:
    """Reduction-B, 17x17 to 8x8 grid, of Inception-ResNet-v2 (Figure 18).

    The figure's caption says v1; that of Figure 15 names it for v2.

    Shape: [N, 17, 17, 1152] -> [N, 8, 8, 2144] (released: 1088 -> 2080).
    """
    wide = conv_bn(x, 256, 1, name=f"{name}_wide_1x1")
    wide = conv_bn(wide, 384, 3, strides=2, padding="valid", name=f"{name}_wide_3x3")

    short = conv_bn(x, 256, 1, name=f"{name}_short_1x1")
    short = conv_bn(short, 288, 3, strides=2, padding="valid", name=f"{name}_short_3x3")

    long = conv_bn(x, 256, 1, name=f"{name}_long_1x1")
    long = conv_bn(long, 288, 3, name=f"{name}_long_3x3_1")
    long = conv_bn(long, 320, 3, strides=2, padding="valid", name=f"{name}_long_3x3_2")

    pool = max_pool(x, name=f"{name}_pool")
    return concat([wide, short, long, pool], name=name)
