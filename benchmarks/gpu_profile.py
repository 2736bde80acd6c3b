"""Where a GPU's time goes: TensorFlow's profile of some passes, reduced to kinds of kernels."""

import collections
import re
import tempfile
from pathlib import Path

from benchmarks import harness

# Kind of a kernel: the first pattern that its name matches.
KINDS = {
    "copy": r"^mem(cpy|set)|MemcpyD|MemcpyH|MemcpyP|Memset",
    "layout": r"nchwToNhwc|nhwcToNchw|[Tt]ranspose|SwapDimension|Pad",
    "convolution": r"conv|fprop|dgrad|wgrad|xmma|implicit|cudnn.*(engine|generated)|winograd",
    "matrix product": r"gemm|cublas|nvjet|cutlass",
    "batch norm": r"bn_(fw|bw)|batchnorm|BatchNorm",
    "pool": r"[Pp]ool|select_and_scatter|reduce_window",
    "optimizer": r"RMSProp|Momentum|ApplyGradient",
    "XLA fusion with a sum": r"reduce",
    "XLA fusion": r"fusion|^loop_|^wrapped_",
    "collective": r"nccl",
    "sum": r"Reduce|Sum",
    "element by element": r"Add|Mul|Sub|Div|Relu|Select|Cast|Sqrt|Square|IsFinite|Assign",
}
LARGEST = 15


def device_profile(call, passes):
    """What a `call` of that many passes did on the GPU, in ms a pass.

    Returns a dict: "wall_ms", "busy_ms" (any kernel running), "kernels" (number), "kinds"
    (kind -> ms), "largest" ([name, ms, number]), "gaps" (the longest times with nothing running:
    [ms, kernel after it]). On a CPU there is nothing but the wall time.
    """
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        options = tf.profiler.experimental.ProfilerOptions(
            host_tracer_level=1, python_tracer_level=0)
        with tf.profiler.experimental.Profile(folder, options):
            wall = harness.clocked(call)["wall"]
        (path,) = Path(folder).rglob("*.xplane.pb")
        events = list(kernels(path.read_bytes()))
    return {"wall_ms": 1e3 * wall / passes, **reduced(events, passes)}


def kernels(profile):
    """(name, start, end) in ms of everything that ran on the streams of the first GPU."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    for plane in xplane_pb2.XSpace.FromString(profile).planes:
        if plane.name != "/device:GPU:0":
            continue
        for line in (line for line in plane.lines if line.name.startswith("Stream")):
            for event in line.events:
                start = line.timestamp_ns / 1e6 + event.offset_ps / 1e9
                name = plane.event_metadata[event.metadata_id].name
                yield name, start, start + event.duration_ps / 1e9


def reduced(events, passes):
    """The kernels (name, start, end) summed by kind, ms a pass."""
    kinds, names, numbers = (collections.Counter() for _ in range(3))
    for name, start, end in events:
        kinds[kind_of(name)] += (end - start) / passes
        names[name] += (end - start) / passes
        numbers[name] += 1 / passes
    return {
        "busy_ms": _covered(sorted((start, end) for _, start, end in events)) / passes,
        "gaps": gaps(events),
        "kernels": sum(numbers.values()),
        "kinds": dict(kinds.most_common()),
        "largest": [[name[:120], ms, numbers[name]] for name, ms in names.most_common(LARGEST)],
    }


def kind_of(name):
    """The kind of a kernel of that name."""
    return next((kind for kind, form in KINDS.items() if re.search(form, name)), "rest")


def gaps(events):
    """[ms, name of the kernel that ends it] of the longest times with nothing running."""
    found, reached = [], None
    for name, start, end in sorted(events, key=lambda event: event[1]):
        if reached is not None and start > reached:
            found.append([start - reached, name[:120]])
        reached = end if reached is None else max(reached, end)
    return sorted(found, reverse=True)[:LARGEST]


def _covered(spans):
    """Length of the union of spans (start, end), sorted by their start."""
    total, reached = 0.0, float("-inf")
    for start, end in spans:
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
