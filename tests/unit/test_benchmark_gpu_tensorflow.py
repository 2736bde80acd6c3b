"""The benchmark of TensorFlow on a GPU in its quick form on a CPU; no time is asserted."""

import json
import sys
import tempfile
import time

import pytest

from benchmarks import gpu_checks, gpu_profile, gpu_tensorflow, gpu_whole, harness, tables

FOUND = {"device": "a chip", "images": 32, "seconds": [2.0, 4.0, 8.0], "multiply_adds": 10**12,
         "matrix_tflops": 64.0, "first_call_seconds": 9.0, "peak_mib": 5.0}


@pytest.fixture(autouse=True)
def own_lock(monkeypatch, tmp_path):
    """Other tests of benchmarks may run beside this."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def run(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["gpu_tensorflow", *words])
    return gpu_tensorflow.main()["rows"]


@pytest.fixture
def started(monkeypatch, tmp_path):
    """Names of the rows that a process was started for; those of mirrored devices fail."""
    names = []

    def process(words, environment, limit_s):
        name = words[2].partition("=")[2]
        assert limit_s <= 2 * gpu_tensorflow.ROWS[name].limit_s
        names.append(name)
        if "mirrored" in name:
            raise RuntimeError("python ended with code 1: Traceback\nRESOURCE_EXHAUSTED: memory")
        return {"output": "noise\n" + json.dumps(FOUND)}

    monkeypatch.setattr(harness, "RESULTS", tmp_path)
    monkeypatch.setattr(harness, "process", process)
    return names


def test_row_has_rates_and_its_share_of_the_matrix_rate(started, monkeypatch):
    name = "training inception_v4 mixed_bfloat16 xla 128"
    row = run(monkeypatch, "--only=inception_v4")[name]
    assert row["images_per_second"] == {"median": 8.0, "min": 4.0, "max": 16.0}
    assert row["ms"] == 4000.0
    # Eight images of two operations for each of 1e12 multiply-adds, at 64e12 a second.
    assert row["matrix_share"] == pytest.approx(0.25)


def test_second_run_tries_only_what_failed(started, monkeypatch, tmp_path):
    for _ in range(2):
        run(monkeypatch, "--only=^training", "--at_once=3", f"--results={tmp_path / 'out'}")
    failed = [name for name in started if "mirrored" in name]
    assert len(failed) == 2 and len(started) == len(set(started)) + 1
    rows = json.loads((tmp_path / "out" / "gpu_tensorflow.json").read_text())["rows"]
    assert rows[failed[0]] == {"failed": "RESOURCE_EXHAUSTED: memory"}


def test_row_that_may_outlast_the_budget_is_not_started(started, monkeypatch, capsys):
    rows = run(monkeypatch, "--budget_s=85")
    assert rows and rows.keys() == {name for name, row in gpu_tensorflow.ROWS.items()
                                    if row.limit_s <= 80}
    assert "not started" in capsys.readouterr().out


def test_machine_without_gpu_is_told_once_and_keeps_what_another_measured(
        monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(harness, "RESULTS", tmp_path)
    file = tmp_path / "gpu_tensorflow.json"
    file.write_text('{"machine": {"commit": "another"}, "rows": {"input": {"says": "fast"}}}')
    before = file.read_bytes()
    assert run(monkeypatch, "--only=inference") == {}
    assert capsys.readouterr().out.count("--quick") == 1
    assert file.read_bytes() == before


def test_process_is_stopped_at_its_limit():
    with pytest.raises(RuntimeError, match="stopped after 0.5 s"):
        harness.process(["-c", "import time; time.sleep(60)"], limit_s=0.5)


def test_devices_are_held_alone_only_when_nobody_holds_them():
    with harness.device_lock(alone=False), harness.device_lock(alone=False):
        child = harness.Child(["-c", "from benchmarks import harness\n"
                               "print('answer \"\"', flush=True)\n"
                               "with harness.device_lock(True): print('answer 1', flush=True)"])
        time.sleep(0.2)
        assert child._process.poll() is None
    assert child._process.wait(30) == 0
    child._process.communicate()


def test_quick_row_trains_on_a_cpu(monkeypatch, tmp_path):
    monkeypatch.setattr(harness, "RESULTS", tmp_path / "none")
    (row,) = run(monkeypatch, "--quick", "--only=training.*bfloat16 no-xla 64$").values()
    assert row["device"] == "cpu" and row["images"] == 2 and row["peak_mib"] > 100
    assert not (tmp_path / "none").exists()


def test_check_of_an_update_passes_on_a_cpu():
    assert gpu_checks.updates_as_on_cpu(quick=True)["ok"]


def test_photographs_are_as_large_as_imagenets(tmp_path):
    from PIL import Image

    path = tmp_path / "00007.jpg"
    gpu_whole.write_photograph(path)
    with Image.open(path) as image:
        assert image.size == (500, 375)
    # ImageNet's mean 110 KB; noise without detail would take 10.
    assert 40_000 < path.stat().st_size < 200_000


def test_profile_sums_kernels_by_kind_and_counts_overlap_once():
    events = [("sm90_xmma_fprop_implicit_gemm_bf16", 0.0, 4.0), ("input_reduce_fusion_3", 2.0, 5.0),
              ("loop_add_fusion", 8.0, 9.0), ("loop_add_fusion", 9.0, 10.0)]
    found = gpu_profile.reduced(events, passes=2)
    assert found["busy_ms"] == 3.5 and found["kernels"] == 2.0
    assert found["kinds"] == {"convolution": 2.0, "XLA fusion with a sum": 1.5, "XLA fusion": 1.0}
    assert found["largest"][0] == ["sm90_xmma_fprop_implicit_gemm_bf16", 2.0, 0.5]
    assert found["gaps"] == [[3.0, "loop_add_fusion"]]


def test_table_has_rates_reasons_checks_and_kinds_of_kernels():
    profile = gpu_profile.reduced([("loop_add_fusion", 0.0, 3.0)], passes=1) | {"wall_ms": 4.0}
    row = gpu_tensorflow.with_rates(FOUND) | {"profile": profile}
    lines = tables.gpu_tensorflow({"machine": harness.machine(), "rows": {
        "training 32": row, "training 64": {"failed": "out of memory"},
        "check x": {"says": "ok: 1e-7", "device": "a chip"},
        "check updates_as_on_cpu": {"says": "FAILED: v3", "networks": {
            "v3": {"loss": 1e-7, "norm": 0.016, "update": 0.05}}}}}).splitlines()
    assert "| training 32 | 8 | 4000.0 | 5 | 9 s | 25.0 % |" in lines
    assert "| training 64 | out of memory |" in lines
    assert "| check x | ok: 1e-7 |" in lines and "| check updates_as_on_cpu | FAILED |" in lines
    assert "| v3 | 1e-07 | 2e-02 | 5e-02 |" in lines
    assert "| XLA fusion | 3.0 |" in lines and "| by the clock | 4.0 |" in lines
    assert lines[-1].startswith("a chip, ")
