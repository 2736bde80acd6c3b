"""A run's folder -> the network it trained, ready to score."""

import contextlib
from pathlib import Path

import keras

import inception_tf.nets as nets
from inception_tf.config import Config
from inception_tf.errors import CheckpointError, UsageError
from inception_tf.nets.stages import freeze
from inception_tf.runtime import checkpoint

CONFIG = "config.json"
CHECKPOINTS = "checkpoints"


def num_outputs(network, num_classes):
    """Logits of the network: one more than the classes with a background class."""
    return num_classes + int(network.background_class)


def build_network(network, num_classes, aux_head=None, precision="float32"):
    """The Keras model that `network` (config.Network) describes, giving logits.

    Args:
        network: its settings.
        num_classes: classes of the data set, background not counted.
        aux_head: overrides network.aux_head; scoring needs none.
        precision: Keras' dtype policy; under a mixed one weights and logits are float32.

    Returns:
        Model: float32 images [n, S, S, 3] in [-1, 1] -> logits [n, K], or
        [logits, aux_logits] with the auxiliary head.
    """
    settings = {
        "aux_head": network.aux_head if aux_head is None else aux_head,
        "dropout": network.dropout,
        "width": network.width,
        "repeats": network.repeats or None,
        "batch_norm_momentum": network.batch_norm_momentum,
        "batch_norm_gamma": network.batch_norm_gamma,
        "synchronized": network.batch_norm == "synchronized",
    }
    for name in ("residual_scales", "final_batch_norm"):
        if value := getattr(network, name):
            if "resnet" not in network.net:
                raise UsageError(f"--{name}: {network.net} has no residual blocks")
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


def read_config(model_dir):
    """The Config that training wrote into `model_dir`; UsageError when there is none."""
    path = Path(model_dir) / CONFIG
    if not path.is_file():
        raise UsageError(f"--model_dir={model_dir}: no {CONFIG} there; is it a folder that "
                         "train.py wrote?")
    return Config.from_json(path.read_text(), str(path))


def load_weights(model, arrays, weights="ema"):
    """Puts the averaged ("ema") or the raw weights of a checkpoint's arrays into `model`.

    Raises:
        CheckpointError: an array is missing or has another shape.
    """
    prefix = {"ema": "ema/", "raw": "weights/"}[weights]
    for variable in model.weights:
        array = arrays.get(prefix + variable.path)
        if array is None:
            raise CheckpointError(f"the checkpoint has no array {prefix}{variable.path}")
        if array.shape != tuple(variable.shape):
            raise CheckpointError(f"{prefix}{variable.path} has shape {array.shape}, the network "
                                  f"needs {tuple(variable.shape)}")
        variable.assign(array)


def load_model(model_dir, weights="ema", warn=print):
    """(model, config, manifest) of the newest valid checkpoint in `model_dir`.

    The model gives logits and has no auxiliary head.

    Raises:
        UsageError: no configuration or no checkpoint there.
        CheckpointError: there are checkpoints and none is valid.
    """
    config = read_config(model_dir)
    found = checkpoint.load_newest(Path(model_dir) / CHECKPOINTS, warn)
    if found is None:
        raise UsageError(f"--model_dir={model_dir} has no checkpoint yet")
    arrays, manifest = found
    model = build_network(config.network, len(manifest["class_names"]), aux_head=False)
    load_weights(model, arrays, weights)
    return model, config, manifest
