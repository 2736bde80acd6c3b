"""Load weights that one of our networks saved, and refuse those of another.

Keras matches the arrays of a file by position. Two networks can agree in enough
positions to mix silently, or fail in the middle with half of the weights replaced,
so arrays are matched by their names and shapes, all of them before any is read.
"""

import importlib
import os

from inception_tf.nets.hdf5 import keras_arrays, model_name
from inception_tf.nets.stages import stage_of
from inception_tf.nets.stored import Refused, read

ENDINGS = (".keras", ".h5")


def load_weights_file(model, path):
    """Load a `.keras`, `.weights.h5` or `.h5` file of the same network into `model`.

    "imagenet" stands for the published weights, fetched into Keras' cache when needed. A network
    without classifier takes the body of a whole one. Layers that the user put around a network
    before it was saved are left out.

    Raises: ValueError when there is no such file, or it holds another network, or more
    than arrays of finite floats; the model is then untouched.
    """
    if path == "imagenet":
        # What knows foreign files stands above this room, which imports nothing of ours.
        published = importlib.import_module("inception_tf.weights.published")
        published.load_imagenet(model)
        return
    path = os.fspath(path)
    arrays = _fitting_arrays(model, path)
    numbers = [read(arrays, weight.path) for weight in model.weights]
    for weight, array in zip(model.weights, numbers, strict=True):
        weight.assign(array)


def _fitting_arrays(model, path):
    """Variable path -> Stored, of a file that holds the weights of `model`; none is read."""
    if not os.path.isfile(path):
        raise Refused(f"weights: no file {path!r}; give a .keras or .weights.h5 file, or None")
    if not path.endswith(ENDINGS):
        raise Refused(f"weights: {path!r} ends neither in .keras nor in .weights.h5")
    wanted = {weight.path: tuple(weight.shape) for weight in model.weights}
    has_head = any(stage_of(name) == "head" for name in wanted)
    arrays = {name: stored for name, stored in _own_names(keras_arrays(path)).items()
              if _counts(stage_of(name), has_head)}
    difference = _first_difference(
        wanted, {name: stored.shape for name, stored in arrays.items()})
    if difference:
        raise Refused(
            f"weights: {path!r} holds {model_name(path)!r:.80}, another network than "
            f"{model.name!r} as built here: {difference}. {_way_out(difference)}"
        )
    return arrays


def _own_names(arrays):
    """`arrays` without what `assembly` put before the names of a second network."""
    first = [name for name in arrays if name.endswith("stem_1/kernel")]
    prefix = first[0].removesuffix("stem_1/kernel") if len(first) == 1 else ""
    return {name.removeprefix(prefix): stored for name, stored in arrays.items()}


def _counts(stage, has_head):
    """Whether an array of a file has to be one of the network's.

    What has no name of ours is the state of training, or of a model around the network.
    """
    return stage is not None and (has_head or stage != "head")


def _way_out(difference):
    if "'logits/" in difference:
        return ("For other classes take include_top=False, which leaves the classifier in the "
                "file, and one of your own; or fine-tune (train.py --init_from)")
    return "Build the network that was saved (same variant, repeats, width, classes, heads)."


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
