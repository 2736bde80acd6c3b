"""Error curves of arXiv 1602.07261, read off its vector figures (±0.5 epoch, ±0.05 %)."""

# Figures 21 and 23: epoch -> top-1 error in % on the 48,238 images that are not blacklisted.
TOP1 = {
    "inception_v3": {40: 29.3, 60: 26.5, 80: 24.6, 100: 23.3, 120: 22.4, 140: 21.8, 160: 21.5,
                     180: 21.4, 200: 21.3},
    "inception_resnet_v1": {20: 27.9, 40: 24.8, 60: 23.0, 80: 22.1, 100: 21.6, 120: 21.4,
                            140: 21.4, 160: 21.4, 180: 21.5, 200: 21.4},
    "inception_v4": {20: 31.8, 40: 27.4, 60: 24.6, 80: 22.7, 100: 21.3, 120: 20.4, 140: 20.1,
                     160: 19.9},
    "inception_resnet_v2": {20: 29.5, 40: 25.8, 60: 23.5, 80: 22.0, 100: 20.8, 120: 20.0,
                            140: 19.8, 160: 19.7},
}

# The same figures: threshold of top-1 error in % -> epoch at which a curve falls below it.
EPOCHS_TO = {
    "inception_v3": {26: 64, 25: 74, 24: 88.5, 23: 105, 22: 132.5, 21.5: 158.5},
    "inception_resnet_v1": {26: 30.5, 25: 38.5, 24: 47.5, 23: 61, 22: 82, 21.5: 112},
    "inception_v4": {26: 49.5, 25: 56.5, 24: 66, 23: 76, 22: 89.5, 21.5: 97, 21: 105.5,
                     20.5: 117, 20: 135.5},
    "inception_resnet_v2": {26: 39, 25: 47, 24: 56, 23: 66, 22: 78.5, 21.5: 89, 21: 98,
                            20.5: 107.5, 20: 120.5},
}


def curve_of(net: str, dataset: str) -> dict[int, float]:
    """Epoch -> top-1 error in percent of the paper's run of `net`; {} where it shows none.

    The released Inception-ResNet-v2 has the curve of Inception-ResNet-v2, which it is nearest to.
    """
    if dataset.partition(":")[0] != "imagenet2012":
        return {}
    return TOP1.get(net.removesuffix("_released"), {})
