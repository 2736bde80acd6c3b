"""The networks of the paper: one function per figure, in pure Keras.

Nothing here imports tensorflow: the builders run under any Keras backend. A new network is
one file here and one line in `inception_tf.networks`.
"""

import importlib
from typing import Any

import keras

from inception_tf.nets.assembly import Spec, preprocess_input
from inception_tf.nets.endpoints import endpoints, feature_pyramid
from inception_tf.nets.facenet import FacenetInceptionResNetV1
from inception_tf.nets.inception_resnet_v1 import InceptionResNetV1
from inception_tf.nets.inception_resnet_v2 import InceptionResNetV2
from inception_tf.nets.inception_v3 import InceptionV3
from inception_tf.nets.inception_v4 import InceptionV4
from inception_tf.networks import NETWORKS


def build(name: str, **kwargs: Any) -> keras.Model:
    """The network called `name` in NETWORKS; `kwargs` go to its builder.

    Raises: ValueError for an unknown name.
    """
    module, builder = _home(name)
    return getattr(module, builder)(**kwargs)


def spec_of(name: str) -> Spec:
    """Numbers of the network called `name`; ValueError for an unknown one."""
    return _home(name)[0].SPECS[name]


def _home(name):
    if name not in NETWORKS:
        raise ValueError(f"unknown network {name!r}; known: {', '.join(NETWORKS)}")
    module, builder = NETWORKS[name].split(":")
    return importlib.import_module(f"inception_tf.nets.{module}"), builder


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
    "spec_of",
]
