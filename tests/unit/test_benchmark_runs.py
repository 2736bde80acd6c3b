"""The benchmarks of saving, resuming and the framework's share run; quick forms keep nothing.

What they time is looked at, and no time.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow_datasets.core.registered import skip_registration

from benchmarks import harness, overhead, resume, save
from inception_tf.commands import train
from inception_tf.runtime.cluster import ALONE
from tests.hooked import small_network


@pytest.fixture
def results(monkeypatch, tmp_path):
    """Where the benchmarks would keep what they found; their networks are small."""
    monkeypatch.setattr(harness, "RESULTS", tmp_path / "results")
    monkeypatch.setattr("inception_tf.runs.network.build_network", small_network)
    return tmp_path / "results"


def test_what_is_kept_has_its_machine_and_a_quick_form_is_not_kept(results):
    assert harness.keep("x", {"ratio": 2.0}, quick=True)["ratio"] == 2.0
    assert not results.exists()
    harness.keep("x", {"ratio": 2.0}, quick=False)
    kept = json.loads((results / "x.json").read_text())
    assert kept.keys() == {"machine", "ratio"}


def test_why_a_row_failed_is_kept_without_colour_codes(results):
    failed = {"rows": [{"failed": "\x1b[1;31mValueError\x1b[0m: no such shape \x1b[3"}]}
    assert harness.keep("x", failed, quick=False)["rows"] == [
        {"failed": "ValueError: no such shape "}]
    assert "u001b" not in (results / "x.json").read_text()


def test_machine_names_the_commit_and_settings_of_threads(monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith(("TF_NUM_", "OMP_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TF_NUM_INTEROP_THREADS", "1")
    monkeypatch.setattr(harness, "RESULTS", tmp_path / "results")
    found = harness.machine()
    assert found["threads"] == {"TF_NUM_INTEROP_THREADS": "1"} and found["commit"] == "unknown"
    for words in (["init", "-q"], ["-c", "user.name=x", "-c", "user.email=x@example.org", "commit",
                                   "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=tmp_path, capture_output=True,
                          text=True, check=True).stdout.strip()
    assert harness.machine()["commit"] == head


def test_quick_save_measures_a_process_with_and_one_without_saves(results, monkeypatch):
    processes = []

    def in_this_process(words):
        assert words[:2] == ["-m", "benchmarks.save"]
        monkeypatch.setattr(sys, "argv", ["save", *words[2:]])
        arguments = harness.arguments("-", child=0)
        processes.append(save.measure(arguments.quick, arguments.child - 1))
        return {"output": json.dumps(processes[-1])}

    monkeypatch.setattr(harness, "process", in_this_process)
    monkeypatch.setattr(sys, "argv", ["save", "--quick"])
    found = save.main()
    assert processes[0].keys() == {"peak_mib"} and not results.exists()
    assert found["held_up_seconds"]["min"] > 0 and found["write_seconds"]["min"] > 0
    assert found["copy_floor_seconds"] > 0 and found["write_floor_seconds"] > 0
    assert found["megabytes"] > 0 and found["peak_mib_without_saving"] <= found["peak_mib"]


def test_quick_resume_goes_on_from_both_ends_of_an_epoch(results, monkeypatch, tmp_path):
    monkeypatch.setattr("inception_tf.training.setup.build_network", small_network)
    steps = []

    def in_this_process(words):
        started, output = time.perf_counter(), io.StringIO()
        if words[0] == "-c":
            monkeypatch.setattr(sys, "argv", words[1:])
            # Both formats' data sets have one name, and are made in one process here.
            with contextlib.redirect_stdout(output), skip_registration():
                exec(words[1], {})
        else:
            flags = dict(word.removeprefix("--").split("=") for word in words[3:])
            train.main(words[3:])
            steps.append([int(p.name.removeprefix("step_")) for p in sorted(
                (Path(flags["model_dir"]) / "checkpoints").glob("step_*"))])
        return {"output": output.getvalue(), "seconds": time.perf_counter() - started,
                "peak_mib": 1.0}

    monkeypatch.setattr(harness, "process", in_this_process)
    monkeypatch.setattr(sys, "argv", ["resume", "--quick"])
    found = resume.main()
    assert not results.exists() and found["formats"].keys() == {"array_record", "tfrecord"}
    for row in found["formats"].values():
        assert row["ratio"] > 0 and row["seconds"]["95 %"]["min"] > 0
    assert found["formats"]["tfrecord"]["index_records_per_second"] > 0
    # Of 640 records in batches of 8: one step, then one more from 0 % and from 95 %.
    assert steps == 2 * [[1], [1, 2], [76, 77]]


@pytest.mark.parametrize("strategy, replicas", [("one", 1), ("mirrored", 2)])
def test_overhead_compares_a_whole_update_with_the_same_replicas_bare(results, strategy, replicas):
    found = overhead.measure("tiny", {"steps_per_call": 2}, strategy, 2, 1, ALONE)
    assert found["replicas"] == replicas <= len(tf.config.list_logical_devices("CPU"))
    assert found["update"]["min"] > 0 and found["bare"]["min"] > 0 and found["outside_share"] < 1
    assert "sent_per_update" not in found


@pytest.mark.faults
def test_quick_overhead_of_two_workers_counts_what_they_send(results, monkeypatch):
    """A ring of two sends the gradients once, with the batch statistics and a little more."""
    monkeypatch.setattr(sys, "argv", ["overhead", "--quick"])
    ((_, found),) = overhead.main()["cases"].items()
    assert found["replicas"] == 2 and not results.exists()
    assert found["sent_per_update"] > 0.9 * found["parameter_bytes"] > 0
