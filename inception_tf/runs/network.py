"""A run's folder -> the network it trained, ready to score."""

import contextlib
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import inception_tf.nets as nets
from inception_tf.config import Config, Network
from inception_tf.errors import CheckpointError, UsageError
from inception_tf.nets.endpoints import freeze
from inception_tf.nets.sizes import image_bytes, num_parameters, pass_bytes
from inception_tf.runs.checkpoint import PREFIXES
from inception_tf.runs.choice import load_chosen
from inception_tf.runs.folder import checkpoints_of, read_config
from inception_tf.runtime.memory import require_memory

# ImageNet in full has 21,841.
MAX_CLASSES = 100_000
# Numbers that may be built on any file's word: 4 MB.
_SMALL = 10**6


def num_outputs(network: Network, num_classes: int) -> int:
    """Logits of the network: one more than the classes with a background class."""
    return num_classes + int(network.background_class)


def build_network(network: Network, num_classes: int, aux_head: bool | None = None,
                  precision: str = "float32") -> keras.Model:
    """The Keras model that `network` describes, giving logits.

    Args:
        network: its settings.
        num_classes: classes of the data set, background not counted.
        aux_head: overrides network.aux_head; scoring needs none.
        precision: Keras' dtype policy; under a mixed one weights and logits are float32.

    Returns:
        Model: float32 images [n, S, S, 3] in [-1, 1] -> logits [n, K], or
        [logits, aux_logits] with the auxiliary head.

    Raises:
        UsageError: a setting has no use in this network, or the machine cannot hold it.
    """
    _require_room(network, num_outputs(network, num_classes))
    settings = {
        "aux_head": network.aux_head if aux_head is None else aux_head,
        "dropout": network.dropout,
        "width": network.width,
        "repeats": network.repeats or None,
        "batch_norm_momentum": network.batch_norm_momentum,
        "batch_norm_gamma": network.batch_norm_gamma,
        "synchronized": network.batch_norm == "synchronized",
    }
    for name in ("residual_scales", "final_batch_norm", "pool_counts_padding"):
        if value := getattr(network, name):
            _require_use(name, network.net)
            settings[name] = value
    size = network.image_size
    with _dtype_policy(precision):
        model = nets.build(
            network.net, input_shape=(size, size, 3), classes=num_outputs(network, num_classes),
            classifier_activation=None, **settings,
        )
    if network.batch_norm == "frozen":
        _freeze_batch_norm(model)
    freeze(model, network.freeze)
    return model


def _require_use(name, net):
    """Refuses a setting of some networks only for a network `net` without it."""
    if name == "pool_counts_padding" and net != "inception_v3":
        raise UsageError(f"--{name} is for inception_v3 alone: no {net} that counts padded cells "
                         "is known")
    if name != "pool_counts_padding" and not nets.spec_of(net).residual_scales:
        raise UsageError(f"--{name}: {net} has no residual blocks")


def _require_room(network, classes):
    if classes > MAX_CLASSES:
        raise UsageError(f"{classes:,} classes: at most {MAX_CLASSES:,} are supported")
    weights = 4 * num_parameters(network.net, network.repeats, network.width, classes)
    require_memory(
        weights + pass_bytes(network.image_size, network.width),
        f"{network.net} of width {network.width:g}, blocks {_blocks(network)} and {classes:,} "
        f"classes at {network.image_size}x{network.image_size}",
        "take a smaller --width, --repeats or --image_size")


def require_room_for_batch(network: Network, views: int, flag: str) -> None:
    """Refuses a batch that cannot fit, before anything is read.

    Args:
        network: its settings.
        views: images of the network's size that are in this host's memory at once.
        flag: what to make smaller.

    Raises:
        UsageError: they need more memory than there is.
    """
    # A GPU has memory of its own for what the layers make of them.
    on_host = not tf.config.list_physical_devices("GPU")
    each = pass_bytes(network.image_size, network.width) if on_host else image_bytes(
        network.image_size)
    require_memory(views * each, f"{flag}: a batch of {views:,} images of "
                   f"{network.image_size}x{network.image_size}", f"take a smaller {flag}")


def refuse_false_claims(network: Network, num_classes: int, shapes: Iterable[Sequence[int]],
                        path: object) -> None:
    """Takes no memory on the word of a file: it must hold numbers for the network that it names.

    Args:
        network: what the file says of itself.
        num_classes: the same.
        shapes: of the arrays that it holds.
        path: of the file.

    Raises:
        UsageError: a network of that name would be more than twice as large, or deeper.
    """
    held = [math.prod(shape) for shape in shapes]
    claimed = num_parameters(network.net, network.repeats, network.width,
                             num_outputs(network, num_classes))
    # Each block has several arrays.
    if max(network.repeats, default=0) > len(held) or claimed > 2 * sum(held) + _SMALL:
        raise UsageError(
            f"{path} holds another network than it says: {len(held):,} arrays of {sum(held):,} "
            f"numbers, where {network.net} of width {network.width:g}, blocks {_blocks(network)} "
            f"and {num_classes:,} classes has about {claimed:,}")


def _blocks(network):
    return ",".join(map(str, network.repeats)) or "as in the figure"


@contextlib.contextmanager
def _dtype_policy(name):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _freeze_batch_norm(model):
    """Inference statistics in training too. Calling a layer with training=False at build
    time does not do it: Keras overrides that when the model is called with True."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False


def load_weights(model: keras.Model, arrays: Mapping[str, np.ndarray],
                 weights: str = "ema") -> None:
    """Puts the averaged ("ema") or the raw weights of a checkpoint's arrays into `model`.

    Raises:
        CheckpointError: an array is missing or has another shape.
    """
    for variable in model.weights:
        name = PREFIXES[weights] + variable.path
        array = arrays.get(name)
        if array is None:
            raise CheckpointError(f"the checkpoint has no array {name}")
        if array.shape != tuple(variable.shape):
            raise CheckpointError(f"{name} has shape {array.shape}, the network needs "
                                  f"{tuple(variable.shape)}")
        variable.assign(array)


def load_model(model_dir: str | os.PathLike, weights: str = "ema", which: str = "newest",
               ) -> tuple[keras.Model, Config, dict[str, Any]]:
    """(model, config, manifest) of a checkpoint in `model_dir`.

    The model gives logits and has no auxiliary head.

    Args:
        model_dir: folder of the run.
        weights: "ema" (averaged) or "raw".
        which: "newest", "best" or a step.

    Raises:
        UsageError: no configuration there, or no such checkpoint.
        CheckpointError: there are checkpoints and none is valid.
    """
    return load_run(model_dir, weights, which, ("model_dir", "which"))


def load_run(model_dir: str | os.PathLike, weights: str, which: str,
             names: tuple[str, str] = ("--model_dir", "--checkpoint"),
             ) -> tuple[keras.Model, Config, dict[str, Any]]:
    """As `load_model`, with what messages need.

    Args:
        model_dir, weights, which: as in `load_model`.
        names: what the user calls `model_dir` and `which`.
    """
    config = read_config(model_dir, names[0])
    arrays, manifest = load_chosen(checkpoints_of(model_dir), which, names[1])
    num_classes = len(manifest["class_names"])
    refuse_false_claims(config.network, num_classes, [a.shape for a in arrays.values()], model_dir)
    model = build_network(config.network, num_classes, aux_head=False)
    load_weights(model, arrays, weights)
    return model, config, manifest
