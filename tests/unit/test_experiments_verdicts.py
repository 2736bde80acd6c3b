"""What experiments conclude from rows."""

import dataclasses
import math
import re

import numpy as np
import pytest

from experiments import (
    averaging,
    catching_up,
    crops,
    intervals,
    longer_remedies,
    optimizer,
    page,
    residual_scaling,
    residual_speedup,
    runner,
    scaling_figure,
    sixteen_bits,
)
from tests.experiment_rows import drawn, quick, row


def test_interval_of_a_mean_is_students():
    # Two values around 2: t(0.975, 1) = 12.706, standard error 1.
    mean, low, high = intervals.mean_and_interval([1.0, 3.0])
    assert mean == 2.0 and high - mean == pytest.approx(12.706, abs=1e-3) == mean - low
    assert math.isnan(intervals.mean_and_interval([1.0])[1])
    assert intervals.text([5.0]) == "5.00"


def test_ratio_of_pairs_ignores_what_pairs_share():
    ratio, low, high = intervals.ratio_and_interval([2.0, 20.0, 200.0], [1.0, 10.0, 100.0])
    assert ratio == low == high == pytest.approx(2.0)


@pytest.mark.parametrize(("threshold", "expected"), [
    (0.9, 1.0), (0.5, 1.5), (0.4, 2.0), (0.3, None)])
def test_threshold_is_met_between_two_scorings(threshold, expected):
    assert intervals.first_below([1, 2, 3], [0.6, 0.4, 0.35], threshold) == expected


def test_speedup_is_told_by_epochs_to_a_threshold(tmp_path):
    runs = list(residual_speedup.grid(quick("x", tmp_path)))
    errors = {"inception_v3": [0.9, 0.5, 0.5], "inception_resnet_v1": [0.5, 0.1, 0.1],
              "inception_v4": [0.9, 0.9, 0.9], "inception_resnet_v2": [0.5, 0.1, 0.1]}
    rows = [row(run, errors[run.facts["net"]]) for run in runs]
    text = residual_speedup.table(rows)
    assert "| epochs to 50 % error | 2.00 | 1.00 | 2.00 times as fast |" in text
    assert "| final top-1 error in % | 50.00 | 10.00 | 40.00 less |" in text
    assert "| epochs to 50 % error | 0 of 1 runs | 1.00 | |" in text
    assert drawn(residual_speedup.draw(rows, tmp_path / "speedup.png"))
    assert "| 10.00 |" in averaging.table(rows).splitlines()[2]
    assert drawn(averaging.draw(rows, tmp_path / "averaging.png"))


def test_a_run_that_never_reaches_a_threshold_makes_the_speedup_a_lower_bound():
    def curve(*errors):
        points = [{"epoch": i + 1.0, "ema_top1_error": e} for i, e in enumerate(errors)]
        return {"outcome": "finished", "validation": points}

    line = residual_speedup._threshold_line(
        0.5, [curve(0.9, 0.5, 0.4), curve(0.9, 0.8, 0.7)], [curve(0.5, 0.4, 0.3)] * 2)
    # sqrt(2 * 3) with the run that did not reach it at its end, epoch 3.
    assert line.startswith("| epochs to 50 % error | 1 of 2 runs | 1.00 | at least 2.45 (")


def test_a_pair_with_a_run_that_broke_off_is_left_out_and_counted(tmp_path):
    settings = runner.Settings(False, False, 1, tmp_path, tmp_path / "r.jsonl", {})
    rows = [row(run, [0.9, 0.3 if "resnet" in run.name else 0.5])
            for run in residual_speedup.grid(settings)]
    rows[1].update(outcome="non-finite", validation=[])
    text = residual_speedup.table(rows)
    assert "| pairs left out, not finite | 1 | | |" in text
    assert "20.00 (20.00 to 20.00) less" in text
    assert drawn(residual_speedup.draw(rows, tmp_path / "speedup.png"))


def test_optimizers_are_compared_at_their_best_rate_on_seeds_that_did_not_choose_it(tmp_path):
    settings = runner.Settings(False, False, 1, tmp_path, tmp_path / "r.jsonl", {})
    tried = [row(run, [0.9, 0.2 if run.facts["rate"] in (0.15, 0.0005) else 0.6])
             for run in optimizer.search(settings)]
    judged = [row(run, [0.9, 0.3]) for run in optimizer.confirm(settings, tried)]
    assert [r["facts"]["rate"] for r in judged] == [0.15, 0.15, 0.0005, 0.0005, 0.15] * 4
    text = optimizer.table(tried + judged).splitlines()[-1]
    assert text == ("| momentum | 0.005: 60.00 %, 0.015: 60.00 %, 0.045: 60.00 %, 0.15: 20.00 % | "
                    "0.15: 30.00 (30.00 to 30.00) % | 0.00 (0.00 to 0.00) | 4 |")
    tried[2]["outcome"] = "non-finite"
    assert "0.045: not finite, 0.15: 20.00 %" in optimizer.table(tried + judged)
    assert drawn(optimizer.draw(tried + judged, tmp_path / "o.png"))


def scaling_rows(settings, dead_unscaled):
    """A row of each run of residual_scaling; units die where residuals are not scaled."""
    rows = []
    for run in residual_scaling.grid(settings):
        dead = dead_unscaled if run.facts["scale"] == 1.0 else 0.05
        probe = [{"step": s, "units": 150, "dead_units": dead, "rms": {"inception_resnet_c_1": 1.0}}
                 for s in (3, 5)]
        error = 0.9 if run.facts["scale"] == 1.0 else 0.6 + 0.1 * run.config.runtime.seed
        rows.append(row(run, [error], probe=probe))
    return rows


def test_death_is_told_by_units_before_the_pool(tmp_path):
    rows = scaling_rows(quick("x", tmp_path), 1.0)
    assert [r["facts"]["scale"] for r in rows] == [1.0, 0.1, 1.0, 0.1]
    rows[3]["outcome"] = "non-finite"
    lines = residual_scaling.table(rows[::-1]).splitlines()
    assert lines[2:4] == [
        "| 0.07, 150 units | none | 100 dead, 100 error | 5 dead, 70 error |",
        "| 0.07, 150 units | batch norm before the pool | 100 dead, 100 error | not finite |"]
    assert "| 0.07 | none | dead units | 95.00 |" in lines
    assert "| 0.07 | batch norm before the pool | error |  |" in lines
    assert drawn(scaling_figure.draw(rows, tmp_path / "s.png"))


def test_what_scaling_gains_is_paired_by_seed_and_counted(tmp_path):
    rows = scaling_rows(dataclasses.replace(quick("x", tmp_path), quick=False), 0.8)
    # Differences of 30, 20 and 10 points: t(0.975, 2) = 4.303 times a standard error of 5.77.
    assert residual_scaling.gains(rows, residual_scaling.error, 0.1, width=0.5,
                                  remedy="none") == pytest.approx([30.0, 20.0, 10.0])
    text = residual_scaling.table(rows)
    assert "over seeds. Seeds: 3 in 48 cells." in text
    assert "| 0.5 | none | error | " + " | ".join(["20.00 (-4.84 to 44.84)"] * 3) + " |" in text
    assert ("Dead units: of 36 comparisons with the unscaled network less in 36, with an interval "
            "above zero in 36; more in 0") in text
    assert "Error: of 36 comparisons with the unscaled network less in 36, with an interval " \
           "above zero in 0" in text
    assert drawn(scaling_figure.draw(rows, tmp_path / "s.png"))


def test_longer_remedies_tell_dead_units_by_time(tmp_path):
    rows = []
    for run in longer_remedies.grid(quick("x", tmp_path)):
        probe = [{"step": e, "units": 9, "dead_units": 0.1 * e} for e in range(1, 9)]
        rows.append(row(run, [0.8] * 8, probe=probe))
    lines = longer_remedies.table(rows).splitlines()
    cells = [f"{dead}.00 % dead, 90.00 % error" for dead in (20, 40, 60, 80)]
    assert lines[2] == "| rate / 10 | 1 | 1 | " + " | ".join(cells) + " |"
    assert len(lines) == 8
    assert drawn(longer_remedies.draw(rows, tmp_path / "l.png"))


@pytest.mark.parametrize("end, scatter, since, told", [
    (0.5, 0.001, 16, "with 1 of 3 seeds: caught up: from epoch 16 on the lead is below 1 point"),
    (0.4, 0.01, None, "with 3 of 3 seeds: not caught up"),
    (0.5, 0.01, None, "with 1 of 3 seeds: undecided, the interval has zero and more than 1 point"),
])
def test_catching_up_is_told_by_the_interval_of_the_lead(tmp_path, end, scatter, since, told):
    settings = dataclasses.replace(quick("x", tmp_path), quick=False)
    rows = []
    for run in catching_up.grid(settings):
        # Ahead by about 20 points until epoch 15.
        plain = [0.5 + scatter * (run.facts["seed"] - 1)] * 24
        residual = [0.3] * 15 + [end] * 9
        rows.append(row(run, plain if run.facts["net"] == catching_up.PLAIN else residual))
    assert catching_up.caught_up(rows) == since
    assert catching_up.verdict(rows).endswith(f" after 24, where it is ahead {told}.")
    lines = catching_up.table(rows).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:8]] == [
        f"| {epoch}" for epoch in (4, 8, 12, 16, 20, 24)]
    assert drawn(catching_up.draw(rows, tmp_path / "c.png"))


def test_sixteen_bits_are_compared_seed_by_seed(tmp_path):
    settings = dataclasses.replace(quick("x", tmp_path), quick=False)
    rows = []
    for run in sixteen_bits.grid(settings):
        half = run.facts["precision"] != "float32"
        rows.append(row(run, [0.9, 0.2 + 0.01 * run.facts["seed"] + 0.005 * half]))
    assert "is the larger, pairs of a seed: 0.50 (0.50 to 0.50)." in sixteen_bits.verdict(rows)
    lines = sixteen_bits.table(rows[:-1]).splitlines()
    assert lines[2].startswith("| float32 | 20.00 % | 21.00 % | 22.00 % | 23.00 % | 24.00 % |")
    assert lines[3].split(" | ")[5] == "" and lines[3].endswith("| 22.00 (19.95 to 24.05) % |")
    assert drawn(sixteen_bits.draw(rows, tmp_path / "b.png"))


def test_gains_of_crops_and_of_the_ensemble_are_paired_by_image(tmp_path):
    missed = {("inception_v4_seed0", 1): "1111100000", ("inception_v4_seed0", 12): "1110000000",
              ("inception_resnet_v2_seed0", 1): "0000011100",
              ("inception_resnet_v2_seed0", 12): "0000011000",
              (crops.ENSEMBLE, 1): "1000010000", (crops.ENSEMBLE, 12): "1000000000"}
    rows = [{"name": name, "crops": n, "wrong": wrong, "top1_error": wrong.count("1") / 10,
             "top1_interval": [0.0, 1.0], "top5_error": 0.01, "num_examples": 10}
            for (name, n), wrong in missed.items()]
    lines = crops.table(rows).splitlines()
    # Two of ten images: 20 points, t(0.975, 9) = 2.262 times a standard error of 13.33.
    assert lines[2] == ("| Inception-v4 | 50.00 / 1.00 | 30.00 / 1.00 | "
                        "20.00 (-10.16 to 50.16) |")
    assert lines[5].startswith("| gain over the members' mean | 20.00 (")
    assert drawn(crops.draw(rows, tmp_path / "c.png"))


def test_what_was_missed_is_kept_image_by_image():
    class Stored:
        labels = np.array([0, 1, 2])

        def __init__(self, *rows):
            self.probabilities = np.array(rows, np.float32)

    one = Stored([0.6, 0.2, 0.2], [0.6, 0.3, 0.1], [0.1, 0.2, 0.7])
    two = Stored([0.1, 0.6, 0.3], [0.1, 0.8, 0.1], [0.1, 0.2, 0.7])
    assert crops._row("x", 1, [one])["wrong"] == "010"
    assert crops._row("x", 1, [two])["wrong"] == "100"
    both = crops._row("all", 1, [one, two])
    assert both["wrong"] == "100" and both["top1_error"] == pytest.approx(1 / 3)


def test_claims_show_what_the_committed_results_say():
    text = page.PAGE.read_text()
    made = set(re.findall(r"<!-- (\w+)\.table", text))
    assert made >= {"residual_speedup", "averaging", "residual_scaling", "crops", "optimizer"}
    assert page.filled(text) == text, "run python -m experiments.page"
