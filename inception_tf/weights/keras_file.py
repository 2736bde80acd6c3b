"""Arrays of a Keras file, read as plain HDF5: no layer is rebuilt, no link followed.

Three layouts exist: `save_weights` and `.keras` of Keras 3 (layers/GROUP/vars/0, with
the layer's name as attribute), and Keras 2's LAYER/.../VARIABLE:0, in whole models
under `model_weights`. A model inside a model adds a level to each.
"""

import os
import re
import zipfile
from typing import Any

import h5py

from inception_tf.networks import stage_of
from inception_tf.weights.arrays import Refused, Stored, check_sizes, read

_WEIGHTS = "model.weights.h5"
# Ours take less: a list of some 10 files, a configuration of 1 MB, 10,000 groups and arrays.
_MAX_DIRECTORY_BYTES = 2**20
_MAX_CONFIG_BYTES = 16 * 2**20
_MAX_OBJECTS = 100_000


def keras_arrays(path: str) -> dict[str, Stored]:
    """Names "layer/variable" -> Stored, of a .keras, .weights.h5 or .h5 file.

    Raises: Refused for a file that is damaged, that holds code (a Lambda layer), or
        whose arrays lie elsewhere (links, external or virtual storage) or nowhere.
    """
    try:
        file = h5py.File(_hdf5_of(path), "r")
        _check_no_code(path, file.attrs.get("model_config", ""))
        datasets = dict(_datasets(path, file, set()))
        stored = {
            _name(key, dataset): Stored(dataset.shape, lambda dataset=dataset: dataset[()])
            for key, dataset in datasets.items()
        }
    except Refused:
        raise
    # h5py and zipfile raise any of these for damage; the last two: not Keras' layout.
    except (OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile, LookupError,
            AttributeError) as error:
        raise Refused(f"{path}: is damaged, or no Keras file: {error}") from None
    if len(stored) != len(datasets):
        raise Refused(f"{path}: two arrays have the same layer and name")
    check_sizes(stored, os.path.getsize(path), path)
    return stored


def model_name(path: str) -> str:
    """What the model is called in a file of Keras 3 that `keras_arrays` takes; else "?"."""
    with h5py.File(_hdf5_of(path), "r") as file:
        return str(file["vars"].attrs.get("name", "?")) if "vars" in file else "?"


def _hdf5_of(path):
    """The file itself, or the member of a .keras archive that holds the arrays."""
    if not path.endswith(".keras"):
        return path
    archive = open_archive(path)
    _check_no_code(path, read_member(path, archive, "config.json", _MAX_CONFIG_BYTES))
    check_stored(path, archive, _WEIGHTS)
    return archive.open(_WEIGHTS)


def open_archive(path: str) -> zipfile.ZipFile:
    """The ZipFile at `path`; Refused when its list of files alone is too large to read."""
    with open(path, "rb") as file:
        # Python's own search for the end record of either format; it has no public name.
        end = zipfile._EndRecData(file)  # type: ignore[attr-defined]
    if end and end[zipfile._ECD_SIZE] > _MAX_DIRECTORY_BYTES:  # type: ignore[attr-defined]
        raise Refused(f"{path}: lists far more files than there are arrays in a network")
    return zipfile.ZipFile(path)


def read_member(path: str, archive: zipfile.ZipFile, name: str, max_bytes: int) -> str:
    """Text of a member that is stored as it is; Refused when it is compressed or larger."""
    check_stored(path, archive, name)
    if archive.getinfo(name).file_size > max_bytes:
        raise Refused(f"{path}: {name} is larger than {max_bytes:,} bytes")
    return archive.read(name).decode()


def check_stored(path: str, archive: zipfile.ZipFile, name: str) -> None:
    """Refuses a compressed member: what expands can exhaust the memory."""
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        raise Refused(f"{path}: {name} is compressed, which Keras does not do")


def _check_no_code(path, config):
    if re.search(r'"class_name":\s*"Lambda"', str(config)):
        raise Refused(
            f"{path}: holds a Lambda layer, which is code and is not run here; save the "
            "weights alone: model.save_weights('X.weights.h5')"
        )


def _datasets(path, group, seen, prefix=""):
    """(key, dataset) of all in `group`; `seen` are the addresses of what was met so far."""
    for key in group:
        name = f"{prefix}{key}"
        link = group.get(key, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise Refused(f"{path}: {name} is a {type(link).__name__}, not an array; links "
                             "are not followed")
        value = group[key]
        address = h5py.h5o.get_info(value.id).addr
        if address in seen:
            raise Refused(f"{path}: {name} is in the file twice, which Keras does not do")
        seen.add(address)
        if len(seen) > _MAX_OBJECTS:
            raise Refused(f"{path}: holds more than {_MAX_OBJECTS:,} groups and arrays")
        if isinstance(value, h5py.Group):
            yield from _datasets(path, value, seen, f"{name}/")
        else:
            _check_plain(path, name, value)
            yield name, value


def _check_plain(path, name, dataset):
    """Keras writes each array in one piece inside the file."""
    what = None
    if not isinstance(dataset, h5py.Dataset):
        what = f"is a {type(dataset).__name__}, not an array"
    elif dataset.is_virtual or dataset.external:
        what = "takes its numbers from another file"
    elif dataset.chunks is not None:
        what = "is chunked or compressed, which Keras does not do"
    elif dataset.shape is None or dataset.nbytes != dataset.id.get_storage_size():
        what = (f"claims shape {dataset.shape} and stores {dataset.id.get_storage_size()} bytes: "
                "damaged, or made to exhaust memory")
    if what:
        raise Refused(f"{path}: {name} {what}")


def _name(key, dataset):
    """Name "layer/variable" of a dataset; state of training (optimizer, metrics) keeps its key."""
    parts = key.removeprefix("model_weights/").split("/")
    if key.startswith("optimizer") or parts[0] != "layers" and "vars" in parts:
        return key
    if parts[0] != "layers" or parts[-2] != "vars":
        # Beside other layers: in the group of a whole model, which is a layer of the file's.
        is_nested = len(dataset.parent.parent) > 1
        return f"{parts[-2 if is_nested else 0]}/{parts[-1].split(':')[0]}"
    return f"{dataset.parent.attrs['name']}/{_variable(dataset.parent, parts[-1])}"


def _variable(group, index):
    """Name of a Keras 3 layer's variable: they are numbered in the order of its build().

    A kernel has axes, a batch norm starts with a vector: beta, or gamma before it.
    """
    names = ["kernel", "bias"]
    if "0" in group and group["0"].ndim == 1:
        names = ["beta", "moving_mean", "moving_variance"]
        if len(group) == 4:
            names.insert(0, "gamma")
    return names[int(index)] if int(index) < len(names) else index


ENDINGS = (".keras", ".h5")
_PADDING = "_pool_padding"


def load_weights_file(model: Any, path: str | os.PathLike) -> None:
    """Load a `.keras`, `.weights.h5` or `.h5` file of the same network into `model`.

    A network without classifier takes the body of a whole one. Layers that the user put around
    a network before it was saved are left out.

    Raises: ValueError when there is no such file, or it holds another network, or more
    than arrays of finite floats; the model is then untouched.
    """
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
        wanted, {name: stored.shape for name, stored in arrays.items()}
    ) or _pool_difference(model, path)
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

    Other names are of the state of training, or of a model around the network.
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


def _pool_difference(model, path):
    """How average pools of a file of Keras 3 differ, which no array shows; None: not, or unknown.

    Their padding is a layer of its own where it counts (`nets.layers.avg_pool`).
    """
    names: list[str] = []
    with h5py.File(_hdf5_of(path), "r") as file:
        file.visititems(lambda _, item: names.append(str(item.attrs.get("name", ""))))
    if not any(name.endswith("_pool") for name in names):
        return None
    there = any(name.endswith(_PADDING) for name in names)
    here = any(layer.name.endswith(_PADDING) for layer in model.layers)
    return None if there == here else (
        f"pool_counts_padding={there} there and {here} here: its average pools differ")


def _layer_of(name):
    return name.rsplit("/", 1)[0]
