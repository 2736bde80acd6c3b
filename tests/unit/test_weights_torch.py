"""Converting files of timm and torch: names, prefixes, averages, objects that are refused."""

import shlex

import numpy as np
import pytest

from inception_tf.errors import UsageError
from inception_tf.weights import readers
from tests.weight_files import (
    SHAPE,
    arrays,
    matched,
    numbers,
    states,
)


@pytest.fixture(scope="module")
def state():
    return arrays("inception_v4", "timm")


def test_convert_timm_with_unit_scales_leaves_them_out(state, write_state):
    counter = {"features.0.bn.num_batches_tracked": np.int64([1])}
    conversion = matched("inception_v4", "timm", write_state(state | counter), **SHAPE)
    ours = numbers(conversion.model())
    assert not any(path.endswith("/gamma") for path in ours)
    np.testing.assert_array_equal(
        ours["stem_2/kernel"], state["features.1.conv.weight"].transpose(2, 3, 1, 0))
    np.testing.assert_array_equal(ours["logits/kernel"], state["last_linear.weight"].T)
    ignored = states(conversion)
    assert "equal to 1" in ignored["features.0.bn.weight"][1]
    assert "torch" in ignored["features.0.bn.num_batches_tracked"][1]


def test_convert_timm_with_another_scale_keeps_all_of_them(state, write_state):
    scale = np.full_like(state["features.0.bn.weight"], 0.5)
    conversion = matched(
        "inception_v4", "timm", write_state(state | {"features.0.bn.weight": scale}), **SHAPE)
    ours = numbers(conversion.model())
    assert conversion.gamma and not states(conversion)
    np.testing.assert_array_equal(ours["stem_1_bn/gamma"], scale)
    np.testing.assert_array_equal(ours["stem_2_bn/gamma"], 1)


def test_convert_classifier_under_the_name_of_cadene_is_found(state, write_state):
    named = {name.replace("last_linear", "classif"): array for name, array in state.items()}
    ours = numbers(matched("inception_v4", "timm", write_state(named), **SHAPE).model())
    np.testing.assert_array_equal(ours["logits/bias"], state["last_linear.bias"])


def test_convert_torch_file_reads_its_state_dict(tmp_path, state):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    tensors = {name: torch.from_numpy(array) for name, array in state.items()}
    torch.save({"epoch": 3, "state_dict": tensors}, tmp_path / "x.pth")
    ours = numbers(matched("inception_v4", "timm", str(tmp_path / "x.pth"), **SHAPE).model())
    np.testing.assert_array_equal(ours["logits/bias"], state["last_linear.bias"])


def test_convert_missing_background_class_is_not_invented(state, write_state):
    with pytest.raises(UsageError, match="1000 classes.*invented"):
        matched("inception_v4", "timm", write_state(state), 1001, **SHAPE)


@pytest.mark.parametrize("prefix", [
    "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model."])
def test_convert_prefixes_of_wrappers_are_left_out_and_said(tmp_path, caplog, state, prefix):
    safetensors = pytest.importorskip("safetensors.numpy")
    named = {f"{prefix}{name}": array for name, array in state.items()}
    safetensors.save_file(named | {"n_averaged": np.zeros(())}, tmp_path / "x.safetensors")
    with caplog.at_level("INFO", "inception_tf"):
        matched("inception_v4", "timm", str(tmp_path / "x.safetensors"), **SHAPE).model()
    assert f"without {prefix}" in caplog.text


def test_convert_two_networks_in_one_file_are_refused(tmp_path, state):
    safetensors = pytest.importorskip("safetensors.numpy")
    both = state | {f"module.{name}": array for name, array in state.items()}
    safetensors.save_file(both, tmp_path / "x.safetensors")
    with pytest.raises(UsageError, match="two networks"):
        matched("inception_v4", "timm", str(tmp_path / "x.safetensors"), **SHAPE)


TORCH_SAYS = """Weights only load failed. \x1b[1mdo those steps only if you trust it\x1b[0m.
\tWeightsUnpickler error: Unsupported global: GLOBAL argparse.Namespace was not allowed"""
TORCH_BLOCKS = "Trying to load unsupported GLOBAL posix.system whose module posix is blocked."


@pytest.mark.parametrize(("says", "words", "advice"), [
    (TORCH_SAYS, "argparse.Namespace", True),
    (TORCH_BLOCKS, "posix.system", False),
    ("\x1b[1mdamaged\x1b[0m", "damaged: damaged", False),
])
def test_convert_file_that_pickles_objects_is_refused_with_the_line_to_run(
        tmp_path, monkeypatch, says, words, advice):
    class Torch:
        """As torch, of which only what `load` raises is looked at."""

        @staticmethod
        def load(path, map_location, weights_only):
            assert weights_only
            raise RuntimeError(says)

    monkeypatch.setattr(readers, "_imported", lambda package, path: Torch)
    path = tmp_path / "a file's.pth"
    path.write_bytes(b"x")
    with pytest.raises(UsageError, match=words) as error:
        readers.read_state_dict(str(path))
    message = str(error.value)
    assert message.isprintable() and ("weights_only=False" in message) == advice
    if advice:
        line = shlex.split(message.partition("make it plain: ")[2])
        assert line[:2] == ["python", "-c"] and line[3] == str(path)
        compile(line[2], "line", "exec")


def test_convert_averages_of_timm_are_taken_as_those_of_slim(tmp_path, monkeypatch, state):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    tensors = {name: torch.from_numpy(array) for name, array in state.items()}
    ema = {f"module.{name}": tensor + (not name.endswith("bn.weight"))
           for name, tensor in tensors.items()}
    torch.save({"state_dict": tensors, "state_dict_ema": ema}, tmp_path / "x.pth")
    raw, averaged = (numbers(matched("inception_v4", "timm", str(tmp_path / "x.pth"),
                                        weights=kind, **SHAPE).model()) for kind in ("raw", "ema"))
    np.testing.assert_array_equal(raw["stem_1/kernel"] + 1, averaged["stem_1/kernel"])
