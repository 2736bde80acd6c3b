"""Exports that are killed or stopped: a version folder is complete or absent."""

import json
import signal
import subprocess
import sys
import time

import pytest

from inception_tf.serving.manifest import read_export_manifest
from tests.fault.runs import ROOT, WITHIN_SECONDS, signalled_at
from tests.runs import randomize_statistics, write_run

pytestmark = pytest.mark.faults

# The SavedModel lies there, nothing else does; then all does, and only the rename is left.
POINTS = ("inception_tf.serving.comparison:saved_model_difference",
          "inception_tf.runtime.files:flush")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("served") / "run", ["a", "b"],
                     prepare=randomize_statistics)


def export(run, folder, **spec):
    """(exit code, what it printed) of an export in a process of its own."""
    words = [sys.executable, "-m", "tests.hooked", json.dumps(spec), "export",
             f"--model_dir={run}", f"--export_dir={folder}"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


def test_f46_killed_exports_leave_no_version_and_the_next_one_succeeds(run, tmp_path):
    folder = tmp_path / "cats" / "1"
    for point in POINTS:
        code, printed = export(run, folder, kill=[point, 1, signal.SIGKILL])
        assert code == -signal.SIGKILL, printed
        # What servers look for are folders whose names are numbers.
        assert [p.name[0] for p in folder.parent.iterdir()] == ["."]
    code, printed = export(run, folder)
    assert code == 0, printed
    assert read_export_manifest(folder)["kind"] == "savedmodel"
    assert [p.name for p in folder.parent.iterdir()] == ["1"]


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_f18_stopped_exports_clean_up(run, tmp_path, name, code):
    folder = tmp_path / "1"
    ended, printed = export(run, folder, kill=[POINTS[0], 1, signal.Signals[name]])
    assert ended == code and "Traceback" not in printed, printed
    assert time.time() - signalled_at(printed) < WITHIN_SECONDS
    assert f"stopped by {name}" in printed and not list(tmp_path.iterdir())
