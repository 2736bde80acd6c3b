"""The benchmark of 144 crops runs, and times what it says; no figure is asserted."""

from benchmarks import crops


def test_quick_form_measures_both_sides_on_both_clocks():
    (case,) = crops.QUICK.values()
    found = crops.measure(*case)
    assert found["views_per_pass"] == 24  # the largest divisor of 144 within 32
    for clock in ("wall", "cpu"):
        for side in ("scoring_seconds", "network_seconds"):
            assert 0 < found[clock][side]["min"] <= found[clock][side]["max"]
        assert found[clock]["ratio"] > 0
