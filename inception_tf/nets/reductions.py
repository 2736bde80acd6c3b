"""Reduction modules: they halve the grid and widen it.

Concat order of the released weights: convolutions left to right, pool last.
"""

from inception_tf.nets.layers import concat, conv_bn, max_pool


def reduction_a(x, widths, name="reduction_a"):
    """Reduction-A, 35x35 to 17x17 grid, of all networks of the paper (Figure 7).

    `widths` are the k, l, m, n of Table 1 (`specs.ReductionA`).

    Shape: [N, 35, 35, C] -> [N, 17, 17, n + m + C].
    """
    short = conv_bn(x, widths.n, 3, strides=2, padding="valid", name=f"{name}_short_3x3")

    long = conv_bn(x, widths.k, 1, name=f"{name}_long_1x1")
    long = conv_bn(long, widths.l, 3, name=f"{name}_long_3x3_1")
    long = conv_bn(long, widths.m, 3, strides=2, padding="valid", name=f"{name}_long_3x3_2")

    pool = max_pool(x, name=f"{name}_pool")
    return concat([short, long, pool], name=name)


def reduction_b_v4(x, name="reduction_b"):
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


def reduction_b_resnet_v1(x, name="reduction_b"):
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


def reduction_b_resnet_v2(x, name="reduction_b"):
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
