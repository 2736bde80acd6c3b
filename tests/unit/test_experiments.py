"""What experiments conclude from rows, and what a grid runs again."""

import dataclasses
import json
import math
import re
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments import (
    averaging,
    catching_up,
    crops,
    digits,
    intervals,
    longer_remedies,
    night,
    optimizer,
    page,
    residual_scaling,
    residual_speedup,
    runner,
    scaling_figure,
)
from experiments import rows as results_files
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
            "train": train, "validation": validation, "config": results_files.plain(run.config),
            **more}


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
    "grid", [residual_speedup.grid, optimizer.search, residual_scaling.grid, catching_up.grid,
             longer_remedies.grid])
def test_flags_of_a_run_give_its_config(grid, tmp_path):
    from inception_tf import flags

    runs = list(grid(quick("x", tmp_path)))
    assert len({run.name for run in runs}) == len(runs)
    for run in runs:
        _, config = flags.parse_run("train", "", runner.to_flags(run.config))
        assert results_files.plain(config) == results_files.plain(run.config)


def test_full_grid_has_pairs_of_equal_cost_and_five_seeds(tmp_path):
    settings = runner.Settings(False, False, 1, tmp_path, tmp_path / "r.jsonl", {})
    runs = list(residual_speedup.grid(settings))
    costs = {run.facts["net"]: run.facts["multiply_adds"] for run in runs}
    for (plain, _), (residual, _) in residual_speedup.PAIRS:
        assert 0.9 < costs[residual] / costs[plain] < 1.1
        for net in (plain, residual):
            assert sorted(r.facts["seed"] for r in runs if r.facts["net"] == net) == [*range(5)]
    recipes = {json.dumps(results_files.plain(run.config)["optimization"]) for run in runs}
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
    monkeypatch.setattr(runner, "_prepare_data", lambda data: None)
    found = runner.run_grid(runs, settings)
    assert started == [runs[1].name]
    assert [r["validation"][-1]["ema_top1_error"] for r in found] == [0.5, 0.4, 0.5, 0.5]
    # What it wrote is what the next one reads.
    started.clear()
    assert runner.run_grid(runs, settings) == found and not started


@pytest.mark.parametrize(("grid", "results"), [
    (residual_scaling.grid, "residual_scaling"), (optimizer.search, "optimizer")])
def test_committed_results_are_not_run_again(grid, results, tmp_path):
    """Also where the way that a run is computed has changed since."""
    path = results_files.RESULTS / f"{results}.jsonl"
    rows = {r["name"]: r for r in results_files.read_rows(path)}
    settings = runner.Settings(False, False, 1, tmp_path, path, {})
    runs = [run for run in grid(settings) if run.name in rows]
    assert len(runs) >= 20 and all(runner._is_done(run, rows) for run in runs)


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


def test_residuals_are_scaled_with_and_without_every_remedy_three_times(tmp_path):
    runs = list(residual_scaling.grid(dataclasses.replace(quick("x", tmp_path), quick=False)))
    cells = [(run.config.runtime.seed, *run.facts.values()) for run in runs]
    assert len(cells) == len(set(cells)) == 3 * 3 * 4 * 4
    assert len({run.name for run in runs}) == len(runs)
    # A grid that is stopped early has no remedy of the new seeds without the plain ones.
    new = [facts for facts in cells if facts[0]]
    assert all(remedy == "none" for *_, remedy in new[:24])


def test_full_networks_have_the_figures_width_and_depth(tmp_path):
    settings = runner.Settings.parse("residual_scaling", "", ["--full", "--seeds=2"],
                                     (runner.FULL,))
    assert settings.gpu and settings.results.name == "residual_scaling_full.jsonl"
    runs = list(residual_scaling.grid(settings))
    assert [(run.facts["scale"], run.config.runtime.seed) for run in runs] == [
        (1.0, 0), (0.1, 0), (1.0, 1), (0.1, 1)]
    for run in runs:
        network = run.config.network
        assert (network.width, network.repeats, network.image_size) == (1.0, (), 151)
        assert run.config.data.dataset == "shapes/large"
    with pytest.raises(UsageError, match="no flag --full"):
        runner.Settings.parse("optimizer", "", ["--full"])


def test_seeds_limits_a_grid_to_the_first_ones(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # which an experiment sets
    settings = dataclasses.replace(quick("x", tmp_path), quick=False, seeds=2)
    assert len(list(residual_scaling.grid(settings))) == 2 * 48
    assert {run.facts["seed"] for run in catching_up.grid(settings)} == {0, 1}
    with pytest.raises(UsageError, match="--seeds=2.*four members"):
        crops.main(["--seeds=2"])


def test_digits_are_written_as_a_folder_of_pictures(tmp_path, monkeypatch):
    images = np.tile(np.arange(64.0).reshape(1, 8, 8) / 4, (9, 1, 1))
    module = types.SimpleNamespace(load_digits=lambda: types.SimpleNamespace(
        images=images, target=np.arange(9) % 2))
    monkeypatch.setitem(sys.modules, "sklearn", types.SimpleNamespace(datasets=module))
    monkeypatch.setitem(sys.modules, "sklearn.datasets", module)
    digits.main([f"--folder={tmp_path / 'digits'}"])
    found = sorted(p.relative_to(tmp_path / "digits").as_posix()
                   for p in (tmp_path / "digits").rglob("*.png"))
    assert found == [*(f"train/{i % 2}/{i:04}.png" for i in (2, 6, 1, 3, 5, 7)),
                     *(f"validation/0/{i:04}.png" for i in (0, 4, 8))]
    with Image.open(tmp_path / "digits" / found[0]) as picture:
        assert picture.size == (64, 64) and picture.mode == "RGB"
    with pytest.raises(UsageError, match="exists already"):
        digits.main([f"--folder={tmp_path / 'digits'}"])
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(UsageError, match="pip install scikit-learn"):
        digits.main([f"--folder={tmp_path / 'more'}"])


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


def test_catching_up_is_told_by_the_interval_of_the_lead(tmp_path):
    settings = dataclasses.replace(quick("x", tmp_path), quick=False)
    rows = []
    for run in catching_up.grid(settings):
        # Ahead by 19 to 21 points until epoch 15, then by as much as seeds differ.
        plain = [0.5 + 0.01 * (run.facts["seed"] - 1)] * 24
        residual = [0.3] * 15 + [0.5] * 9
        rows.append(row(run, plain if run.facts["net"] == catching_up.PLAIN else residual))
    assert catching_up.caught_up(rows) == 16
    lines = catching_up.table(rows).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:8]] == [
        f"| {epoch}" for epoch in (4, 8, 12, 16, 20, 24)]
    assert "from epoch 16 on the lead's interval includes zero" in catching_up.verdict(rows)
    assert drawn(catching_up.draw(rows, tmp_path / "c.png"))
    ahead = [r if r["facts"]["net"] == catching_up.PLAIN else
             {**r, "validation": [{**v, "ema_top1_error": 0.1} for v in r["validation"]]}
             for r in rows]
    assert catching_up.verdict(ahead).startswith("Not caught up")


def test_the_night_runs_every_grid_and_tells_of_failed_runs_at_the_end(monkeypatch):
    called = []

    def fails(argv):
        called.append(argv)
        raise runner.RunFailed("1 of 2 runs failed")

    for grid in night.GRIDS:
        monkeypatch.setattr(grid, "main", fails)
    with pytest.raises(runner.RunFailed, match="1 of 2"):
        night.main(["--jobs=7"])
    assert called == [["--jobs=7", "--gpu=false"]] * 3


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


def test_rows_of_another_machine_are_added_once_each(tmp_path, monkeypatch):
    monkeypatch.setattr(results_files, "RESULTS", tmp_path / "results")
    runs = list(residual_speedup.grid(quick("x", tmp_path)))
    here = [row(run, [0.5], machine={"processor": "here"}) for run in runs[:2]]
    there = [row(run, [0.4], machine={"processor": "there"}) for run in runs[1:]]
    results_files.add(tmp_path / "results" / "r.jsonl", here)
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(r) + "\n" for r in there))
    for _ in range(2):
        results_files.main([str(tmp_path / "r.jsonl")])
        kept = results_files.read_rows(tmp_path / "results" / "r.jsonl")
        assert kept == here + there[1:]
    there[0]["config"]["optimization"]["learning_rate"] = 7.0
    with pytest.raises(UsageError, match=f"{runs[1].name} has other settings"):
        results_files.merge(tmp_path / "results" / "r.jsonl", there)
    with pytest.raises(UsageError, match="no such file"):
        results_files.main([str(tmp_path / "absent.jsonl")])
    (tmp_path / "x.jsonl").write_text("{")
    with pytest.raises(UsageError, match="no results file"):
        results_files.main([str(tmp_path / "x.jsonl")])


def test_rows_added_by_several_processes_at_once_are_all_kept(tmp_path):
    path = tmp_path / "r.jsonl"
    code = ("import sys; from pathlib import Path; from experiments import rows\n"
            "for i in range(20): rows.add(Path(sys.argv[1]), [{'name': sys.argv[2] + str(i)}])")
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), letter],
                                cwd=Path(__file__).parents[2]) for letter in "ab"]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert {r["name"] for r in results_files.read_rows(path)} == {
        f"{letter}{i}" for letter in "ab" for i in range(20)}


def test_a_failed_run_does_not_keep_others_from_their_results(tmp_path, monkeypatch):
    settings = quick("residual_speedup", tmp_path)
    runs = list(residual_speedup.grid(settings))

    def results(waiting, _):
        yield waiting[0], runner.RunFailed(f"{waiting[0].name} ended with code 1: broken")
        for run in waiting[1:]:
            yield run, row(run, [0.5])

    monkeypatch.setattr(runner, "_results", results)
    monkeypatch.setattr(runner, "_prepare_data", lambda data: None)
    with pytest.raises(runner.RunFailed, match=f"1 of 4 runs failed.*{runs[0].name} ended"):
        runner.run_grid(runs, settings)
    assert len(results_files.read_rows(settings.results)) == 3


def test_other_data_have_results_of_their_own():
    ours = runner.Settings.parse("crops", "", [])
    other = runner.Settings.parse("crops", "", ["--dataset=imagenette", "--eval_split=test[:9]"])
    assert ours.results.name == "crops.jsonl" and ours.folder.name == "crops"
    assert other.results.name == "crops_imagenette_test-9-.jsonl"
    assert other.folder.name == "crops_imagenette_test-9-"
    pictures = runner.Settings.parse("crops", "", ["--dataset=folder", "--data_dir=/some/digits"])
    assert pictures.results.name == "crops_digits.jsonl"
    assert other.data == {"dataset": "imagenette", "eval_split": "test[:9]"}


def test_claims_show_what_the_committed_results_say():
    text = page.PAGE.read_text()
    made = set(re.findall(r"<!-- (\w+)\.table", text))
    assert made >= {"residual_speedup", "averaging", "residual_scaling", "crops", "optimizer"}
    assert page.filled(text) == text, "run python -m experiments.page"


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
    arrays, manifest = checkpoint.load(folder / CHECKPOINTS, 1)
    facts = {k: v for k, v in manifest.items() if k not in ("format", "step", "files", "sha256")}
    dead = {k: v - 1e6 if k == "weights/inception_resnet_c_1_linear/bias" else v
            for k, v in arrays.items()}
    assert any((dead[k] != arrays[k]).any() for k in arrays), "no bias of that name"
    checkpoint.save(folder / CHECKPOINTS, 2, dead, facts)
    alive, gone = residual_scaling.probe(folder)
    assert (alive["step"], gone["step"]) == (1, 2)
    assert alive["dead_units"] < 0.5 and gone["dead_units"] == 1.0
    assert list(alive["rms"]) == ["inception_resnet_a_1", "inception_resnet_b_1",
                                  "inception_resnet_c_1"]
    assert gone["rms"]["inception_resnet_c_1"] == 0 < alive["rms"]["inception_resnet_c_1"]


def drawn(path):
    with Image.open(path) as picture:
        return picture.size[0] > 500
