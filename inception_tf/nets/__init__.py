"""The networks of the paper: one function per figure, in pure Keras.

Nothing here imports tensorflow or another room of this package: the builders run
under any Keras backend.
"""

import importlib

from inception_tf.nets.assembly import preprocess_input
from inception_tf.nets.endpoints import endpoints, feature_pyramid
from inception_tf.nets.facenet import FacenetInceptionResNetV1
from inception_tf.nets.inception_resnet_v1 import InceptionResNetV1
from inception_tf.nets.inception_resnet_v2 import InceptionResNetV2
from inception_tf.nets.inception_v3 import InceptionV3
from inception_tf.nets.inception_v4 import InceptionV4
from inception_tf.networks import NETWORKS


def build(name, **kwargs):
    """The network called `name` in NETWORKS; `kwargs` go to its builder.

    Raises: ValueError for an unknown name.
    """
    if name not in NETWORKS:
        raise ValueError(f"unknown network {name!r}; known: {', '.join(NETWORKS)}")
    module, builder = NETWORKS[name].split(":")
    return getattr(importlib.import_module(f"inception_tf.nets.{module}"), builder)(**kwargs)


__all__ = [
    "NETWORKS",
    "FacenetInceptionResNetV1",
    "InceptionResNetV1",
    "InceptionResNetV2",
    "InceptionV3",
    "InceptionV4",
    "build",
    "endpoints",
    "feature_pyramid",
    "preprocess_input",
]
