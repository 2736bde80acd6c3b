"""The names torchvision's state dict gives to the weights of Inception-v3.

They come from TensorFlow, the network around them differs in one point from TF-slim's: its
average pools count padded cells. Input is -1 to 1: torchvision turns its own normalization
back (`transform_input`).
"""

from inception_tf.weights.readers import read_state_dict
from inception_tf.weights.slim import STEM_V3
from inception_tf.weights.table import (
    LEFT_BY_TORCH,
    Names,
    Table,
    block,
    blocks,
    torch_layout,
    torch_shape,
    torch_variables,
)

# F.avg_pool2d(count_include_pad=True), its default.
OPTIONS = {"inception_v3": {"pool_counts_padding": True}}


def _branch(theirs, *ours):
    """Our layers -> modules theirs1, theirs2, ... of a block."""
    return {layer: f"{theirs}{number}" for number, layer in enumerate(ours, start=1)}


_ENDS = {"1x1": "branch1x1", "pool_1x1": "branch_pool"}
_DOUBLE = _branch("branch3x3dbl_", "long_1x1", "long_3x3_1", "long_3x3_2")
_A = _ENDS | _branch("branch5x5_", "short_1x1", "short_5x5") | _DOUBLE
_REDUCTION_A = {"short_3x3": "branch3x3"} | _DOUBLE
_B = _ENDS | _branch("branch7x7_", "short_1x1", "short_1x7", "short_7x1") | _branch(
    "branch7x7dbl_", "long_1x1", "long_7x1_1", "long_1x7_1", "long_7x1_2", "long_1x7_2")
_REDUCTION_B = _branch("branch3x3_", "short_1x1", "short_3x3") | _branch(
    "branch7x7x3_", "long_1x1", "long_1x7", "long_7x1", "long_3x3")
_C = _ENDS | {
    "short_1x1": "branch3x3_1",
    "short_1x3": "branch3x3_2a",
    "short_3x1": "branch3x3_2b",
    "long_1x1": "branch3x3dbl_1",
    "long_3x3": "branch3x3dbl_2",
    "long_1x3": "branch3x3dbl_3a",
    "long_3x1": "branch3x3dbl_3b",
}


def inception_v3() -> Names:
    """Our layer with a kernel -> torchvision's module."""
    modules = dict(STEM_V3)  # whose names are TF-slim's
    modules |= blocks("inception_a", "Mixed_5{}.", "bcd", _A)
    modules |= block("reduction_a", "Mixed_6a.", _REDUCTION_A)
    modules |= blocks("inception_b", "Mixed_6{}.", "bcde", _B)
    modules |= block("reduction_b", "Mixed_7a.", _REDUCTION_B)
    modules |= blocks("inception_c", "Mixed_7{}.", "bc", _C)
    return modules | {
        "aux_1x1": "AuxLogits.conv0",
        "aux_5x5": "AuxLogits.conv1",
        "aux_logits": "AuxLogits.fc",
        "logits": "fc",
    }


# Its transforms: the shorter side to 342, low-passed, then the middle 299x299.
_PREPROCESSING = {"crop_fraction": 299 / 342, "interpolation": "bilinear",
                  "pixel_centers": "half", "antialias": True}

TABLE = Table(
    networks={"inception_v3": _PREPROCESSING},
    read=read_state_dict,
    names=lambda _network, _stored: torch_variables(inception_v3()),
    ignored=LEFT_BY_TORCH,
    stored_shape=torch_shape,
    layout=torch_layout,
    options=OPTIONS,
)
