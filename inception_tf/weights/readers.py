"""Names, shapes and numbers in files of TF-slim and torch; no object is ever rebuilt.

Every reader returns name -> `Stored` and raises UsageError or Refused
for a file it cannot read.
"""

import logging
import os
import re
import shlex
import zipfile

from inception_tf.errors import UsageError
from inception_tf.runtime.files import sha256_of
from inception_tf.runtime.memory import check_safetensors_header
from inception_tf.text import first_line, uncolored
from inception_tf.weights.arrays import Stored, check_sizes
from inception_tf.weights.keras_file import check_stored, keras_arrays, open_archive
from inception_tf.weights.table import AVERAGE

# A checkpoint of timm also holds its arguments; some files are a whole model.
_MAKE_PLAIN = (
    "import sys, torch; s = torch.load(sys.argv[1], weights_only=False); "
    "d = {k: v for k, v in s.items() if isinstance(v, dict)} or s if isinstance(s, dict) "
    'else s.state_dict(); torch.save(d, "plain.pth")')

log = logging.getLogger("inception_tf")

# Where training scripts for torch put the weights among other things, and their averages (timm).
_STATE_DICT_KEYS = ("state_dict", "model")
_AVERAGES_KEYS = ("state_dict_ema", "model_ema")
# What wrappers put before the names: DataParallel and its kin, torch.compile, Lightning.
_WRAPPERS = re.compile(r"(?:(?:module|_orig_mod|model)\.)+")


def read_checkpoint(path: str) -> dict[str, Stored]:
    """A TF-slim checkpoint, by its prefix (`model.ckpt`) or one of its files."""
    import tensorflow as tf

    prefix, files = _checkpoint_files(path)
    if not tf.io.gfile.exists(files[0]) or tf.io.gfile.isdir(files[0]):
        raise UsageError(
            f"--input: no checkpoint at {path!r}; give its prefix, such as inception_v4.ckpt"
        )
    try:
        reader = tf.train.load_checkpoint(prefix)
        shapes = reader.get_variable_to_shape_map()
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        raise _unreadable(path, error) from None
    stored = {
        name: Stored(tuple(shape), lambda name=name: reader.get_tensor(name))
        for name, shape in shapes.items()
    }
    check_sizes(stored, sum(tf.io.gfile.stat(file).length for file in files), path)
    return stored


def _checkpoint_files(path):
    import tensorflow as tf

    prefix = path.removesuffix(".index").split(".data-")[0]
    return prefix, sorted(tf.io.gfile.glob(f"{prefix}.data-*")) or [prefix]


def hashes(path: str) -> dict[str, str]:
    """File name -> sha256 of the files that hold the arrays."""
    return {os.path.basename(name): sha256_of(name) for name in _checkpoint_files(path)[1]}


def read_state_dict(path: str) -> dict[str, Stored]:
    """A state dict of timm or Cadene: .safetensors, or a file of torch.save."""
    _check_file(path)
    stored = (_safetensors if path.endswith(".safetensors") else _torch)(path)
    check_sizes(stored, os.path.getsize(path), path)
    return _unwrapped(path, stored)


def _unwrapped(path, stored):
    """`stored` without what wrappers of the model put before its names; says so."""
    names = {name: _WRAPPERS.sub("", name, count=1) if _WRAPPERS.match(name) else name
             for name in stored}
    if len(set(names.values())) < len(names):
        raise UsageError(f"{path}: holds two networks, whose names differ only in what a wrapper "
                         "puts before them (module., _orig_mod., model.)")
    prefixes = sorted({name[:len(name) - len(ours)] for name, ours in names.items()} - {""})
    if prefixes:
        log.info("%s: names are read without %s", path, ", ".join(prefixes))
    return {ours: stored[name] for name, ours in names.items()}


def _safetensors(path):
    safetensors = _imported("safetensors", path)
    check_safetensors_header(path, UsageError)
    try:
        file = safetensors.safe_open(path, framework="np")
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise _unreadable(path, error) from None
    return {
        name: Stored(
            tuple(file.get_slice(name).get_shape()), lambda name=name: file.get_tensor(name)
        )
        for name in file.keys()  # it cannot be iterated itself
    }


def _torch(path):
    torch = _imported("torch", path)
    if zipfile.is_zipfile(path):
        with open_archive(path) as archive:
            for name in archive.namelist():
                check_stored(path, archive, name)
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    # UnpicklingError when it holds more than tensors; damaged files raise many kinds.
    except Exception as error:
        raise _holds_objects(path, error) or _unreadable(path, error) from None
    state, averages = _inside(saved, _STATE_DICT_KEYS), _inside(saved, _AVERAGES_KEYS)
    if state is saved and averages is not saved:
        state = averages
    named = dict(state) if isinstance(state, dict) else {}
    if averages is not saved and averages is not state:
        named |= {AVERAGE.format(name): tensor for name, tensor in averages.items()}
    if not named or not all(map(torch.is_tensor, named.values())):
        raise UsageError(f"{path}: is no state dict (name -> tensor): save model.state_dict()")
    return {
        str(name): Stored(tuple(tensor.shape), lambda tensor=tensor: _numbers(tensor))
        for name, tensor in named.items()
    }


def _inside(saved, keys):
    """The dict under one of `keys`, however often it is wrapped; `saved` if there is none."""
    inner = [saved[key] for key in keys
             if isinstance(saved, dict) and isinstance(saved.get(key), dict)]
    return _inside(inner[0], _STATE_DICT_KEYS) if inner else saved


def _holds_objects(path, error):
    """The UsageError for a file that pickles more than tensors; None for any other trouble."""
    found = re.search(r"GLOBAL ([\w.]+)", str(error))
    if not found:
        return None
    what = f"{path}: pickles more than tensors, {found[1]}, which is code and is not run here"
    if "is blocked" in str(error):  # what reaches the system has no business in a checkpoint
        return UsageError(what)
    return UsageError(f"{what}. If you trust the file, make it plain: python -c '{_MAKE_PLAIN}' "
                      f"{shlex.quote(path)}")


def _numbers(tensor):
    """NumPy knows no bfloat16; what is no float is left for `read` to refuse."""
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()


def read_keras(path: str) -> dict[str, Stored]:
    """A file of Keras 2 or 3: .keras, .weights.h5 or .h5."""
    _check_file(path)
    return keras_arrays(path)


def _check_file(path):
    if not os.path.isfile(path):
        raise UsageError(f"--input: no file {path!r}")


def _imported(package, path):
    try:
        return __import__(package)
    except ImportError:
        raise UsageError(
            f"{path}: needs the package {package!r}, which is not installed"
        ) from None


def _unreadable(path, error):
    return UsageError(f"{path}: refused, or damaged: {uncolored(first_line(error))}")
