"""Devices by name; a GPU that is not used, and a precision that is slow, are one warning each."""

import types

import pytest
import tensorflow as tf

from inception_tf.runtime import hardware
from inception_tf.runtime.devices import make_strategy


def strategy_on(*devices, workers=1):
    return types.SimpleNamespace(extended=types.SimpleNamespace(worker_devices=devices),
                                 num_replicas_in_sync=workers * len(devices))


@pytest.fixture
def with_gpus(monkeypatch):
    """A function that makes TensorFlow list GPUs of these names."""
    def put(*names):
        gpus = [types.SimpleNamespace(name=name) for name in names]
        monkeypatch.setattr(tf.config, "list_physical_devices",
                            lambda kind=None: gpus if kind == "GPU" else [])
        monkeypatch.setattr(tf.config.experimental, "get_device_details",
                            lambda gpu: {"device_name": gpu.name} if gpu.name else {})
    return put


def test_cpu_is_named_with_the_cores_this_process_may_use(monkeypatch):
    monkeypatch.setattr(hardware.os, "sched_getaffinity", lambda pid: {0, 2, 5})
    assert hardware.device_names(make_strategy("one")) == "CPU, 3 cores"
    monkeypatch.setattr(hardware.os, "sched_getaffinity", lambda pid: {1})
    assert hardware.device_names(make_strategy("one")) == "CPU, 1 core"


def test_gpus_are_named_and_counted_for_each_worker(with_gpus):
    with_gpus("NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3")
    devices = [f"/job:worker/replica:0/task:1/device:GPU:{i}" for i in range(2)]
    assert hardware.device_names(strategy_on(devices[0])) == "NVIDIA H100 80GB HBM3"
    assert hardware.device_names(strategy_on(*devices)) == "2 x NVIDIA H100 80GB HBM3"
    assert (hardware.device_names(strategy_on(*devices, workers=4))
            == "4 workers, each 2 x NVIDIA H100 80GB HBM3")
    with_gpus("A", "B")
    assert hardware.device_names(strategy_on(*devices)) == "A, B"
    with_gpus("")
    assert hardware.device_names(strategy_on(devices[0])) == "GPU"


@pytest.fixture
def gpu_file(tmp_path, monkeypatch):
    """What NVIDIA's driver shows of a GPU."""
    monkeypatch.setattr(hardware, "_NVIDIA", (str(tmp_path / "nvidia[0-9]*"),))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (tmp_path / "nvidia0").touch()


@pytest.mark.parametrize("has_cuda, why", [(True, "could not open the CUDA libraries"),
                                           (False, "was built without CUDA")])
def test_gpu_that_is_there_and_not_used_is_one_line_that_says_what_to_install(
        gpu_file, monkeypatch, has_cuda, why):
    monkeypatch.setattr(tf.test, "is_built_with_cuda", lambda: has_cuda)
    text = hardware.unused_gpu()
    assert why in text and 'pip install "tensorflow[and-cuda]"' in text and "\n" not in text


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_gpu_that_is_hidden_used_or_not_there_is_no_warning(gpu_file, monkeypatch, tmp_path,
                                                            with_gpus, hidden):
    with monkeypatch.context() as environment:
        environment.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert hardware.unused_gpu() is None
    with_gpus("A")
    assert hardware.unused_gpu() is None
    with_gpus()
    (tmp_path / "nvidia0").unlink()
    assert hardware.unused_gpu() is None


@pytest.mark.parametrize("precision, flags, why", [
    ("float32", "fpu avx2", None),
    ("mixed_bfloat16", "fpu avx512f avx512_bf16", None),
    ("mixed_bfloat16", "fpu amx_tile amx_bf16", None),
    ("mixed_bfloat16", "fpu avx512f", "neither AVX512_BF16 nor AMX"),
    ("mixed_float16", "fpu avx512_bf16 amx_bf16", "no fast float16"),
])
def test_precision_that_is_slow_on_this_processor_is_one_warning(tmp_path, monkeypatch, precision,
                                                                 flags, why):
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t: none\n")
    monkeypatch.setattr(hardware, "_CPUINFO", tmp_path / "cpuinfo")
    text = hardware.slow_precision(precision, strategy_on("/device:CPU:0"))
    assert (why in text and f"--precision={precision}" in text) if why else text is None
    assert hardware.slow_precision(precision, strategy_on("/device:GPU:0")) is None


@pytest.mark.parametrize("content", [None, "Features\t: fp asimd bf16\n"])
def test_processor_that_does_not_say_what_it_can_do_is_no_warning(tmp_path, monkeypatch, content):
    if content:
        (tmp_path / "cpuinfo").write_text(content)
    monkeypatch.setattr(hardware, "_CPUINFO", tmp_path / "cpuinfo")
    assert hardware.slow_precision("mixed_float16", strategy_on("/device:CPU:0")) is None
