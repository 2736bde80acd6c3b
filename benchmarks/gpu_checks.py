"""Is what a GPU computes correct? The checks of benchmarks/gpu_tensorflow.py.

    inception-tf prepare --dataset=shapes && python -m benchmarks.gpu_tensorflow --only=check

A check returns what it measured, "ok" and a line that says both; it uses small networks.
"""

import contextlib
import functools
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import harness
from benchmarks.gpu_whole import ROOT, command, failure

SMALL = {"width": 0.07, "repeats": (1, 1, 1), "image_size": 75, "dropout": 0.0}
BATCH = 16
# Relative differences that another order of float32 sums may leave; a wrong kernel gives 1e-1.
LIMITS = {"loss": 1e-5, "norm": 1e-3, "update": 1e-2}
# XLA takes convolutions by tensor cores in the backward pass, whatever was asked for.
XLA_LIMITS = {"loss": 1e-3, "norm": 1e-2, "update": 1e-1}
SERVED = 1e-4


def _beside_others(check):
    """The check, holding the GPU as others do that do not measure time."""
    @functools.wraps(check)
    def held(quick):
        with harness.device_lock(alone=False):
            return check(quick)
    return held


@_beside_others
def updates_as_on_cpu(quick):
    """One update of each network on the GPU against the CPU, float32 without TF32."""
    import tensorflow as tf

    from inception_tf.networks import NETWORKS

    tf.config.experimental.enable_tensor_float_32_execution(False)
    names = list(NETWORKS)[:1] if quick else [*NETWORKS, "inception_v4 xla"]
    rows = {name: _update_difference(*name.split()) for name in names}
    ok = all(row[kind] < limit for name, row in rows.items()
             for kind, limit in (XLA_LIMITS if "xla" in name else LIMITS).items())
    return _verdict(ok, "relative differences: " + "; ".join(
        f"{name} " + ", ".join(f"{kind} {row[kind]:.1e}" for kind in LIMITS)
        for name, row in rows.items()), networks=rows)


def _update_difference(net, xla=""):
    import numpy as np
    import tensorflow as tf

    found = []
    for device, compiled in ((_first_device(), bool(xla)), ("CPU:0", False)):
        step = _small_step(tf.distribute.OneDeviceStrategy(device), net=net, xla=compiled)
        before = _flat(step)
        metrics = step([_batch()])
        found.append((metrics["loss"], metrics["grad_norm"], _flat(step) - before))
    (loss, norm, change), (cpu_loss, cpu_norm, cpu_change) = found
    difference = np.linalg.norm(change - cpu_change) / np.linalg.norm(cpu_change)
    return {"loss": float(abs(loss / cpu_loss - 1)), "norm": float(abs(norm / cpu_norm - 1)),
            "update": float(difference), "most": _most_different(step, change, cpu_change)}


def _most_different(step, change, expected):
    """The three weights that the changes differ most in: [path, relative difference]."""
    import numpy as np

    ends = np.cumsum([np.size(v) for v in step.state.weights])[:-1]
    found = [[v.path, float(np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-12))]
             for v, a, b in zip(step.state.weights, np.split(change, ends),
                                np.split(expected, ends), strict=True)]
    return sorted(found, key=lambda pair: -pair[1])[:3]


@_beside_others
def replicas_as_one(quick):
    """Three updates on two logical devices under MirroredStrategy against one device."""
    import numpy as np
    import tensorflow as tf

    _cut_in_two()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    # A second MirroredStrategy of a process would take the collective keys of the first.
    strategies = (tf.distribute.MirroredStrategy([f"{kind}:0", f"{kind}:1"]),
                  tf.distribute.OneDeviceStrategy(f"{kind}:0"))
    changes = []
    for strategy in strategies:
        # Frozen: own statistics would differ, and sums over replicas amplify rounding at random.
        step = _small_step(strategy, batch_norm="frozen")
        before = _flat(step)
        for _ in range(3):
            step([_batch()])
        changes.append(_flat(step) - before)
    difference = float(np.linalg.norm(changes[0] - changes[1]) / np.linalg.norm(changes[1]))
    return _verdict(difference < LIMITS["update"],
                    f"relative difference of the change {difference:.1e}", difference=difference)


def _cut_in_two():
    """Two logical devices of the first GPU, or of the CPU where there is none."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    device, limit = (gpus[0], {"memory_limit": 4096}) if gpus else (
        tf.config.list_physical_devices("CPU")[0], {})
    tf.config.set_logical_device_configuration(
        device, [tf.config.LogicalDeviceConfiguration(**limit)] * 2)


@_beside_others
def nan_applies_nothing(quick):
    """A batch with one NaN: the update says so, and every variable keeps its bits."""
    import numpy as np
    import tensorflow as tf

    rows, cases = {}, {"float32": {}, "bfloat16": {"precision": "mixed_bfloat16"}}
    for name, settings in (cases | ({} if quick else {"xla": {"xla": True}})).items():
        step = _small_step(tf.distribute.OneDeviceStrategy(_first_device()), **settings)
        step([_batch()])
        before = step.state.arrays()
        metrics = step([_batch(bad=True)])
        after = step.state.arrays()
        same = all(np.array_equal(before[key], after[key]) for key in before)
        rows[name] = bool(same and not metrics["is_finite"])
    return _verdict(all(rows.values()), f"nothing applied: {rows}", rows=rows)


@_beside_others
def resumes_with_same_bits(quick):
    """A run that is killed and resumed ends with the bits of one that was not (deterministic)."""
    import numpy as np

    from inception_tf.runs import checkpoint
    from inception_tf.runs.folder import checkpoints_of

    steps = 12 if quick else 40
    flags = ["--preset=tiny", f"--max_steps={steps}", "--deterministic", "--eval_every_epochs=0",
             "--checkpoint_every_epochs=0.005", "--log_every_steps=4", "--global_batch=8"]
    with tempfile.TemporaryDirectory() as folder:
        whole, cut = (Path(folder) / name for name in ("whole", "cut"))
        beside = _started("train", *flags, f"--model_dir={whole}")
        process = _started("train", *flags, f"--model_dir={cut}")
        killed = _killed_after_a_save(process, checkpoints_of(cut))
        command("train", *flags, f"--model_dir={cut}")
        _ended(beside)
        (ours, _), (expected, _) = (checkpoint.load(checkpoints_of(run), steps)
                                    for run in (cut, whole))
    different = [key for key in expected if not np.array_equal(ours[key], expected[key])]
    return _verdict(not different and killed < steps, f"killed after step {killed} of {steps}, "
                    f"{len(different)} of {len(expected)} arrays differ", different=different)


def _started(name, *flags):
    return subprocess.Popen([sys.executable, "-m", "inception_tf", name, *flags], cwd=ROOT,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def _ended(process):
    """Waits for it; RuntimeError with its last line when its exit code is not 0."""
    _, said = process.communicate()
    if process.returncode:
        raise RuntimeError(failure("train", process.returncode, said))


def _killed_after_a_save(process, checkpoints):
    """Kills the run when it has its first checkpoint; the newest step that it has saved."""
    from inception_tf.runs import checkpoint

    found = []
    while process.poll() is None and not found:
        time.sleep(0.01)
        with contextlib.suppress(FileNotFoundError):
            found = checkpoint.steps(checkpoints)
    process.kill()
    process.communicate()
    return max(checkpoint.steps(checkpoints))


@_beside_others
def precisions_train_alike(quick):
    """The demo in float32, bfloat16 and float16: errors at most 3 points above float32's."""
    from inception_tf.runs.metrics import metrics_of

    precisions = ("float32", "mixed_bfloat16", "mixed_float16")
    with tempfile.TemporaryDirectory() as folder:
        processes = [_started(
            "train", "--preset=demo", f"--precision={name}", f"--model_dir={folder}/{name}",
            "--eval_every_epochs=0", *["--max_steps=3"] * quick) for name in precisions]
        for process in processes:
            _ended(process)
        errors = {name: 100 * metrics_of(f"{folder}/{name}", "validation")[-1]["ema_top1_error"]
                  for name in precisions}
    worse = max(errors.values()) - errors["float32"]
    return _verdict(quick or worse <= 3.0, "top-1 errors: " + ", ".join(
        f"{name} {error:.2f} %" for name, error in errors.items()), errors=errors)


@_beside_others
def export_answers_as_on_cpu(quick):
    """tiny trains for 50 steps, `export` accepts its own SavedModel, the CPU gives its answers."""
    import numpy as np

    from inception_tf.runs.metrics import metrics_of

    with tempfile.TemporaryDirectory() as folder:
        run, export = f"{folder}/run", f"{folder}/export"
        command("train", "--preset=tiny", f"--max_steps={2 if quick else 50}",
                "--log_every_steps=1", f"--model_dir={run}", "--eval_every_epochs=0")
        losses = [row["loss"] for row in metrics_of(run, "train")]
        command("export", f"--model_dir={run}", f"--export_dir={export}")
        code = ("import sys, numpy; from benchmarks.gpu_checks import answers; "
                "numpy.save(sys.argv[2], answers(sys.argv[1]))")
        harness.process(["-c", code, export, f"{folder}/cpu.npy"], {"CUDA_VISIBLE_DEVICES": "-1"})
        difference = float(np.abs(answers(export) - np.load(f"{folder}/cpu.npy")).max())
    return _verdict(difference < SERVED and np.isfinite(losses).all(),
                    f"loss {losses[0]:.3f} to {losses[-1]:.3f}; largest difference of a "
                    f"probability {difference:.1e}", difference=difference)


def answers(folder):
    """Probabilities of a SavedModel for noise, without TF32: [8, K]."""
    import numpy as np
    import tensorflow as tf

    from inception_tf.serving import runtimes

    tf.config.experimental.enable_tensor_float_32_execution(False)
    images = np.random.default_rng(0).uniform(-1, 1, (8, 75, 75, 3)).astype(np.float32)
    return runtimes.load(Path(folder), "savedmodel")(images)


# Check -> seconds that it may take.
CHECKS = {updates_as_on_cpu: 150, nan_applies_nothing: 90, replicas_as_one: 120,
          export_answers_as_on_cpu: 120, resumes_with_same_bits: 120, precisions_train_alike: 240}


def _verdict(ok, says, **measured):
    return {"ok": bool(ok), "says": f"{'ok' if ok else 'FAILED'}: {says}", **measured}


def _first_device():
    import tensorflow as tf

    return "GPU:0" if tf.config.list_physical_devices("GPU") else "CPU:0"


def _small_step(strategy, net="inception_resnet_v2_released", precision="float32", xla=False,
                batch_norm="own"):
    """A TrainStep of a small network, always of the same weights, under the demo's recipe."""
    import keras

    from inception_tf.config import preset
    from inception_tf.runs.network import build_network
    from inception_tf.training.schedule import Schedule
    from inception_tf.training.state import TrainState
    from inception_tf.training.step import TrainStep

    config = preset("paper").replace(
        **SMALL, net=net, precision=precision, xla="on" if xla else "off", batch_norm=batch_norm,
        global_batch=BATCH, replica_batch=BATCH)
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = build_network(config.network, 10, precision=precision)
    state = TrainState(strategy, model, config.optimization, precision)
    return TrainStep(strategy, model, state, Schedule(config.optimization, 10_000), 0,
                     config.execution, "fast")


def _batch(bad=False):
    """A batch of random images on the host; `bad`: one number in it is NaN."""
    import numpy as np
    import tensorflow as tf

    random = np.random.default_rng(0)
    size = SMALL["image_size"]
    images = random.uniform(-1, 1, (BATCH, size, size, 3)).astype(np.float32)
    if bad:
        images[3, 0, 0, 0] = np.nan
    with tf.device("CPU:0"):
        return {"image": tf.constant(images), "weight": tf.ones([BATCH]),
                "label": tf.constant(random.integers(0, 10, BATCH).astype(np.int32))}


def _flat(step):
    """All weights as one vector."""
    import numpy as np

    return np.concatenate([np.ravel(np.asarray(v)) for v in step.state.weights])
