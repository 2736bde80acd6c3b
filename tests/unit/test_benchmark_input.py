"""The benchmark of the input pipeline runs, row by row; no figure is asserted."""

from benchmarks import input as benchmark
from benchmarks.input_rows import ROWS


def test_quick_form_measures_every_row_of_tensorflow():
    assert tuple(ROWS) == benchmark.NAMES
    rows = benchmark.quick()
    assert rows.keys() == set(benchmark.NAMES) - {"torchvision crop and flip"}
    for row in rows.values():
        assert row["images_per_second"]["median"] > 0 and row["cpu_ms"]["median"] > 0


def test_ratios_are_of_the_rows_that_were_measured():
    turns = {"ours, fast": [{"images_per_second": 600.0, "cpu_ms": 2.0}] * 3,
             "TF-slim, fast": [{"images_per_second": 400.0, "cpu_ms": 5.0}] * 3}
    assert benchmark.ratios(turns) == [
        {"of": "ours, fast", "to": "TF-slim, fast", "wall": 1.5, "cpu": 2.5}]
