"""What experiments conclude from rows, and what a grid runs again."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments import (
    averaging,
    crops,
    intervals,
    optimizer,
    residual_scaling,
    residual_speedup,
    runner,
)
from inception_tf.config import Config
from inception_tf.errors import UsageError


def quick(experiment, folder, draw=False):
    return runner.Settings(True, draw, 2, folder / f"{experiment}_quick",
                           folder / f"{experiment}_quick" / "results.jsonl", {})


def row(run, errors, **more):
    """A results row of a run whose averaged weights had `errors` after each epoch."""
    validation = [{"epoch": i + 1.0, "step": 5 * (i + 1), "ema_top1_error": e,
                   "raw_top1_error": e + 0.1} for i, e in enumerate(errors)]
    train = [{"epoch": 1.0, "step": 5, "loss": 2.0}]
    return {"name": run.name, "outcome": "finished", "seconds": 1.0, "facts": run.facts,
            "train": train, "validation": validation, "config": runner._plain(run.config), **more}


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


@pytest.mark.parametrize(
    "grid", [residual_speedup.grid, optimizer.search, residual_scaling.grid])
def test_flags_of_a_run_give_its_config(grid, tmp_path):
    from inception_tf import flags

    runs = list(grid(quick("x", tmp_path)))
    assert len({run.name for run in runs}) == len(runs)
    for run in runs:
        _, config = flags.parse_run("train", "", runner.to_flags(run.config))
        assert runner._plain(config) == runner._plain(run.config)


def test_full_grid_has_pairs_of_equal_cost_and_five_seeds(tmp_path):
    settings = runner.Settings(False, False, 1, tmp_path, tmp_path / "r.jsonl", {})
    runs = list(residual_speedup.grid(settings))
    costs = {run.facts["net"]: run.facts["multiply_adds"] for run in runs}
    for (plain, _), (residual, _) in residual_speedup.PAIRS:
        assert 0.9 < costs[residual] / costs[plain] < 1.1
        for net in (plain, residual):
            assert sorted(r.facts["seed"] for r in runs if r.facts["net"] == net) == [*range(5)]
    recipes = {json.dumps({k: v for k, v in runner._plain(run.config)["optimization"].items()})
               for run in runs}
    assert len(recipes) == 1


def test_a_grid_skips_what_has_a_result_of_the_same_config(tmp_path, monkeypatch):
    settings = quick("residual_speedup", tmp_path)
    runs = list(residual_speedup.grid(settings))
    rows = [row(run, [0.9, 0.5]) for run in runs]
    rows[1]["config"]["optimization"]["learning_rate"] = 7.0
    settings.results.parent.mkdir()
    settings.results.write_text("".join(json.dumps(r) + "\n" for r in rows))
    started = []

    def results(waiting, _):
        for run in waiting:
            started.append(run.name)
            yield run, row(run, [0.8, 0.4])

    monkeypatch.setattr(runner, "_results", results)
    found = runner.run_grid(runs, settings)
    assert started == [runs[1].name]
    assert [r["validation"][-1]["ema_top1_error"] for r in found] == [0.5, 0.4, 0.5, 0.5]
    # What it wrote is what the next one reads.
    started.clear()
    assert runner.run_grid(runs, settings) == found and not started


def test_drawing_runs_nothing(tmp_path):
    settings = quick("residual_speedup", tmp_path, draw=True)
    with pytest.raises(UsageError, match="4 of 4 runs have no result"):
        runner.run_grid(list(residual_speedup.grid(settings)), settings)


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


def test_death_is_told_by_units_before_the_pool(tmp_path):
    runs = list(residual_scaling.grid(quick("x", tmp_path)))
    assert [run.facts["scale"] for run in runs] == [1.0, 0.1, 1.0, 0.1]
    rows = []
    for run in runs:
        dead = 1.0 if run.facts["scale"] == 1.0 else 0.05
        probe = [{"step": s, "units": 150, "dead_units": dead, "rms": {"inception_resnet_c_1": 1.0}}
                 for s in (3, 5)]
        rows.append(row(run, [0.9], probe=probe))
    rows[3]["outcome"] = "non-finite"
    assert residual_scaling.table(rows[::-1]).splitlines()[2:4] == [
        "| 0.07, 150 units | none | 100 % dead, 100 % error | 5 % dead, 100 % error |",
        "| 0.07, 150 units | batch norm before the pool | 100 % dead, 100 % error | not finite |"]
    assert drawn(residual_scaling.draw(rows, tmp_path / "s.png"))


def test_residuals_are_scaled_with_and_without_every_remedy(tmp_path):
    runs = list(residual_scaling.grid(dataclasses.replace(quick("x", tmp_path), quick=False)))
    facts = [tuple(run.facts.values()) for run in runs]
    assert len(facts) == len(set(facts)) == 3 * 4 * 4
    assert len({run.name for run in runs}) == len(runs)


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


def test_other_data_have_results_of_their_own():
    ours = runner.Settings.parse("crops", "", [])
    other = runner.Settings.parse("crops", "", ["--dataset=imagenette", "--eval_split=test[:9]"])
    assert ours.results.name == "crops.jsonl" and ours.folder.name == "crops"
    assert other.results.name == "crops_imagenette_test-9-.jsonl"
    assert other.folder.name == "crops_imagenette_test-9-"
    assert other.data == {"dataset": "imagenette", "eval_split": "test[:9]"}


@pytest.mark.parametrize(("module", "results"), [
    (residual_speedup, "residual_speedup"), (averaging, "residual_speedup"),
    (residual_scaling, "residual_scaling"), (crops, "crops"),
    (optimizer, "optimizer")])
def test_claims_show_the_tables_of_the_committed_results(module, results):
    rows = runner.read_rows(runner.RESULTS / f"{results}.jsonl")
    page = Path(__file__).parents[2] / "docs" / "claims.md"
    assert module.table(rows).strip() in page.read_text()


def test_probe_sees_dead_units_and_sizes(tmp_path):
    """A run whose last layer gives nothing, and the same one alive."""
    from inception_tf.runs import checkpoint
    from inception_tf.runs.folder import CHECKPOINTS
    from tests.pictures import write_image_folder
    from tests.runs import write_run

    write_image_folder(tmp_path / "images", {"train": 5, "validation": 5})
    settings = {"net": "inception_resnet_v2", "dataset": "folder",
                "data_dir": str(tmp_path / "images")}
    folder = write_run(tmp_path / "run", list("abcde"), **settings)
    config = Config.from_json((folder / "config.json").read_text())
    arrays, manifest = checkpoint.load(folder / CHECKPOINTS, 1)
    facts = {k: v for k, v in manifest.items() if k not in ("format", "step", "files", "sha256")}
    dead = {k: v - 1e6 if k == "weights/inception_resnet_c_1_linear/bias" else v
            for k, v in arrays.items()}
    assert any((dead[k] != arrays[k]).any() for k in arrays), "no bias of that name"
    checkpoint.save(folder / CHECKPOINTS, 2, dead, facts)
    alive, gone = residual_scaling.probe(folder, config)
    assert (alive["step"], gone["step"]) == (1, 2)
    assert alive["dead_units"] < 0.5 and gone["dead_units"] == 1.0
    assert list(alive["rms"]) == ["inception_resnet_a_1", "inception_resnet_b_1",
                                  "inception_resnet_c_1"]
    assert gone["rms"]["inception_resnet_c_1"] == 0 < alive["rms"]["inception_resnet_c_1"]


def drawn(path):
    with Image.open(path) as picture:
        return picture.size[0] > 500
