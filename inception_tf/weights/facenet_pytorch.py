"""The names facenet-pytorch's state dict gives to the weights of its Inception-ResNet-v1.

The modules of `InceptionResnetV1` (timesler/facenet-pytorch, 2.6.0): those of Cadene's
Inception-ResNet-v2 with stem and blocks of facenet's numbers. It computes what facenet does; of
its own are the learned scales of batch norm, 1 in the published files, and the input,
`(pixel - 127.5) / 128` for all of them.
"""

from inception_tf.weights.readers import read_state_dict
from inception_tf.weights.table import (
    LEFT_BY_TORCH,
    Table,
    block,
    blocks,
    torch_batch_norm,
    torch_layout,
    torch_shape,
    torch_variables,
)
from inception_tf.weights.timm import BLOCK8, BLOCK17, BLOCK35, MIXED_7A, REDUCTION_A, STEM_V3


def _names(_network, _stored):
    modules = STEM_V3 | {"stem": "conv2d_4b"}
    modules |= blocks("inception_resnet_a", "repeat_1.{}.", range(5), BLOCK35)
    modules |= block("reduction_a", "mixed_6a.", REDUCTION_A)
    modules |= blocks("inception_resnet_b", "repeat_2.{}.", range(10), BLOCK17)
    modules |= block("reduction_b", "mixed_7a.", MIXED_7A)
    modules |= blocks("inception_resnet_c", "repeat_3.{}.", range(5), BLOCK8)
    modules |= block("inception_resnet_c_6", "block8.", BLOCK8)
    return {**torch_variables(modules), "bottleneck/kernel": "last_linear.weight",
            **torch_batch_norm("bottleneck_bn", "last_bn")}


TABLE = Table(
    networks={"inception_resnet_v1": {}},
    read=read_state_dict,
    names=_names,
    ignored={**LEFT_BY_TORCH,
             r"logits\.(?:weight|bias)": "classifier of the people it was trained on"},
    stored_shape=torch_shape,
    layout=torch_layout,
)
