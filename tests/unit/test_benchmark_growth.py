"""The benchmark of growth runs, and says of each point what it is compared with; no time."""

import sys

import pytest

from benchmarks import growth, harness
from tests.hooked import small_network


@pytest.fixture
def results(monkeypatch, tmp_path):
    """Where the result would be kept; the networks are small."""
    monkeypatch.setattr(harness, "RESULTS", tmp_path / "results")
    monkeypatch.setattr("inception_tf.runs.network.build_network", small_network)
    return tmp_path / "results"


def test_quick_form_times_an_update_and_inference_of_each_point(results, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["growth", "--quick"])
    found = growth.main()
    small, large = found["axes"]["image size"]["rows"]
    assert (small["value"], large["value"]) == (75, 107) and not results.exists()
    # Two of (75, 107) pixels by 4, less the border, squared, through 7x7x3 to 4 channels.
    cells = [((size - 7) // 4 + 1) ** 2 * 7 * 7 * 3 * 4 for size in (75, 107)]
    assert [row["multiply_adds"] - 4 * 1000 for row in (small, large)] == cells
    for kind in growth.KINDS:
        assert small[kind]["per_multiply_add"]["wall"] == {"median": 1.0, "min": 1.0, "max": 1.0}
        assert not small[kind]["grows_faster"] and large[kind]["ms"]["min"] > 0
        assert large[kind]["floor_ms"] > 0


@pytest.mark.parametrize("slower, marked", [((3.9, 4.1), False), ((4.1, 4.2), True)])
def test_row_is_marked_when_every_round_by_both_clocks_grows_faster(monkeypatch, slower, marked):
    """Twice the batch of a network with twice the multiply-adds: four times the work."""
    points = {1: growth.Point(batch=2), 2: growth.Point(batch=4)}
    clocks = {(value, kind): {clock: list(seconds) for clock in ("wall", "cpu")}
              for value, seconds in ((1, (1.0, 1.0)), (2, slower)) for kind in growth.KINDS}
    monkeypatch.setattr(harness, "interleaved", lambda cases, rounds: clocks)
    built = {points[1]: (100, {}), points[2]: (200, {})}.get
    _, row = growth.measure(points, built, 2, 1.0)
    assert row["update"]["grows_faster"] is row["inference"]["grows_faster"] is marked
    assert row["update"]["per_multiply_add"]["wall"]["max"] == slower[1] / 4
    assert row["update"]["ms"]["median"] == 1e3 * sum(slower) / 2 / 4


def test_picture_has_a_panel_per_axis_in_logarithmic_scales(results, tmp_path):
    spread = {"median": 2.0, "min": 1.0, "max": 3.0}
    rows = [{"value": v, "multiply_adds": 10**9 * v, **{kind: {
        "ms": spread, "floor_ms": 0.5} for kind in growth.KINDS}} for v in (1, 2)]
    result = {"axes": {name: {"unit": unit, "rows": rows}
                       for name, (unit, _) in growth.AXES.items()}}
    growth.draw(harness.keep("growth", result, quick=True), tmp_path / "growth.png")
    assert (tmp_path / "growth.png").read_bytes()[1:4] == b"PNG"
