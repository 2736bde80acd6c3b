"""Inception-v4 and Inception-ResNet (arXiv 1602.07261) in Keras 3 and TensorFlow 2.

Public names load on first use; importing the package loads nothing heavy.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "FacenetInceptionResNetV1": "nets",
    "InceptionV3": "nets",
    "InceptionV4": "nets",
    "InceptionResNetV1": "nets",
    "InceptionResNetV2": "nets",
    "build": "nets",
    "list_models": "networks",
    "endpoints": "nets",
    "feature_pyramid": "nets",
    "preprocess_input": "nets.assembly",
    "decode_predictions": "nets.imagenet",
    "Config": "config",
    "preset": "config",
    "load": "serving.loaded",
    "LoadedModel": "serving.loaded",
    "load_model": "runs.network",
    "Preprocessing": "data.views",
    "open_predictions": "evaluation.predictions_file",
    "keep_freed_memory": "runtime.memory",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'inception_tf' has no attribute {name!r}")
    return getattr(importlib.import_module(f"inception_tf.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
