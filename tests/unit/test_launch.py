"""The launcher's own decisions, with workers that are no TensorFlow."""

import os
import signal
import subprocess
import threading

import pytest

from inception_tf.commands import launch


@pytest.fixture
def started(monkeypatch):
    """Workers without a signal handler, as before their imports; all that were started.

    Those of the first group sleep, later ones end with code 2, which no restart heals.
    """
    workers = []

    def start(words, cluster):
        command = ["sleep", "20"] if len(workers) < 2 else ["sh", "-c", "exit 2"]
        workers.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return workers[-1]

    monkeypatch.setattr(launch, "_start", start)
    monkeypatch.setattr(launch, "GRACE_SECONDS", 0.2)
    return workers


def exit_code_when(action):
    """The launcher's exit code when `action` happens half a second after its start."""
    timer = threading.Timer(0.5, action)
    timer.start()
    with pytest.raises(launch.GroupFailed) as failed:
        launch.main(["--num_workers=2", "--max_restarts=5", "--", "train"])
    timer.join()
    return failed.value.exit_code


def test_launch_told_to_stop_while_workers_import_does_not_start_again(started):
    assert exit_code_when(lambda: os.kill(os.getpid(), signal.SIGTERM)) == 143
    assert [worker.returncode for worker in started] == [-15, -15]


def test_launch_worker_killed_starts_the_group_again_and_other_errors_end_it(started):
    assert exit_code_when(lambda: started[1].kill()) == 2
    assert len(started) == 4
