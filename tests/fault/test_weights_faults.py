"""Hostile and damaged weight files (F42): refused, nothing run, little memory taken."""

import pickle
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from inception_tf.commands.convert import main
from inception_tf.commands.shell import exit_code_of
from tests.hostile_files import HOSTILE, little_memory, write_secrets
from tests.weight_files import WIDTH, arrays, write_keras_2, write_keras_archive

KERNEL = "conv2d/conv2d/kernel:0"


@pytest.fixture(scope="module")
def named():
    return arrays("inception_v3", "keras")


@pytest.fixture
def hdf5(tmp_path, named):
    """A good file of Keras, whose first kernel `change` replaces."""

    def write(change=None):
        path = write_keras_2(tmp_path / "x.h5", named)
        if change:
            with h5py.File(path, "r+") as file:
                del file[KERNEL]
                change(file, KERNEL)
        return path

    return write


@pytest.fixture
def refused(tmp_path, capsys):
    """Converts a file in this process: exit 2, one line with these words, nothing left."""

    def check(path, *words, source="keras", net="inception_v3"):
        with little_memory():
            code = exit_code_of(main, [
                f"--net={net}", f"--from={source}", f"--input={path}", f"--width={WIDTH}",
                "--image_size=75", f"--output={tmp_path / 'out.keras'}"])
        message = capsys.readouterr().err
        assert code == 2 and len(message.splitlines()) == 1, message
        assert all(word in message for word in words), message
        assert not list(tmp_path.glob("out*"))

    return check


@HOSTILE
def test_f42_hdf5_that_holds_more_than_arrays_is_refused(
        tmp_path, hdf5, refused, change, words):
    write_secrets(tmp_path)
    refused(hdf5(change), *words)


def test_f42_keras_archive_with_lambda_is_refused_and_not_run(tmp_path, hdf5, refused):
    canary = str(tmp_path / "canary")
    touch = keras.layers.Lambda(lambda x: open(canary, "w").close() or x)
    model = keras.Sequential([keras.Input((2,)), touch])
    Path(canary).unlink()  # building the model has run it
    model.save(tmp_path / "lambda.keras")
    refused(tmp_path / "lambda.keras", "Lambda")
    assert not Path(canary).exists()
    # The same around weights that would fit.
    config = '{"config": {"layers": [{"class_name": "Lambda"}]}}'
    refused(write_keras_archive(tmp_path / "y.keras", hdf5(), config), "Lambda")


def test_f42_compressed_keras_archive_is_refused_before_it_expands(tmp_path, refused):
    (tmp_path / "zeros").write_bytes(bytes(2**26))
    path = write_keras_archive(tmp_path / "x.keras", tmp_path / "zeros", compression=8)
    assert Path(path).stat().st_size < 2**17
    refused(path, "compressed")


class Gadget:
    """Touches a file when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_f42_torch_file_with_a_gadget_is_refused_and_not_run(tmp_path, refused):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    canary = tmp_path / "canary"
    state = {"features.0.conv.weight": torch.zeros(2), "evil": Gadget(canary)}
    torch.save(state, tmp_path / "x.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Gadget(canary)))
    for name in ("x.pth", "plain.pth"):
        refused(tmp_path / name, name, source="timm", net="inception_v4")
    assert not canary.exists()


def test_f42_torch_tensor_larger_than_its_file_is_refused(tmp_path, refused):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    torch.save({"last_linear.weight": torch.zeros(1).expand(2**20, 2**20)}, tmp_path / "x.pth")
    refused(tmp_path / "x.pth", "last_linear.weight", "(1048576, 1048576)", source="timm",
            net="inception_v4")


def test_f42_torch_kernel_of_integers_is_refused(tmp_path, refused):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    state = {name: torch.from_numpy(a) for name, a in arrays("inception_v4", "timm").items()}
    state["features.1.conv.weight"] = state["features.1.conv.weight"].to(torch.int32)
    torch.save(state, tmp_path / "x.pth")
    refused(tmp_path / "x.pth", "features.1.conv.weight", "int32", source="timm",
            net="inception_v4")


def test_f42_classes_that_the_kernel_has_not_are_refused_before_the_network_is_built(
        tmp_path, named, refused, monkeypatch):
    monkeypatch.setattr("inception_tf.nets.build", lambda *_, **__: pytest.fail("built"))
    path = write_keras_2(tmp_path / "x.h5", named | {"predictions/bias": np.zeros(90_000, "f4")})
    refused(path, "predictions/bias", "90000 classes", "predictions/kernel")


def test_f42_npz_that_needs_pickle_is_no_format_here(tmp_path, refused):
    np.savez(tmp_path / "x.npz", evil=np.array([Gadget(tmp_path / "canary")], dtype=object))
    refused(tmp_path / "x.npz", "x.npz")
    refused(tmp_path / "x.npz", "x.npz", source="slim")
    refused(tmp_path / "x.npz", "x.npz", source="timm", net="inception_v4")
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    ("name", "source"),
    [("x.h5", "keras"), ("x.keras", "keras"), ("x.safetensors", "timm"), ("x.pth", "timm"),
     ("x.ckpt", "slim")],
)
@pytest.mark.parametrize("content", [b"", b"\x93" * 5000], ids=["empty", "noise"])
def test_f42_file_of_noise_is_refused_by_name(tmp_path, refused, name, source, content):
    if name.endswith(".pth"):
        pytest.importorskip("torch", reason="torch is not installed")
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, name, source=source, net={"timm": "inception_v4"}.get(
        source, "inception_v3"))


def test_f42_hdf5_cut_short_is_refused(hdf5, refused):
    path = Path(hdf5())
    path.write_bytes(path.read_bytes()[:-5000])
    refused(path, "x.h5", "damaged")


def test_f42_array_of_nan_in_a_keras_file_is_named(hdf5, refused):
    def spoil(file, _):
        file[KERNEL] = np.full((3, 3, 3, 2), np.nan, "f4")

    refused(hdf5(spoil), "conv2d/kernel (3, 3, 3, 2)", "NaN")


def test_f42_array_cut_in_a_safetensors_file_is_named(tmp_path, refused):
    safetensors = pytest.importorskip("safetensors.numpy")
    state = arrays("inception_v4", "timm")
    state["features.1.conv.weight"] = state["features.1.conv.weight"][:1]
    safetensors.save_file(state, tmp_path / "x.safetensors")
    refused(tmp_path / "x.safetensors", "features.1.conv.weight (1, 2, 3, 3)", source="timm",
            net="inception_v4")
