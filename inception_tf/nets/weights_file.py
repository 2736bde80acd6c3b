"""Load weights that one of our networks saved, and refuse those of another.

Keras matches the arrays of a file by position. Two networks can agree in enough
positions to mix silently, or fail in the middle with half of the weights replaced,
so names and shapes are compared before anything is loaded.
"""

import io
import os
import zipfile

import h5py


def load_weights_file(model, path):
    """Load a `.keras` or `.weights.h5` file of the same network into `model`.

    Raises: ValueError when there is no such file, or it holds another network; the
    model is then untouched.
    """
    if path == "imagenet":
        raise ValueError(
            "weights='imagenet' is not available: give the path of a .keras or .weights.h5 "
            "file saved from this network, or None"
        )
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise ValueError(f"weights: no file {path!r}; give a .keras or .weights.h5 file, or None")
    name, found = _read_shapes(path)
    difference = _first_difference(_model_shapes(model), found)
    if difference:
        raise ValueError(
            f"weights: {path!r} holds {name!r}, another network than {model.name!r} as built "
            f"here: {difference}. Build the network that was saved (same variant, repeats, "
            "width, classes, heads)."
        )
    model.load_weights(path)


def _model_shapes(model):
    return {
        layer.name: [tuple(w.shape) for w in layer.weights]
        for layer in model.layers
        if layer.weights
    }


def _read_shapes(path):
    """(model name, layer name -> shapes of its arrays) of a file written by Keras 3."""
    try:
        if path.endswith(".keras"):
            with zipfile.ZipFile(path) as archive:
                data = io.BytesIO(archive.read("model.weights.h5"))
        elif path.endswith(".weights.h5"):
            data = path
        else:
            raise ValueError(f"weights: {path!r} ends neither in .keras nor in .weights.h5")
        with h5py.File(data) as file:
            return _h5_shapes(file)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"weights: {path!r} cannot be read: {error}") from None


def _h5_shapes(file):
    shapes = {}
    for group in file["layers"].values():
        arrays = group.get("vars", {})
        if len(arrays):
            shapes[arrays.attrs["name"]] = [arrays[str(i)].shape for i in range(len(arrays))]
    return file["vars"].attrs["name"], shapes


def _first_difference(wanted, found):
    for name, shapes in wanted.items():
        if name not in found:
            return f"the file has no layer {name!r}"
        if shapes != found[name]:
            return f"layer {name!r} has {found[name]} there and {shapes} here"
    extra = found.keys() - wanted.keys()
    return f"the file also has a layer {sorted(extra)[0]!r}" if extra else None
