"""Training runs in processes of their own, to be killed, and what is compared of them."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from inception_tf.commands.launch import free_ports
from inception_tf.runs import checkpoint
from inception_tf.runs.metrics import read_metrics
from inception_tf.runtime.cluster import Cluster

ROOT = Path(__file__).parents[2]
STEP = "inception_tf.training.step:TrainStep.dispatch"
SCORE = "inception_tf.training.validation:Scorer.score"
# When all images are scored, and the save before that had its time.
REPORT = "inception_tf.training.records:FolderRecords.report"
# A signal that asks a run to stop has ended it by then, in every phase.
WITHIN_SECONDS = 30
SAVE = "inception_tf.runs.checkpoint:save"
# Five steps an epoch; a checkpoint at every step and a scoring at steps 4 and 6, the last.
FLAGS = ("--preset=tiny", "--dataset=folder", "--epochs=9", "--max_steps=6", "--log_every_steps=1",
         "--checkpoint_every_epochs=0.2", "--eval_every_epochs=0.8", "--keep_best=0")


def start(images, folder, *flags, environment=None, trace="trace", within=(), **spec):
    """The process of a run in FOLDER/run with the hooks of `spec` (tests/hooked.py).

    `within`: the words of a command that runs it.
    """
    spec = {"trace": str(folder / trace), "small": True, **spec}
    words = [*within, sys.executable, "-m", "tests.hooked", json.dumps(spec), "train", *FLAGS,
             f"--data_dir={images}", f"--model_dir={folder / 'run'}", *flags]
    inherited = {k: v for k, v in os.environ.items() if k != "TF_CONFIG"}
    return subprocess.Popen(words, cwd=ROOT, env={**inherited, **(environment or {})}, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            start_new_session=True)


def finish(process, timeout=120):
    """(exit code, what it printed); a run that does not end by itself is killed and fails."""
    (code,), (printed,) = finish_all([process], timeout)
    return code, printed


def finish_all(processes, timeout=120):
    """(exit codes, what they printed) of a group, as `finish`."""
    deadline = time.monotonic() + timeout
    try:
        printed = [p.communicate(timeout=deadline - time.monotonic())[0] for p in processes]
    finally:
        for process in processes:
            process.kill()
    assert "Traceback" not in "".join(printed), printed
    return [p.returncode for p in processes], printed


def signalled_at(printed):
    """Time when the hook `kill` sent its first signal, by what that process printed."""
    return float(re.search(r"signal sent at (\S+)", printed)[1])


def train(images, folder, *flags, **spec):
    """(exit code, what it printed) of one run."""
    return finish(start(images, folder, *flags, **spec))


def train_to_the_end(images, folder, *flags, **spec):
    """What a run printed that has to end well."""
    code, printed = train(images, folder, *flags, **spec)
    assert code == 0, printed
    return printed


def start_workers(images, folder, count, *flags, spec=None):
    """The processes of a group, and their addresses; `spec` maps a worker to its hooks."""
    addresses = tuple(f"127.0.0.1:{port}" for port in free_ports(count))
    environments = [{"TF_CONFIG": Cluster(addresses, i).tf_config()} for i in range(count)]
    processes = [start(images, folder, *flags, environment=environments[i], trace=f"trace.{i}",
                       **(spec or {}).get(i, {})) for i in range(count)]
    return processes, addresses


def newest(folder):
    """(arrays, manifest) of the newest valid checkpoint."""
    return checkpoint.load_newest(folder / "run" / "checkpoints", print)


def steps(folder):
    """The steps that have a checkpoint."""
    return checkpoint.steps(folder / "run" / "checkpoints")


def trace(folder, name="trace"):
    """Step -> {"loss", "indices"} of all updates that were made, the last where one came twice."""
    lines = [json.loads(line) for line in (folder / name).read_text().splitlines()]
    return {line.pop("step"): line for line in lines}


def contents(folder):
    """Path -> bytes of every file below `folder`."""
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def metrics(folder, split):
    """The rows of a run's metrics file, but for its clock."""
    rows = read_metrics(folder / "run" / split / "metrics.csv")
    return [{k: v for k, v in row.items() if k != "images_per_second"} for row in rows]


def assert_same_end(ours, theirs, names=("trace",)):
    """Bit for bit: all arrays, losses, order of examples, metrics; and nothing lies about.

    `names`: the traces, of each worker one.
    """
    (arrays, manifest), (expected, expected_manifest) = newest(ours), newest(theirs)
    assert arrays.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(arrays[name], expected[name], err_msg=name)
    assert manifest["step"] == expected_manifest["step"]
    assert manifest["scores"] == expected_manifest["scores"]
    for name in names:
        assert trace(ours, name) == trace(theirs, name)
    for split in ("train", "validation"):
        assert metrics(ours, split) == metrics(theirs, split)
    assert not list((ours / "run").rglob("*.tmp-*")) and not (ours / "run" / "LOCK").exists()
