"""The devices of this machine by name, and what of them is left unused or is slow."""

import collections
import glob
import os
import re
from pathlib import Path

import tensorflow as tf

# Where NVIDIA's driver shows its GPUs, whether or not a process can use them.
_NVIDIA = ("/proc/driver/nvidia/gpus/*", "/dev/nvidia[0-9]*")
_CPUINFO = Path("/proc/cpuinfo")
# Linux' names for the instructions that make bfloat16 faster than float32.
_BFLOAT16 = {"avx512_bf16", "amx_bf16"}


def device_names(strategy: tf.distribute.Strategy) -> str:
    """What `strategy` computes on: "CPU, 2 cores", "2 x NVIDIA H100 80GB HBM3".

    Of several workers each is taken to have what this one has.
    """
    own = strategy.extended.worker_devices
    counts = collections.Counter(map(_name, own))
    text = ", ".join(f"{count} x {name}" if count > 1 else name for name, count in counts.items())
    workers = strategy.num_replicas_in_sync // len(own)
    return f"{workers} workers, each {text}" if workers > 1 else text


def unused_gpu() -> str | None:
    """A warning where this machine has an NVIDIA GPU that TensorFlow does not see.

    None also where CUDA_VISIBLE_DEVICES hides it.
    """
    is_hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1")
    if is_hidden or not any(map(glob.glob, _NVIDIA)) or tf.config.list_physical_devices("GPU"):
        return None
    why = ("could not open the CUDA libraries" if tf.test.is_built_with_cuda()
           else "was built without CUDA")
    return (f"this machine has an NVIDIA GPU that is not used: TensorFlow {why}; "
            '`pip install "tensorflow[and-cuda]"` installs them (in the repository: '
            '`pip install ".[cuda]"`), CUDA_VISIBLE_DEVICES=-1 silences this')


def slow_precision(precision: str, strategy: tf.distribute.Strategy) -> str | None:
    """`slow_on_processor` where `strategy` computes on one; None on a GPU."""
    if any(":GPU:" in device for device in strategy.extended.worker_devices):
        return None
    return slow_on_processor(precision)


def slow_on_processor(precision: str) -> str | None:
    """A warning where `precision` is slower than float32 on this machine's processor.

    Source: measured; a convolution in float16 takes 1.4 to 1.8 times as long as in float32 even
    where the processor has float16, bfloat16 without instructions for it twice as long.
    """
    flags = _cpu_flags()
    if precision == "float32" or not flags:
        return None
    if precision.endswith("bfloat16"):
        if _BFLOAT16 & flags:
            return None
        why = "this processor has neither AVX512_BF16 nor AMX"
    else:
        why = "processors have no fast float16"
    return f"--precision={precision} is slower than float32 here: {why}"


def _name(device):
    """Name of a device of tf.distribute, such as "/job:worker/task:0/device:GPU:1"."""
    kind, index = device.rsplit(":", 2)[1:]
    if kind != "GPU":
        cores = len(os.sched_getaffinity(0))
        return f"CPU, {cores} core{'s' * (cores > 1)}"
    physical = tf.config.list_physical_devices("GPU")
    # Several logical GPUs may share one physical GPU.
    details = tf.config.experimental.get_device_details(physical[int(index) % len(physical)])
    return details.get("device_name", "GPU")


def _cpu_flags():
    """What the processor can do, in Linux' words; empty where the system does not say."""
    try:
        found = re.search(r"^flags\s*:(.*)$", _CPUINFO.read_text(), re.MULTILINE)
    except OSError:
        return set()
    return set(found[1].split()) if found else set()
