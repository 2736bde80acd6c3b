"""Weights of TF-slim, Keras or timm put into one of our networks, every array accounted for."""

import dataclasses
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from inception_tf.errors import UsageError, usage_errors_of
from inception_tf.weights import (
    facenet,
    facenet_pytorch,
    gluon,
    keras_applications,
    slim,
    timm,
    torchvision,
)
from inception_tf.weights.arrays import Refused, assign, read
from inception_tf.weights.download import ADDRESSES, local_path, without_secrets
from inception_tf.weights.table import AVERAGE, Table

# `--from` of the command -> Table.
TABLES = {
    "slim": slim.TABLE,
    "keras": keras_applications.TABLE,
    "timm": timm.TABLE,
    "torchvision": torchvision.TABLE,
    "gluon": gluon.TABLE,
    "facenet": facenet.TABLE,
    "facenet_pytorch": facenet_pytorch.TABLE,
}

# Every network here has more features before its classifier, at width 1.
MIN_FEATURES = 1000

# Without a shadow of every one of these a network would be half averaged.
_LEARNED = ("/kernel", "/bias", "/beta", "/gamma")

_AUX_HEAD = "auxiliary head (asked for with --aux_head)"
_UNIT_GAMMA = "scale of batch norm, equal to 1: left out"


@dataclasses.dataclass(frozen=True)
class Row:
    """What became of one array: "used", "ignored", or one of PROBLEMS."""

    state: str
    name: str
    shape: tuple[int, ...]
    note: str

    def __str__(self):
        return f"{self.state:10} {self.name} {list(self.shape)}: {self.note}"


PROBLEMS = ("missing", "other shape", "left over")


class Conversion:
    """A file matched with a network by names and shapes; `model()` then moves the numbers.

    Args:
        build: (classes, gamma) -> the keras.Model that takes the numbers, once both are known;
            gamma: whether the file has learned scales of batch norm.
        net: name of the network.
        source: a key of TABLES.
        path: the file, its address (`download.local_path`), or a checkpoint's prefix.
        classes: 1000 leaves out the background class of 1001; None takes what is there.
        aux_head: with the auxiliary classifier, where the file has one.
        weights: "ema" takes moving averages where every learned array has one, "raw" the
            weights themselves, "both" either.
        width: multiplier of the network's filters.

    Raises: UsageError when the file cannot be read, or holds no weights of `net`.
    """

    def __init__(self, build: Callable, net: str, source: str, path: str,
                 classes: int | None = None, aux_head: bool = False, weights: str = "ema",
                 width: float = 1.0):
        self._format = TABLES[source]
        _check_net(net, source, self._format, aux_head)
        self.net, self.source = net, source
        self.address = without_secrets(path) if path.startswith(ADDRESSES) else ""
        self.path = local_path(path)
        self.stored = _arrays_of(self._format, self.path)
        whole = self._format.names(net, self.stored)
        self._whole = set(whole.values())
        self._names = {k: v for k, v in whole.items() if aux_head or not k.startswith("aux_")}
        self.classes_found = _classes(self.stored, self._names, width)
        self.classes = _classes_wanted(self.classes_found, classes)
        self.unit_gammas = self._unit_gammas()
        self.averages = {} if weights == "raw" else _averages(self.stored, self._names)
        self.takes_raw = weights != "ema"
        self._names = {k: v for k, v in self._names.items() if v not in self.unit_gammas}
        self.gamma = any(path.endswith("/gamma") for path in self._names)
        self._model = build(self.classes, self.gamma)
        self.rows = list(self._wanted_rows())
        self.rows += list(self._other_rows({row.name for row in self.rows}))

    @property
    def preprocessing(self) -> dict:
        """Arguments of Preprocessing with which the published weights were scored."""
        return self._format.networks[self.net]

    @property
    def gives_classes(self) -> bool:
        """Whether the network ends in a classifier; else in an embedding."""
        return self._format.gives_classes

    def model(self) -> Any:
        """The network with its weights.

        Raises: UsageError for an array that is missing, left over, of another shape,
            damaged or not finite.
        """
        problems = [row for row in self.rows if row.state in PROBLEMS]
        if problems:
            counts = ", ".join(f"{sum(row.state == state for row in problems)} {state}"
                               for state in PROBLEMS)
            raise UsageError(f"the file does not hold {self.net} ({self.source}): {counts}; first: "
                             f"{problems[0].name} {problems[0].shape}: {problems[0].note}")
        assign(self._model, self.arrays())
        return self._model

    def arrays(self, averaged: bool = True) -> dict[str, np.ndarray]:
        """Variable path -> array; the weights themselves where there is no average."""
        return {weight.path: self._array(weight, averaged) for weight in self._model.weights}

    def _array(self, weight, averaged):
        if self._is_unit(weight):
            return np.ones(weight.shape, np.float32)
        name = self._names[weight.path]
        if averaged:
            name = self.averages.get(name, name)
        array = self._format.layout(weight.path, self._read(name))
        background = self.classes_found - self.classes
        return array[..., background:] if _is_head(weight.path) else array

    def _is_unit(self, weight):
        """Whether it is a learned scale, and those of the file are 1 or none."""
        return weight.path.endswith("/gamma") and not self.gamma

    def _read(self, name):
        with usage_errors_of(Refused):
            return read(self.stored, name)

    def _unit_gammas(self):
        """Names of the scales if all are there and 1: the network then needs none."""
        names = [name for path, name in self._names.items() if path.endswith("/gamma")]
        if all(name in self.stored and np.all(self._read(name) == 1) for name in names):
            return set(names)
        return set()

    def _wanted_rows(self):
        for weight in self._model.weights:
            if self._is_unit(weight):
                continue
            name = self._names[weight.path]
            shape = tuple(weight.shape)
            if _is_head(weight.path):
                shape = (*shape[:-1], self.classes_found)
            shape = self._format.stored_shape(self.net, weight.path, shape)
            if name not in self.averages:
                yield self._wanted_row(name, shape, weight.path)
                continue
            raw = self._wanted_row(name, shape, weight.path)
            ignored = Row("ignored", name, shape, "its moving average is taken")
            yield raw if self.takes_raw or raw.state in PROBLEMS else ignored
            yield self._wanted_row(self.averages[name], shape, f"average of {weight.path}")

    def _wanted_row(self, name, shape, path):
        if name not in self.stored:
            return Row("missing", name, shape, f"is not in the file; {path} needs it")
        if self.stored[name].shape != shape:
            return Row("other shape", name, self.stored[name].shape, f"{path} needs {shape}")
        cut = _is_head(path) and self.classes_found != self.classes
        return Row("used", name, shape, f"{path}{', without background' if cut else ''}")

    def _other_rows(self, wanted):
        for name in sorted(self.stored.keys() - wanted):
            reason = self._reason(name)
            yield Row("ignored" if reason else "left over", name, self.stored[name].shape,
                      reason or "is in no table of this network")

    def _reason(self, name):
        if name in self.unit_gammas:
            return _UNIT_GAMMA
        if name in self._whole:
            return _AUX_HEAD
        for pattern, reason in self._format.ignored.items():
            match = re.fullmatch(pattern, name)
            if match and (not match.groups() or match[1] in self._whole
                          or self._reason(match[1])):
                return reason
        return None


def _check_net(net, source, table: Table, aux_head):
    if net == "inception_resnet_v2":
        raise UsageError(
            "--net=inception_resnet_v2 is the paper's network, for which nobody published "
            f"weights: what {source} calls Inception-ResNet-v2 has another stem and 10/20/10 "
            "blocks; use --net=inception_resnet_v2_released"
        )
    if net not in table.networks:
        raise UsageError(f"--from={source} has no table for --net={net}; it has: "
                         f"{', '.join(table.networks)}")
    if aux_head and not any(path.startswith("aux_") for path in table.names(net, {})):
        raise UsageError(f"--aux_head: files of {source} hold no auxiliary head")


def _arrays_of(table, path):
    with usage_errors_of(Refused):
        stored = table.read(path)
    if not stored:
        raise UsageError(f"{path}: holds no arrays")
    return stored


def _averages(stored, table):
    """Name -> name of its moving average, where there is one; {} when a learned one lacks it."""
    shadows = {name: AVERAGE.format(name) for name in table.values()
               if AVERAGE.format(name) in stored}
    complete = all(name in shadows for path, name in table.items() if path.endswith(_LEARNED))
    return shadows if complete else {}


def _classes(stored, table, width):
    """Size of the classifier (or embedding) in the file; ImageNet's where it is missing.

    Raises: UsageError for more than its kernel can be for: the network is built before
        the shapes of all arrays are compared.
    """
    name = table.get("logits/bias") or table["bottleneck_bn/beta"]
    kernel = table.get("logits/kernel") or table["bottleneck/kernel"]
    if name not in stored or kernel not in stored or not stored[name].shape:
        return 1000
    classes, shape = stored[name].shape[-1], stored[kernel].shape
    if not 0 < classes * MIN_FEATURES * width < math.prod(shape):
        raise UsageError(f"array {name} claims {classes} classes, for which {kernel} of shape "
                         f"{shape} is too small")
    return classes


def _classes_wanted(found, asked):
    if asked is None or asked == found:
        return found
    if (found, asked) == (1001, 1000):
        return asked
    raise UsageError(
        f"--classes={asked}: the file has {found} classes. Only the background class (the "
        "first of 1001) can be left out; a missing one would have to be invented"
    )


def _is_head(path):
    return path.startswith(("logits/", "aux_logits/"))
