"""Other projects' networks; a test that needs one skips with the reason where it is not there."""

import importlib.util

import pytest

from benchmarks.peers import import_alone, import_timm


@pytest.fixture(scope="session")
def torch():
    return pytest.importorskip("torch", reason="torch is not installed")


@pytest.fixture(scope="session")
def timm(torch):
    if importlib.util.find_spec("timm") is None:
        pytest.skip("timm is not installed")
    return import_timm()


@pytest.fixture(scope="session")
def torchvision_inception(torch):
    """torchvision's module of Inception-v3."""
    return _alone("torchvision", "torchvision.models.inception")


@pytest.fixture(scope="session")
def facenet_pytorch(torch):
    """facenet-pytorch's module of Inception-ResNet-v1."""
    return _alone("facenet_pytorch", "facenet_pytorch.models.inception_resnet_v1")


def _alone(package, module):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    return import_alone(module)
