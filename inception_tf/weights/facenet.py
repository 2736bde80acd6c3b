"""The names facenet's checkpoints give to the weights of its Inception-ResNet-v1.

Written from the scopes of davidsandberg/facenet's `inception_resnet_v1.py`, which are
TF-slim's with stem and blocks of its own numbers.
"""

from inception_tf.weights.readers import read_checkpoint
from inception_tf.weights.slim import BLOCK8, BLOCK17, BLOCK35, MIXED_7A, REDUCTION_A, STEM_V3
from inception_tf.weights.table import LEFT_BY_TRAINING, Table, block, blocks, tf1_variables


def _scopes():
    """Our layer with a kernel -> facenet's scope."""
    layers = STEM_V3 | {"stem": "Conv2d_4b_3x3", "bottleneck": "Bottleneck"}
    layers |= blocks("inception_resnet_a", "Repeat/block35_{}/", range(1, 6), BLOCK35)
    layers |= block("reduction_a", "Mixed_6a/", REDUCTION_A)
    layers |= blocks("inception_resnet_b", "Repeat_1/block17_{}/", range(1, 11), BLOCK17)
    layers |= block("reduction_b", "Mixed_7a/", MIXED_7A)
    layers |= blocks("inception_resnet_c", "Repeat_2/block8_{}/", range(1, 6), BLOCK8)
    layers |= block("inception_resnet_c_6", "Block8/", BLOCK8)
    return {layer: f"InceptionResnetV1/{scope}" for layer, scope in layers.items()}


TABLE = Table(
    networks={"inception_resnet_v1": {}},
    read=read_checkpoint,
    names=lambda _network, _stored: tf1_variables(_scopes()),
    ignored={
        **LEFT_BY_TRAINING,
        r"Logits/(?:weights|biases)": "classifier of the people it was trained on",
        r"centers": "centres of the centre loss",
    },
)
