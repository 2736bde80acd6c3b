"""How peers are imported that do not import as they are installed."""

import importlib
import importlib.util
import sys
import types
import unittest.mock

# What timm imports of torchvision and the networks here never call.
TORCHVISION = (
    "torchvision",
    "torchvision.datasets",
    "torchvision.models",
    "torchvision.models.feature_extraction",
    "torchvision.ops",
    "torchvision.ops.misc",
    "torchvision.transforms",
    "torchvision.transforms.functional",
)


def import_timm():
    """timm; where torchvision is not installed, with empty packages of that name.

    timm imports torchvision, which does not work with every build of torch.

    Raises: ImportError without timm or torch.
    """
    if importlib.util.find_spec("torchvision"):
        return importlib.import_module("timm")
    with unittest.mock.patch.dict(sys.modules):
        for name in TORCHVISION:
            sys.modules[name] = _Hollow(name)
            parent, _, leaf = name.rpartition(".")
            if parent:
                setattr(sys.modules[parent], leaf, sys.modules[name])
        timm = importlib.import_module("timm")
        loaded = {k: v for k, v in sys.modules.items() if k.partition(".")[0] != "torchvision"}
    sys.modules.update(loaded)
    return timm


class _Anything(type):
    """Class of classes with every attribute one can ask for."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return name


class _Hollow(types.ModuleType):
    """A package in which every name is an empty class."""

    __path__ = ()

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything(name, (), {})
