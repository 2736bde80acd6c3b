"""What do more crops and ensembles of different networks gain? Tables 2 to 5 of the paper.

    python -m experiments.crops [--quick]

The networks are runs of `residual_speedup` (trained if they are missing): Inception-v4 and three
seeds of Inception-ResNet-v2 (paper), each scored with 1, 12 and 144 crops, and together as the
paper's ensemble. Gains are paired by image. Scorings are kept next to the runs and resume where
they stopped.
"""

import dataclasses
import subprocess
import sys

import numpy as np

from experiments import figures, intervals, residual_speedup
from experiments.rows import read_rows, write_rows
from experiments.runner import RunFailed, begin, run_grid
from inception_tf.commands.shell import exit_code_of
from inception_tf.errors import UsageError
from inception_tf.runtime.provenance import versions

MEMBERS = ("inception_v4_seed0", "inception_resnet_v2_seed0", "inception_resnet_v2_seed1",
           "inception_resnet_v2_seed2")
PROTOCOLS = (1, 12, 144)
NAMES = {"inception_v4_seed0": "Inception-v4",
         **{f"inception_resnet_v2_seed{i}": f"Inception-ResNet-v2, seed {i}" for i in range(3)}}
ENSEMBLE = "all of them"


def main(argv):
    """Trains and scores what is missing, then prints the table and draws the figure."""
    settings = begin("crops", __doc__.splitlines()[0], argv)
    if settings.seeds:
        raise UsageError(f"--seeds={settings.seeds}: the ensemble has the paper's four members; "
                         "leave it out")
    if not settings.draw:
        _run(settings)
    rows = read_rows(settings.results)
    if not rows:
        raise UsageError(f"--draw: there are no results in {settings.results}; run it first")
    print(table(rows))
    print(f"figure: {draw(rows, settings.results.with_suffix('.png'))}")


def _run(settings):
    networks = settings.folder.with_name(
        settings.folder.name.replace("crops", "residual_speedup", 1))
    runs = [run for run in residual_speedup.grid(settings) if run.name in MEMBERS]
    # Results alone, as in a clone, are no networks to score: only runs on this disk count.
    run_grid(runs, dataclasses.replace(settings, folder=networks,
                                       results=networks / "members.jsonl"))
    rows = [row for crops in PROTOCOLS[:2 if settings.quick else 3]
            for row in _scores(crops, runs, networks, settings.folder)]
    write_rows(settings.results, rows)


def _scores(crops, runs, networks, folder):
    """A row for each of `runs`, whose folders are in `networks`, and one for the ensemble."""
    from inception_tf.evaluation.predictions_file import open_predictions

    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{run.name}_{crops}.predictions" for run in runs]
    done = subprocess.run(
        [sys.executable, "-m", "inception_tf", "eval", f"--protocol={crops}",
         f"--model_dir={','.join(str(networks / run.name) for run in runs)}",
         f"--predictions={','.join(map(str, files))}", f"--output={folder / f'{crops}.json'}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise RunFailed(f"scoring with {crops} crops ended with code {done.returncode}: "
                        f"{done.stderr.strip()[-300:]}")
    predictions = [open_predictions(file) for file in files]
    rows = [_row(run.name, crops, [one]) for run, one in zip(runs, predictions, strict=True)]
    return [*rows, _row(ENSEMBLE, crops, predictions)]


def _row(name, crops, predictions):
    """Errors of the mean of some networks' probabilities; `wrong`: 1 for each image missed."""
    from inception_tf.evaluation.report.outcomes import outcomes_of
    from inception_tf.evaluation.scores import error_rates

    targets = predictions[0].labels[:, np.newaxis]
    scored = [p.probabilities for p in predictions], targets, np.full(len(targets), True)
    right = outcomes_of(*scored).right
    return {"name": name, "crops": crops, **error_rates(*scored), "versions": versions(),
            "wrong": "".join("10"[int(hit)] for hit in right)}


def wrong(row):
    """1.0 for each image of a row's split that was missed, 0.0 for the others."""
    return np.array(list(row["wrong"]), float)


def gain(before, after):
    """Text: fewer images missed, in percentage points, and the 95 % interval over images."""
    return intervals.text(100 * (before - after))


def table(rows):
    """Markdown: errors by crops, and what crops and the ensemble gain."""
    protocols = sorted({row["crops"] for row in rows})
    found = {(row["name"], row["crops"]): row for row in rows}
    names = list(dict.fromkeys(row["name"] for row in rows))
    head = [f"{n} crop{'s' * (n > 1)}" for n in protocols]
    head += [f"gain of {n} crops" for n in protocols[1:]]
    lines = ["| network | " + " | ".join(head) + " |", "|---" * (1 + len(head)) + "|"]
    for name in names:
        own = [found[name, n] for n in protocols]
        cells = [f"{100 * r['top1_error']:.2f} / {100 * r['top5_error']:.2f}" for r in own]
        cells += [gain(wrong(own[0]), wrong(row)) for row in own[1:]]
        lines.append(f"| {NAMES.get(name, name)} | " + " | ".join(cells) + " |")
    members = [name for name in names if name != ENSEMBLE]
    gains = [gain(np.mean([wrong(found[name, n]) for name in members], axis=0),
                  wrong(found[ENSEMBLE, n])) for n in protocols]
    lines.append("| gain over the members' mean | " + " | ".join(gains) + " |"
                 + " |" * len(protocols[1:]))
    return "\n".join([*lines, "", f"Top-1 / top-5 error in % of {rows[0]['num_examples']} images; "
                      "gains in points of top-1 error, paired by image, with 95 % intervals."])


def verdict(rows):
    """What 12 crops gain the networks in the mean, and what the ensemble gains."""
    found = {(row["name"], row["crops"]): wrong(row) for row in rows}
    members = [name for name, crops in found if crops == 1 and name != ENSEMBLE]
    one, twelve = (np.mean([found[name, n] for name in members], axis=0) for n in (1, 12))
    return (f"Less error with 12 crops, mean of {len(members)} networks: "
            f"{intervals.judged(100 * (one - twelve))}; of the ensemble than of its members, "
            f"with one crop: {intervals.judged(100 * (one - found[ENSEMBLE, 1]))}.")


def draw(rows, path):
    """Top-1 error of each network and the ensemble against crops, with 95 % intervals."""
    figure, axes = figures.new_figure(1, 1, width=8, height=5)
    panel = axes[0][0]
    for number, name in enumerate(dict.fromkeys(row["name"] for row in rows)):
        own = [row for row in rows if row["name"] == name]
        errors = [100 * row["top1_error"] for row in own]
        margins = [[abs(100 * row["top1_interval"][end] - error)
                    for row, error in zip(own, errors, strict=True)] for end in (0, 1)]
        places = [i + 0.06 * number for i in range(len(own))]
        panel.errorbar(places, errors, yerr=margins, fmt="o-", capsize=3,
                       color="black" if name == ENSEMBLE else f"C{number}",
                       label=NAMES.get(name, name))
    panel.set_xticks(range(len(own)), [str(row["crops"]) for row in own])
    panel.set(xlabel="crops per image", ylabel="top-1 error (%)",
              title="more crops, and the mean of the networks (95 % intervals)")
    return figures.finish(figure, axes, path)


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
