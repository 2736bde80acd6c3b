"""The arithmetic of nets/sizes.py against networks that are built (without memory, in a graph)."""

import pytest
import tensorflow as tf

from inception_tf import nets
from inception_tf.nets.anatomy import parameters
from inception_tf.nets.sizes import num_parameters

CASES = [
    *((net, {"width": 2.0, "repeats": (2, 1, 1), "classes": 21_841}) for net in nets.NETWORKS),
    ("inception_v3", {}),
    ("inception_v4", {"width": 0.5}),
]


@pytest.mark.parametrize(("net", "options"), CASES)
def test_num_parameters_is_near_those_of_the_built_network(net, options):
    with tf.Graph().as_default():
        built = nets.build(net, input_shape=(75, 75, 3), **options)
    assert num_parameters(net, **options) == pytest.approx(parameters(built).total, rel=0.1)
