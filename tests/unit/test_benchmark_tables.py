"""Tables in the documentation are those of the results that were measured."""

import json

import pytest

from benchmarks import harness, tables, targets


@pytest.mark.parametrize("page", tables.PAGES, ids=lambda page: page.name)
def test_tables_are_made_from_the_results(page):
    text = page.read_text()
    assert tables.filled(text) == text, "run python -m benchmarks.tables"


def test_tables_are_found():
    text = "a\n<!-- table resume -->\nold\n<!-- end of table -->\nb\n"
    made = tables.filled(text)
    assert "old" not in made and "| array_record |" in made and made.endswith("table -->\nb\n")


@pytest.mark.parametrize("name", tables.TABLES)
def test_benchmark_without_a_result_is_not_run(name, tmp_path, monkeypatch):
    monkeypatch.setattr(harness, "RESULTS", tmp_path)
    text = f"<!-- table {name} -->\nold\n<!-- end of table -->\n"
    assert tables.filled(text) == text.replace("old", "not run")


def test_speed_says_of_each_target_whether_it_is_met_or_not_run(tmp_path, monkeypatch):
    monkeypatch.setattr(harness, "RESULTS", tmp_path)
    ratios = [{"of": "ours, fast", "to": "TF-slim, fast", "wall": 1.396},
              {"of": "ours, full", "to": "TF-slim, full", "wall": 1.24}]
    (tmp_path / "input.json").write_text(json.dumps({"ratios": ratios}))
    rows = [row for row in tables.speed().splitlines() if row.startswith("| input")]
    fast, full, plain = rows
    others = [row for row in tables.speed().splitlines()[2:] if row not in rows]
    assert "| 1.40 | at least 1.4 | met | [input.json]" in fast
    assert "| 1.24 | at least 1.25 | not met | [input.json]" in full
    assert "| not run | at least 0.6 |" in plain
    assert len(others) == len(targets.TARGETS) - 3 and all("| not run |" in row for row in others)


def test_tables_of_the_readme_without_results_are_not_run(tmp_path, monkeypatch):
    chosen = [target.headline for target in targets.TARGETS if target.headline]
    monkeypatch.setattr(harness, "RESULTS", tmp_path)
    rows = tables.table("headlines").splitlines()[2:]
    assert rows == [f"| {words} | not run |" for words in chosen] and len(rows) == 6
    rows = tables.table("peers").splitlines()[2:]
    assert all(row.endswith("| not run | not run | not run |") for row in rows) and rows


def test_peers_are_images_per_second_of_the_results(tmp_path, monkeypatch):
    monkeypatch.setattr(harness, "RESULTS", tmp_path)
    cases = {"ours": {"images_per_second": {"median": 1.675}},
             "timm, PyTorch, channels last": {"images_per_second": {"median": 1234.4}}}
    (tmp_path / "training.json").write_text(json.dumps({"batches": {"8": cases}}))
    row = tables.table("peers").splitlines()[2]
    assert row == "| training, two CPU cores, batch 8, float32 | 1.68 | not run | 1,234 |"


def test_serving_says_of_a_form_that_was_not_measured_why():
    row = {"images_per_second": {"median": 4.0}, "ratio": 1.0}
    table = tables.serving({
        "machine": harness.machine(), "matrix_gflops": 90.0, "floor_images_per_second": 3.0,
        "batch_sizes": {"1": {"ours": row, "large": row}, "32": {"ours": row}},
        "peak_mib": {"ours": 900.0}, "size_mb": {"ours": 220.0},
        "not_measured": {"large": "its process ended", "timm": "No module named 'timm'"}})
    assert table.splitlines()[2:5] == [
        "| ours | 4.0 | 4.0 | 1.00 | 1.00 | 220 | 900 |",
        "| large | 4.0 | its process ended | 1.00 |  |  |  |",
        "| timm | No module named 'timm' |  |  |  |  |  |"]
