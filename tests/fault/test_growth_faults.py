"""What many scorings leave in a process (fault F52)."""

import json
import subprocess
import sys

import pytest

from tests.fault.runs import ROOT
from tests.pictures import write_image_folder

pytestmark = pytest.mark.faults

# Trains a small network of 60 scorings; prints [threads, descriptors, MiB] after each.
SCRIPT = """
import json, os, sys
from inception_tf.commands.shell import import_tensorflow
import_tensorflow()
from inception_tf.config import preset
from inception_tf.training import loop, setup
from tests.hooked import small_network

seen = []
original, setup.build_network = loop.Run.score, small_network

def score(run):
    scores = original(run)
    pages = int(open("/proc/self/statm").read().split()[1])
    seen.append([len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd")),
                 pages * os.sysconf("SC_PAGESIZE") / 2**20])
    return scores

loop.Run.score = score
loop.train(preset("tiny").replace(
    dataset="folder", data_dir=sys.argv[1], model_dir=sys.argv[2], max_steps=60, epochs=60.0,
    eval_every_epochs=1.0, checkpoint_every_epochs=float(sys.argv[3])))
print(json.dumps(seen))
"""


@pytest.mark.parametrize("checkpoint_every_epochs", [0, 1])
def test_f52_sixty_scorings_leave_no_thread_descriptor_or_memory(tmp_path, checkpoint_every_epochs):
    images = write_image_folder(tmp_path / "images", {"train": 8, "validation": 43})
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(images), str(tmp_path / "run"),
         str(checkpoint_every_epochs)], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert len(seen) == 60
    threads, descriptors, memory = zip(*seen[2:], strict=True)
    # A thread of a save may just be ending.
    assert max(threads) <= threads[0] + 2 and set(descriptors) == {descriptors[0]}
    # Eight megabytes a scoring, 460 in all, before the streams were closed and used again. What
    # is left is malloc's: it ends after some thirty saves.
    assert max(memory) - memory[0] < 40 and memory[-1] - memory[29] < 8, memory
