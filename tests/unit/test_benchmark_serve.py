"""The benchmark of serving over HTTP runs; no time is asserted."""

import importlib.util

import pytest

from benchmarks import serve, tables
from inception_tf.commands.serve import PACKAGES


@pytest.mark.skipif(any(importlib.util.find_spec(name) is None for name in PACKAGES),
                    reason=f"not installed: {', '.join(PACKAGES)}")
def test_files_over_http_and_the_network_alone_are_timed_in_turn(capsys):
    found = serve.run(quick=True)
    assert found["clients"].keys() == {"1", "4"} and found["picture_bytes"] > 10_000
    for row in found["clients"].values():
        assert row["ratio"] > 0 and row["cpu_ratio"] > 0
        assert 0 < row["latency_s"]["p50"] <= row["latency_s"]["p99"]
        assert row["images_per_second"]["served"]["min"] > 0 and "refusal_s" not in row
    assert capsys.readouterr().out.count("of the network alone") == 2


def test_table_has_a_row_for_each_number_of_clients():
    rates = {name: {"median": 10.0, "min": 9.0, "max": 11.0} for name in ("alone", "served")}
    row = {"images_per_second": rates, "ratio": 0.95, "cpu_ratio": 0.97,
           "latency_s": {"p50": 0.5, "p99": 1.25}}
    machine = {"processor": "p", "cores": 2, "memory_gib": 4,
               "versions": {"tensorflow": "2", "keras": "3"}}
    text = tables.serve({"machine": machine, "clients": {
        "1": row, "16": {**row, "refusal_s": {"p50": 0.01, "p99": 0.0789}}}})
    assert "| 1 | 10.0 | 10.0 | 0.95 | 0.97 | 0.50 s | 1.25 s |  |" in text
    assert "| 16 | 10.0 | 10.0 | 0.95 | 0.97 | 0.50 s | 1.25 s | 79 ms |" in text


def test_percentiles_are_times_that_were_measured():
    assert serve.percentiles([1.0, 2.0, 3.0]) == {"p50": 2.0, "p99": 3.0}
    assert serve.percentiles([float(i) for i in range(200)]) == {"p50": 100.0, "p99": 198.0}
