"""The benchmark for GPUs runs on a CPU in its quick form, without TensorFlow; no time asserted."""

import importlib.util
import json
import sys

import pytest

from benchmarks import gpu, harness


def skip_without(package):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")


@pytest.mark.parametrize("name", ["ours, PyTorch", "ours, JAX"])
def test_process_of_ours_trains_where_tensorflow_cannot_be_imported(name, tmp_path, monkeypatch):
    skip_without(gpu.CASES[name][1])
    (tmp_path / "tensorflow.py").write_text('raise RuntimeError("tensorflow was imported")')
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = gpu.ask(name, "training", 2, quick=True)
    assert found["seconds"][0] == found["first_call_seconds"] > 0 and found["peak_mib"] > 100


def test_timm_answers_a_batch():
    skip_without("timm")
    from benchmarks import gpu_cases

    assert gpu_cases.answer("timm, PyTorch", "inference", 1, quick=True)["seconds"][0] > 0


@pytest.fixture
def results(monkeypatch, tmp_path):
    """Where the result would be kept; every framework is installed, and JAX's processes fail."""
    monkeypatch.setattr(harness, "RESULTS", tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name != "timm" or None)

    def process(words, environment):
        name, kind = (word.partition("=")[2] for word in words[2:4])
        if kind == "chip":
            return {"output": '{"device": "a chip", "matrix_tflops": 2.0}', "peak_mib": 1.0}
        if environment["KERAS_BACKEND"] == "jax":
            raise RuntimeError("python ended with code 1: Traceback\nRESOURCE_EXHAUSTED: memory")
        return {"output": json.dumps({"seconds": [2.0, 4.0, 8.0], "first_call_seconds": 9.0,
                                      "peak_mib": 5.0}), "peak_mib": 700.0}

    monkeypatch.setattr(harness, "process", process)
    return tmp_path / "gpu.json"


def test_rows_say_what_was_found_and_why_others_have_nothing(results, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["gpu"])
    gpu.main()
    found = json.loads(results.read_text())
    assert found["not_measured"] == {name: "timm is not installed" for name in gpu.CASES
                                     if name.startswith("timm")}
    cases = found["kinds"]["training"]["128"]
    assert cases["ours, JAX"] == {"failed": "RESOURCE_EXHAUSTED: memory"}
    row = cases["ours, PyTorch"]
    assert row["images_per_second"] == {"median": 32.0, "min": 16.0, "max": 64.0}
    assert row["peak_mib"] == 5.0
    # 32 images of three times two operations per multiply-add, at 2e12 a second.
    assert row["matrix_share"] == pytest.approx(32 * 6 * 13.156e9 / 2e12)


def test_quick_form_keeps_nothing(results, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["gpu", "--quick"])
    found = gpu.main()
    assert found["kinds"]["inference"]["2"].keys() == {"ours, JAX", "ours, PyTorch"}
    assert not results.exists()


def test_stopped_run_goes_on_and_a_finished_one_begins_anew(results, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["gpu"])
    gpu.main()
    done = json.loads(results.read_text())
    del done["drift"], done["kinds"]["inference"]["64"]
    done["kinds"]["training"]["256"]["ours, PyTorch"]["first_call_seconds"] = "kept"
    results.write_text(json.dumps(done))
    for expected in "kept", 9.0:
        gpu.main()
        found = json.loads(results.read_text())["kinds"]
        assert found["training"]["256"]["ours, PyTorch"]["first_call_seconds"] == expected
        assert "images_per_second" in found["inference"]["64"]["ours, PyTorch"]
