"""HDF5 files that hold more than arrays, and what reading them may cost."""

import contextlib
from pathlib import Path

import h5py
import numpy as np
import pytest


def external_link(file, key):
    file[key] = h5py.ExternalLink("secret.h5", "kernel")


def soft_link(file, key):
    file[key] = h5py.SoftLink("/elsewhere")


def virtual(file, key):
    layout = h5py.VirtualLayout((3, 3, 3, 2), "f4")
    layout[:] = h5py.VirtualSource("secret.h5", "kernel", (3, 3, 3, 2))
    file.create_virtual_dataset(key, layout)


def external_storage(file, key):
    file.create_dataset(key, (3, 3, 3, 2), "f4", external=[("secret.bin", 0, 216)])


def bomb(file, key):
    file.create_dataset(key, (2**20, 2**20), "f4")


def compressed_bomb(file, key):
    file.create_dataset(key, (2**20, 2**20), "f4", chunks=(2**10, 2**10), compression="gzip")


def lambda_layer(file, key):
    file[key] = np.zeros((3, 3, 3, 2), "f4")
    file.attrs["model_config"] = '{"layers": [{"class_name": "Lambda", "config": {}}]}'


def loop(file, key):
    group = file[key.rsplit("/", 1)[0]]
    group["again"] = group


def array_for_group(file, _):
    if "layers" in file:
        del file["layers"]
    file["layers"] = np.zeros(3, "f4")


def group_for_array(file, _):
    file["layers/x/vars/1"] = np.zeros(3, "f4")
    file.create_group("layers/x/vars/0")
    file["layers/x/vars"].attrs["name"] = "conv2d"


HOSTILE = pytest.mark.parametrize(
    ("change", "words"),
    [
        (external_link, ("ExternalLink",)),
        (soft_link, ("SoftLink",)),
        (virtual, ("another file",)),
        (external_storage, ("another file",)),
        (bomb, ("(1048576, 1048576)", "0 bytes")),
        (compressed_bomb, ("compressed",)),
        (lambda_layer, ("Lambda", "save_weights")),
        (loop, ("again", "twice")),
        (array_for_group, ("no Keras file",)),
        (group_for_array, ("no Keras file",)),
    ],
)


def write_secrets(folder):
    """What the links and storages above name."""
    with h5py.File(folder / "secret.h5", "w") as secret:
        secret["kernel"] = np.ones((3, 3, 3, 2), "f4")
    (folder / "secret.bin").write_bytes(bytes(216))


@contextlib.contextmanager
def little_memory():
    """What is done inside must take less than 256 MiB of memory at any time."""
    # Linux forgets the peak so far: an earlier test's would hide this one's.
    Path("/proc/self/clear_refs").write_text("5")
    before = _peak_bytes()
    yield
    assert _peak_bytes() - before < 256 * 2**20


def _peak_bytes():
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])
