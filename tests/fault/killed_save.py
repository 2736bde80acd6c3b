"""A process that saves steps 2 and 3 below ROOT and is killed at the POINT-th point of it.

`python -m tests.fault.killed_save ROOT POINT`; with POINT 0 it lives and prints how many
points there are. A point is just before or after each thing that changes the disk. Nothing
here imports TensorFlow, so that all points can be tried.
"""

import functools
import os
import pathlib
import signal
import sys

import numpy as np

from inception_tf.runs import checkpoint
from inception_tf.runs.saver import BackgroundSaver

CHANGES = ((pathlib.Path, "mkdir"), (pathlib.Path, "write_text"), (os, "fsync"), (os, "rename"),
           (os, "unlink"), (os, "rmdir"), (checkpoint.safetensors.numpy, "save_file"))


def arrays(step):
    """What is saved at `step`."""
    return {"weights": np.full(5000, step, np.float32), "step": np.int64(step)}


def main():
    root, last = sys.argv[1], int(sys.argv[2])
    passed = []

    def point():
        passed.append(1)
        if len(passed) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    for owner, name in CHANGES:
        setattr(owner, name, _with_points(getattr(owner, name), point))
    saver = BackgroundSaver(root, keep=1, keep_best=0)
    for step in (2, 3):
        saver.save(step, arrays(step), {})
        saver.add_scores(step, {"ema_top1_error": 1 / step})
    saver.finish()
    print(len(passed))


def _with_points(original, point):
    @functools.wraps(original)
    def hooked(*args, **kwargs):
        point()
        try:
            if original.__name__ == "save_file":
                args[1].write_bytes(b"half of it")
                point()
            return original(*args, **kwargs)
        finally:
            point()

    return hooked


if __name__ == "__main__":
    main()
