"""Weights of TF-slim, Keras or timm put into a network of ours, every array accounted for."""

import dataclasses
import math
import re

import numpy as np

from inception_tf import nets
from inception_tf.errors import UsageError, usage_errors_of
from inception_tf.weights import facenet, keras_applications, slim, timm
from inception_tf.weights.arrays import Refused, assign, read
from inception_tf.weights.readers import AVERAGE, arrays_of

TABLES = {"slim": slim, "facenet": facenet, "keras": keras_applications, "timm": timm}

# Arrays that no network needs: pattern -> why. The group is the array they belong to.
_TRAINING = {
    r"global_step": "counter of training steps",
    r"beta[12]_power": "state of the optimizer",
    r"(.+)/(?:RMSProp|Momentum|Adam|Adagrad)(?:_\d+)?": "state of the optimizer",
    r"(.+)/ExponentialMovingAverage": "moving average; the weights themselves are taken",
}
IGNORED = {
    "slim": _TRAINING,
    "facenet": {
        **_TRAINING,
        r"Logits/(?:weights|biases)": "classifier of the people it was trained on",
        r"centers": "centres of the centre loss",
    },
    "keras": {r"optimizer.*": "state of the optimizer"},
    "timm": {
        r".+\.num_batches_tracked(?:/ExponentialMovingAverage)?": "counter of torch's batch norm",
        r"n_averaged(?:/ExponentialMovingAverage)?": "counter of torch's averaging",
        r"(.+)/ExponentialMovingAverage": "moving average; the weights themselves are taken",
    },
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
        net: network of ours.
        source: "slim", "facenet", "keras" or "timm".
        path: the file, or a checkpoint's prefix.
        classes: 1000 leaves out the background class of 1001; None takes what is there.
        aux_head: with the auxiliary classifier (slim only).
        weights: "ema" takes moving averages where every learned array has one, "raw" the
            weights themselves, "both" either.
        options: further arguments of the network's builder.

    Raises: UsageError when the file cannot be read, or holds no weights of `net`.
    """

    def __init__(self, net, source, path, classes=None, aux_head=False, weights="ema",
                 **options):
        _check_net(net, source, aux_head)
        self.net, self.source = net, source
        self.stored = arrays_of(source, path)
        self.table = _names(net, source, self.stored, aux_head)
        self.classes_found = _classes(self.stored, self.table, options.get("width", 1.0))
        self.classes = _classes_wanted(self.classes_found, classes)
        self.unit_gammas = self._unit_gammas()
        self.averages = {} if weights == "raw" else _averages(self.stored, self.table)
        self.takes_raw = weights != "ema"
        self.table = {k: v for k, v in self.table.items() if v not in self.unit_gammas}
        self.gamma = any(path.endswith("/gamma") for path in self.table)
        self._model = _network(net, source, self.classes, aux_head, self.gamma, options)
        self.rows = list(self._wanted_rows())
        self.rows += list(self._other_rows({row.name for row in self.rows}))

    def model(self):
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

    def arrays(self, averaged=True):
        """Variable path -> array; the weights themselves where there is no average."""
        return {path: self._array(path, averaged) for path in self.table}

    def _array(self, path, averaged):
        name = self.table[path]
        if averaged:
            name = self.averages.get(name, name)
        array = TABLES[self.source].layout(path, self._read(name))
        background = self.classes_found - self.classes
        return array[..., background:] if _is_head(path) else array

    def _read(self, name):
        with usage_errors_of(Refused):
            return read(self.stored, name)

    def _unit_gammas(self):
        """Names of the scales if all are there and 1: the network then needs none."""
        names = [name for path, name in self.table.items() if path.endswith("/gamma")]
        if all(name in self.stored and np.all(self._read(name) == 1) for name in names):
            return set(names)
        return set()

    def _wanted_rows(self):
        for weight in self._model.weights:
            name = self.table[weight.path]
            shape = tuple(weight.shape)
            if _is_head(weight.path):
                shape = (*shape[:-1], self.classes_found)
            shape = TABLES[self.source].stored_shape(self.net, weight.path, shape)
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
        whole = set(_names(self.net, self.source, self.stored, aux_head=True).values())
        for name in sorted(self.stored.keys() - wanted):
            reason = self._reason(name, whole)
            yield Row("ignored" if reason else "left over", name, self.stored[name].shape,
                      reason or "is in no table of this network")

    def _reason(self, name, whole):
        if name in self.unit_gammas:
            return _UNIT_GAMMA
        if name in whole:
            return _AUX_HEAD
        for pattern, reason in IGNORED[self.source].items():
            match = re.fullmatch(pattern, name)
            if match and (not match.groups() or match[1] in whole
                          or self._reason(match[1], whole)):
                return reason
        return None


def _check_net(net, source, aux_head):
    if net == "inception_resnet_v2":
        raise UsageError(
            "--net=inception_resnet_v2 is the paper's network, for which nobody published "
            f"weights: what {source} calls Inception-ResNet-v2 has another stem and 10/20/10 "
            "blocks; use --net=inception_resnet_v2_released"
        )
    if net not in TABLES[source].NETWORKS:
        raise UsageError(
            f"--from={source} has no table for --net={net}; it has: "
            f"{', '.join(TABLES[source].NETWORKS)}"
        )
    if aux_head and source != "slim":
        raise UsageError(f"--aux_head: files of {source} hold no auxiliary head")


def _network(net, source, classes, aux_head, gamma, options):
    if source == "facenet":
        return nets.FacenetInceptionResNetV1(classes, **options)
    return nets.build(
        net, classes=classes, aux_head=aux_head, batch_norm_gamma=gamma, **options)


def _averages(stored, table):
    """Name -> name of its moving average, where there is one; {} when a learned one lacks it."""
    shadows = {name: AVERAGE.format(name) for name in table.values()
               if AVERAGE.format(name) in stored}
    complete = all(name in shadows for path, name in table.items() if path.endswith(_LEARNED))
    return shadows if complete else {}


def _names(net, source, stored, aux_head):
    if source == "slim":
        return slim.names(net, aux_head)
    return TABLES[source].names(net, stored)


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
