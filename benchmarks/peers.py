"""How peers are imported that do not import as they are installed."""

import contextlib
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
    """timm; where torchvision does not import, with empty packages of that name.

    timm imports torchvision, which does not work with every build of torch.

    Raises: ImportError without timm or torch.
    """
    with contextlib.suppress(ImportError, RuntimeError):
        importlib.import_module("torchvision")
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


def import_alone(name: str) -> types.ModuleType:
    """The module `name` without running the __init__ files of the packages around it.

    Those of torchvision and facenet-pytorch load torchvision's operations, which do not work with
    every build of torch; the files of their networks need none.

    Raises: ImportError without the package.
    """
    with unittest.mock.patch.dict(sys.modules):
        parts = name.split(".")
        for end in range(1, len(parts)):
            package = ".".join(parts[:end])
            found = importlib.util.find_spec(package)
            if found is None:
                raise ImportError(f"{package} is not installed")
            hollow = types.ModuleType(package)
            hollow.__path__ = found.submodule_search_locations
            sys.modules[package] = hollow
        return importlib.import_module(name)


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
