"""Load weights that one of our networks saved, and refuse those of another.

Keras matches the arrays of a file by position. Two networks can agree in enough
positions to mix silently, or fail in the middle with half of the weights replaced,
so arrays are matched by the names of their layers, all of them before any is set.
"""

import importlib
import io
import os
import zipfile

import h5py


def load_weights_file(model, path):
    """Load a `.keras` or `.weights.h5` file of the same network into `model`.

    "imagenet" stands for the published weights, fetched into Keras' cache when needed.

    Raises: ValueError when there is no such file, or it holds another network; the
    model is then untouched.
    """
    if path == "imagenet":
        # What knows foreign files stands above this room, which imports nothing of ours.
        published = importlib.import_module("inception_tf.weights.published")
        published.load_imagenet(model)
        return
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise ValueError(f"weights: no file {path!r}; give a .keras or .weights.h5 file, or None")
    name, arrays = _read_arrays(path)
    weights = {layer.name: layer.weights for layer in model.layers if layer.weights}
    difference = _first_difference(_shapes(weights), _shapes(arrays))
    if difference:
        raise ValueError(
            f"weights: {path!r} holds {name!r}, another network than {model.name!r} as built "
            f"here: {difference}. Build the network that was saved (same variant, repeats, "
            "width, classes, heads)."
        )
    for layer, variables in weights.items():
        for variable, array in zip(variables, arrays[layer], strict=True):
            variable.assign(array)


def _shapes(layers):
    return {name: [tuple(a.shape) for a in arrays] for name, arrays in layers.items()}


def _read_arrays(path):
    """(model name, layer name -> its arrays) of a file written by Keras 3."""
    try:
        if path.endswith(".keras"):
            with zipfile.ZipFile(path) as archive:
                data = io.BytesIO(archive.read("model.weights.h5"))
        elif path.endswith(".weights.h5"):
            data = path
        else:
            raise ValueError(f"weights: {path!r} ends neither in .keras nor in .weights.h5")
        with h5py.File(data) as file:
            return _layer_arrays(file)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"weights: {path!r} cannot be read: {error}") from None


def _layer_arrays(file):
    layers = {}
    for group in file["layers"].values():
        arrays = group.get("vars", {})
        if len(arrays):
            layers[arrays.attrs["name"]] = [arrays[str(i)][()] for i in range(len(arrays))]
    return file["vars"].attrs["name"], layers


def _first_difference(wanted, found):
    for name, shapes in wanted.items():
        if name not in found:
            return f"the file has no layer {name!r}"
        if shapes != found[name]:
            return f"layer {name!r} has {found[name]} there and {shapes} here"
    extra = found.keys() - wanted.keys()
    return f"the file also has a layer {sorted(extra)[0]!r}" if extra else None
