"""TensorFlow on a GPU: training, inference, exports, strategies, the whole pipeline, checks.

    python -m benchmarks.gpu_tensorflow [--only=PATTERN] [--budget_s=N] [--at_once=N]
                                        [--results=DIR] [--quick]

Rows in order of worth, each in a process of its own with a limit of time; each is kept as soon as
it is there, and the same command resumes (a row that failed is tried again). --only takes the rows
whose name has the pattern. --budget_s starts no row that could need longer than what is left, and
ends the last one with it. --at_once starts so many rows together: they compile beside one another,
measure one after the other, and have twice the time.

XLA_FLAGS="--xla_gpu_force_compilation_parallelism=CORES" lets it choose kernels on several cores.

Training is the paper's recipe without the auxiliary head, of random bytes in the host's memory:
copy, colours, loss, gradients, decay, clip, RMSProp, averages. Inference: images on the device. A
floor is the multiply-adds (three times as many for an update) at the rate of a bfloat16 matrix
product in the same process. The quick form runs small networks on a CPU.
"""

import concurrent.futures
import json
import re
import time
from typing import NamedTuple

from benchmarks import gpu_checks, gpu_whole, harness
from benchmarks.gpu import reason
from benchmarks.gpu_tensorflow_cases import NO_GPU, answer, inference, saved_model, training

# Each process takes only the memory that it needs, so that some fit beside one another.
ENVIRONMENT = {"TF_FORCE_GPU_ALLOW_GROWTH": "true"}
RELEASED, V4 = "inception_resnet_v2_released", "inception_v4"


class Row(NamedTuple):
    """A function of settings, and how long its process may take."""

    case: object
    settings: dict
    limit_s: float


def _network_rows():
    """name -> Row of training and inference, in order of worth."""
    bf16, f16, f32 = "mixed_bfloat16", "mixed_float16", "float32"
    for case, net, precision, xla, batch, more in (
        (training, RELEASED, bf16, True, 128, {"steps_per_call": 8, "profile": True}),
        (training, RELEASED, bf16, True, 128, {"profile": True}),
        (training, RELEASED, bf16, False, 64, {"profile": True}),
        (inference, RELEASED, "bfloat16", True, 128, {"profile": True}),
        (training, RELEASED, bf16, True, 256, {}),
        (training, RELEASED, bf16, True, 64, {}),
        (inference, RELEASED, f32, True, 128, {}),
        (training, V4, bf16, True, 128, {}),
        (training, RELEASED, f32, True, 128, {}),
        (training, RELEASED, bf16, True, 128, {"strategy": "mirrored"}),
        (training, RELEASED, f16, True, 128, {}),
        (training, RELEASED, bf16, False, 128, {}),
        (training, RELEASED, f32, True, 64, {}),
        (training, RELEASED, bf16, False, 64, {"deterministic": True}),
        (inference, RELEASED, "bfloat16", True, 256, {}),
        (inference, RELEASED, f32, True, 256, {}),
        (training, RELEASED, bf16, True, 128, {"images": "floats"}),
        (training, RELEASED, f32, False, 64, {}),
    ):
        words = [case.__name__, net, precision, "xla" if xla else "no-xla", str(batch)]
        words += [f"{value} a call" if name == "steps_per_call" else name if value is True
                  else value for name, value in more.items() if name != "profile"]
        settings = {"net": net, "precision": precision, "xla": xla, "batch": batch, **more}
        yield " ".join(words), Row(case, settings, 400 if xla and case is training else 120)


def _checks():
    for case, limit_s in gpu_checks.CHECKS.items():
        yield f"check {case.__name__}", Row(case, {}, limit_s)


ROWS = {
    **dict(_network_rows()),
    "saved_model": Row(saved_model, {"net": RELEASED}, 90),
    "pipeline": Row(gpu_whole.pipeline, {}, 400),
    "input": Row(gpu_whole.input_speed, {}, 60),
    **dict(_checks()),
}


def main():
    """Prints a line a row; keeps the result."""
    arguments = harness.arguments(__doc__, child="", only="", budget_s=1e6, at_once=1, results="")
    if arguments.child:
        row = ROWS[arguments.child]
        return print("\n" + json.dumps(answer(row.case, row.settings, arguments.quick)))
    result = {} if arguments.quick else harness.kept("gpu_tensorflow", arguments.results)
    return take_rows({"rows": {}, **result}, arguments)


def take_rows(result, arguments):
    """Fills result["rows"]: name -> what was found, or {"failed": why}; returns `result`."""
    ends = time.monotonic() + arguments.budget_s
    left = [name for name in ROWS if re.search(arguments.only, name)
            and "failed" in result["rows"].get(name, {"failed": "not measured yet"})]
    with concurrent.futures.ThreadPoolExecutor(arguments.at_once) as pool:
        while left:
            wave, left = left[:arguments.at_once], left[arguments.at_once:]
            limits = {name: _limit_s(name, ends, len(wave)) for name in wave}
            started = {pool.submit(measured, name, limit_s, arguments.quick): name
                       for name, limit_s in limits.items() if limit_s}
            for done in concurrent.futures.as_completed(started):
                found = done.result()
                if found.get("failed", "").endswith(NO_GPU):
                    print("not run: no GPU that TensorFlow can use; --quick runs on a CPU")
                    return result  # what is kept came from a machine that has one
                result["rows"][started[done]] = found
                result = harness.keep("gpu_tensorflow", result, arguments.quick, arguments.results)
    return result


def _limit_s(name, ends, at_once):
    """Seconds that a row's process gets; None, and a line, if it might not end in time."""
    left_s, limit_s = ends - time.monotonic(), ROWS[name].limit_s
    if limit_s > left_s:
        return print(f"{name}: not started, {left_s:.0f} s are left and it may need {limit_s} s",
                     flush=True)
    return min(left_s, limit_s * (2 if at_once > 1 else 1))


def measured(name, limit_s, quick):
    """What a row's process found, or {"failed": why}; prints it."""
    words = ["-m", "benchmarks.gpu_tensorflow", f"--child={name}", *["--quick"] * quick]
    try:
        run = harness.process(words, ENVIRONMENT, None if quick else limit_s)
        found = with_rates(json.loads(run["output"].splitlines()[-1]))
    except RuntimeError as error:
        found = {"failed": reason(str(error))}
    print(f"{name}: {line_of(found)}", flush=True)
    return found


def with_rates(found):
    """`found` with images per second and the share of the matrix rate, if it counted images."""
    if "images" not in found:
        return found
    rates = harness.spread([found["images"] / s for s in found["seconds"]])
    operations = 2 * found["multiply_adds"]
    return {**found, "images_per_second": rates, "ms": 1e3 * found["images"] / rates["median"],
            "matrix_share": rates["median"] * operations / (1e12 * found["matrix_tflops"])}


def line_of(found):
    """What a row found, in one line."""
    if "images_per_second" not in found:
        return found.get("failed") or found["says"]
    line = (f"{found['images_per_second']['median']:.1f} images/s, {found['ms']:.1f} ms, "
            f"{found['peak_mib']:.0f} MiB, first call {found['first_call_seconds']:.1f} s, "
            f"{100 * found['matrix_share']:.1f} % of {found['matrix_tflops']:.0f} TFLOP/s")
    if "host_ms" in found:
        line += (f", host {found['host_ms']['dispatch']:.1f} ms to send an update, "
                 f"{found['host_ms']['rows']:.1f} to wait for one")
    if "profile" not in found:
        return line
    kinds = ", ".join(f"{kind} {ms:.1f}" for kind, ms in found["profile"]["kinds"].items())
    profile = found["profile"]
    return (f"{line}\n    profile: {profile['wall_ms']:.1f} ms, busy {profile['busy_ms']:.1f}, "
            f"{profile['kernels']:.0f} kernels: {kinds}")


if __name__ == "__main__":
    main()
