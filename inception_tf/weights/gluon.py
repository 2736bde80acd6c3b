"""GluonCV's Inception-v3 as timm publishes it (inception_v3.gluon_in1k).

Names and network are those of timm's Inception-v3; images are normalized with ImageNet's mean
and deviation. Our networks take pixels from -1 to 1: the difference is affine per channel, and
goes into the first convolution, which has no padding, and the batch norm behind it.
"""

import dataclasses

import numpy as np

from inception_tf.weights import timm
from inception_tf.weights.arrays import Stored
from inception_tf.weights.readers import read_state_dict

# Of pixels from 0 to 1 [timm's default_cfg: IMAGENET_DEFAULT_MEAN and _STD].
_MEAN = np.array([0.485, 0.456, 0.406])
_DEVIATION = np.array([0.229, 0.224, 0.225])
_KERNEL = "Conv2d_1a_3x3.conv.weight"
_RUNNING_MEAN = "Conv2d_1a_3x3.bn.running_mean"


def _read(path):
    stored = read_state_dict(path)
    return stored | _for_our_input(stored) if {_KERNEL, _RUNNING_MEAN} <= stored.keys() else stored


def _for_our_input(stored):
    """The first kernel and the mean behind it, for pixels x from -1 to 1.

    The pixel from 0 to 1 is (x + 1) / 2, the input that was trained on `scale * x + shift`.
    """
    kernel, mean = stored[_KERNEL], stored[_RUNNING_MEAN]
    scale, shift = 0.5 / _DEVIATION, (0.5 - _MEAN) / _DEVIATION

    def for_channels(values):
        return np.float64(kernel.read()) * values[:, None, None]

    return {
        _KERNEL: Stored(kernel.shape, lambda: np.float32(for_channels(scale))),
        _RUNNING_MEAN: Stored(mean.shape, lambda: np.float32(
            mean.read() - for_channels(shift).sum(axis=(1, 2, 3)))),
    }


_NET = "inception_v3"
TABLE = dataclasses.replace(
    timm.TABLE, networks={_NET: timm.TABLE.networks[_NET]}, read=_read)
