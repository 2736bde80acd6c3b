"""What a grid of experiments runs, and what it does not run again."""

import dataclasses
import json
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments import (
    catching_up,
    crops,
    digits,
    longer_remedies,
    night,
    optimizer,
    residual_scaling,
    residual_speedup,
    runner,
    sixteen_bits,
)
from experiments import rows as results_files
from inception_tf.errors import UsageError
from tests.experiment_rows import quick, row


@pytest.mark.parametrize(
    "grid", [residual_speedup.grid, optimizer.search, residual_scaling.grid, catching_up.grid,
             longer_remedies.grid, sixteen_bits.grid])
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
    monkeypatch.setattr(runner, "_open_data", lambda data: None)
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


@pytest.mark.parametrize(("given", "said"), [
    ({"data_dir": "nowhere"}, "--data_dir=nowhere is not a folder"),
    ({"dataset": "no_such_set"}, "no_such_set")])
def test_data_that_no_run_could_read_is_refused_before_the_first(given, said, tmp_path,
                                                                 monkeypatch):
    monkeypatch.setattr(runner, "_results", None)  # would start them
    settings = dataclasses.replace(quick("residual_speedup", tmp_path),
                                   data={"dataset": "folder", **given})
    with pytest.raises(UsageError, match=said):
        runner.run_grid(list(residual_speedup.grid(settings)), settings)


def test_a_quick_run_makes_a_few_updates_of_a_folder_which_has_no_parts(tmp_path):
    settings = dataclasses.replace(quick("residual_speedup", tmp_path),
                                   data={"dataset": "folder", "data_dir": str(tmp_path)})
    config = next(residual_speedup.grid(settings)).config
    assert (config.data.train_split, config.data.eval_split) == ("train", "validation")
    assert config.runtime.max_steps == 10


def test_drawing_runs_nothing(tmp_path):
    settings = quick("residual_speedup", tmp_path, draw=True)
    with pytest.raises(UsageError, match="4 of 4 runs have no result"):
        runner.run_grid(list(residual_speedup.grid(settings)), settings)


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
    monkeypatch.setattr(runner, "_open_data", lambda data: None)
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
