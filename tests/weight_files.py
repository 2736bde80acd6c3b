"""Weight files as TF-slim, Keras and projects for torch write them, for networks of any width."""

import functools
import zipfile

import h5py
import tensorflow as tf

from inception_tf.commands.convert import network_builder
from inception_tf.weights.matching import TABLES, Conversion
from tests.parity.arrays import random_like

WIDTH = 0.0625
RELEASED = "inception_resnet_v2_released"
SHAPE = {"input_shape": (75, 75, 3), "width": WIDTH}
NARROW = [f"--width={WIDTH}", "--image_size=75"]


def numbers(model):
    """Path -> array of every weight."""
    return {weight.path: weight.numpy() for weight in model.weights}


def states(conversion):
    """Name -> (state, note) of what a conversion did not simply use."""
    return {row.name: (row.state, row.note) for row in conversion.rows if row.state != "used"}


def names(net, source):
    """Our variable path -> the peer's name, as its own code gives them."""
    return TABLES[source].names(net, {})


def ours(net, source, named):
    """Our variable path -> array, from the peer's `named` (name -> array)."""
    table = TABLES[source]
    return {path: table.layout(path, named[name]) for path, name in table.names(net, named).items()}


def matched(net, source, path, classes=None, aux_head=False, weights="ema", **options):
    """The Conversion of a file, as the command makes it."""
    return Conversion(network_builder(net, source, aux_head, **options), net, source, path, classes,
                      aux_head, weights, options.get("width", 1.0))


@functools.cache
def shapes(net, source, classes):
    """The peer's name -> shape, of `net` in WIDTH, with all that the peer has."""
    table = names(net, source)
    has_aux = any(path.startswith("aux_") for path in table)
    has_gamma = any(path.endswith("/gamma") for path in table)
    model = network_builder(net, source, has_aux, width=WIDTH)(classes, has_gamma)
    return {
        table[weight.path]: TABLES[source].stored_shape(net, weight.path, tuple(weight.shape))
        for weight in model.weights
    }


def arrays(net, source, classes=1000):
    """The peer's name -> float32 array, random; the scales of batch norm are 1."""
    kinds = {"running_var": "moving_variance"}
    made = {}
    for name, shape in shapes(net, source, classes).items():
        leaf = name.replace(".", "/").split("/")[-1]
        kind = "kernel" if len(shape) > 1 else kinds.get(leaf, leaf)
        made[name] = random_like(name, kind, shape).astype("float32")
        if name.endswith("bn.weight"):
            made[name][:] = 1
    return made


def write_checkpoint(prefix, named):
    """A checkpoint as TensorFlow 1 writes it: `prefix`.index and .data-00000-of-00001."""
    tf.raw_ops.SaveV2(
        prefix=str(prefix), tensor_names=list(named), shape_and_slices=[""] * len(named),
        tensors=list(named.values()))
    return str(prefix)


def write_checkpoint_v1(path, named):
    """A checkpoint of the first format, one file: slim's archives of 2016 hold these."""
    tf.raw_ops.Save(filename=str(path), tensor_names=list(named), data=list(named.values()))
    return str(path)


def write_keras_2(path, named):
    """The layout of Keras 2's `save_weights`: layer/layer/variable:0."""
    with h5py.File(path, "w") as file:
        for name, array in named.items():
            layer, variable = name.split("/")
            file[f"{layer}/{layer}/{variable}:0"] = array
    return str(path)


def write_keras_3(path, named):
    """The layout of Keras 3's `save_weights`: layers/group/vars/0, named by an attribute."""
    with h5py.File(path, "w") as file:
        for name, array in named.items():
            layer = name.split("/")[0]
            group = file.require_group(f"layers/of_{layer}/vars")
            group.attrs["name"] = layer
            group[str(len(group))] = array
    return str(path)


def write_keras_archive(path, hdf5_path, config="{}", compression=zipfile.ZIP_STORED):
    """A .keras archive around an HDF5 file of weights."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("config.json", config)
        archive.write(hdf5_path, "model.weights.h5")
    return str(path)
