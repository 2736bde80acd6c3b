"""The launcher's own decisions, with workers that are no TensorFlow."""

import os
import re
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from inception_tf.commands import launch
from inception_tf.errors import UsageError, can_pass

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"


@pytest.fixture
def scripts(monkeypatch):
    """Lines of shell, one for each worker that is started; later ones end with code 2."""
    lines = []
    monkeypatch.setattr(launch, "_start", lambda words, cluster, gpus: _shell(
        lines.pop(0) if lines else "exit 2"))
    return lines


def _shell(line):
    return subprocess.Popen(["sh", "-c", line], stdout=subprocess.PIPE, text=True)


@pytest.fixture
def started(monkeypatch):
    """Workers without a signal handler, as before their imports; all that were started.

    Those of the first group sleep, later ones end with code 2, which no restart heals.
    """
    workers = []

    def start(words, cluster, gpus):
        workers.append(_shell("exec sleep 20" if len(workers) < 2 else "exit 2"))
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


@pytest.mark.parametrize("first, second, code, said", [
    ("exit 8", "sleep 0.5; exit 6", 6, "worker 1 ended with code 6, worker 0 with 8"),
    ("sleep 0.3; exit 8", "kill -9 $$", 137, "worker 1 ended with code 137 (SIGKILL), worker 0"),
    ("exit 8", "sleep 0.5; exit 8", 8, "worker 0 ended with code 8, worker 1 with 8"),
    ("exit 0", "exit 5", 5, "worker 1 ended with code 5"),
])
def test_launch_ends_with_the_code_that_the_others_follow_from(scripts, first, second, code, said):
    scripts += [first, second]
    with pytest.raises(launch.GroupFailed) as failed:
        launch.main(["--num_workers=2", "--", "train"])
    assert failed.value.exit_code == code and str(failed.value).startswith(said)


@pytest.mark.parametrize("line", ["exit 4", "exit 7", "exit 8", "exit 143", "kill -9 $$",
                                  "kill -15 $$"])
def test_launch_starts_again_after_errors_that_can_pass(scripts, line):
    scripts += [line, "exit 0"]
    launch.main(["--num_workers=1", "--max_restarts=1", "--", "train"])
    assert not scripts


@pytest.mark.parametrize("line", ["exit 1", "exit 2", "exit 3", "exit 5", "exit 6", "exit 130"])
def test_launch_does_not_start_again_after_errors_that_come_back(scripts, line):
    scripts += [line, "exit 0"]
    with pytest.raises(launch.GroupFailed):
        launch.main(["--num_workers=1", "--max_restarts=1", "--", "train"])
    assert scripts == ["exit 0"]


def test_page_and_code_have_one_rule_of_what_is_started_again():
    rows = re.findall(r"^\| (\d+) \| .* \| (yes|no)\b[^|]*\|$", PAGE.read_text(), re.MULTILINE)
    assert len(rows) == 12
    for code, answer in rows:
        assert can_pass(int(code)) == (answer == "yes"), code


@pytest.mark.parametrize("named, gpus", [
    ("", []), ("-1", []), ("0,2", ["0", "2"]), ("3, -1,4", ["3"]),
    ("GPU-5a,MIG-7", ["GPU-5a", "MIG-7"]),
])
def test_gpus_are_those_of_the_variable_where_it_is_set(named, gpus):
    assert launch.visible_gpus({"CUDA_VISIBLE_DEVICES": named}) == gpus


def test_gpus_are_the_drivers_files_by_number(tmp_path, monkeypatch):
    for name in ("nvidia0", "nvidia10", "nvidia2", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    monkeypatch.setattr(launch, "GPU_FILES", f"{tmp_path}/nvidia")
    assert launch.visible_gpus({}) == ["0", "2", "10"]


def test_each_worker_computes_on_gpus_of_its_own():
    shares = launch.gpu_shares(2, ["0", "1", "2", "3", "5"])
    assert [share["CUDA_VISIBLE_DEVICES"] for share in shares] == ["0,1", "2,3,5"]
    assert launch.gpu_shares(3, []) == [{}, {}, {}]
    with pytest.raises(UsageError, match="--num_workers=3, but 1 GPU may be used: start fewer"):
        launch.gpu_shares(3, ["0"])
