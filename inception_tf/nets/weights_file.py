"""Load weights that one of our networks saved, and refuse those of another.

Keras matches the arrays of a file by position. Two networks can agree in enough
positions to mix silently, or fail in the middle with half of the weights replaced,
so arrays are matched by their names and shapes, all of them before any is read.
"""

import importlib
import os

from inception_tf.nets.hdf5 import keras_arrays, model_name
from inception_tf.nets.stored import Refused, read

ENDINGS = (".keras", ".weights.h5")


def load_weights_file(model, path):
    """Load a `.keras` or `.weights.h5` file of the same network into `model`.

    "imagenet" stands for the published weights, fetched into Keras' cache when needed.

    Raises: ValueError when there is no such file, or it holds another network, or more
    than arrays of finite floats; the model is then untouched.
    """
    if path == "imagenet":
        # What knows foreign files stands above this room, which imports nothing of ours.
        published = importlib.import_module("inception_tf.weights.published")
        published.load_imagenet(model)
        return
    path = os.fspath(path)
    arrays = fitting_arrays(model, path)
    numbers = [read(arrays, weight.path) for weight in model.weights]
    for weight, array in zip(model.weights, numbers, strict=True):
        weight.assign(array)


def fitting_arrays(model, path):
    """Variable path -> Stored, of a file that holds the weights of `model`; none is read.

    Raises: ValueError as `load_weights_file` does.
    """
    if not os.path.isfile(path):
        raise Refused(f"weights: no file {path!r}; give a .keras or .weights.h5 file, or None")
    if not path.endswith(ENDINGS):
        raise Refused(f"weights: {path!r} ends neither in .keras nor in .weights.h5")
    arrays = {name: stored for name, stored in keras_arrays(path).items()
              if not _is_state_of_training(name)}
    difference = _first_difference(
        {weight.path: tuple(weight.shape) for weight in model.weights},
        {name: stored.shape for name, stored in arrays.items()})
    if difference:
        raise Refused(
            f"weights: {path!r} holds {model_name(path)!r:.80}, another network than "
            f"{model.name!r} as built here: {difference}. Build the network that was saved "
            "(same variant, repeats, width, classes, heads)."
        )
    return arrays


def _is_state_of_training(name):
    """Of dropout's seeds, and of what `hdf5` gives no layer's name."""
    return name.startswith("seed_generator") or "/vars/" in name


def _first_difference(wanted, found):
    layers = {_layer_of(name) for name in found}
    for name, shape in wanted.items():
        if _layer_of(name) not in layers:
            return f"the file has no layer {_layer_of(name)!r}"
        if name not in found:
            return f"the file has no {name!r}"
        if shape != found[name]:
            return f"{name!r} has shape {found[name]} there and {shape} here"
    extra = sorted(found.keys() - wanted.keys())
    return f"the file also has {extra[0]!r}" if extra else None


def _layer_of(name):
    return name.rsplit("/", 1)[0]
