"""What do more crops and ensembles of different networks gain? Tables 2 to 5 of the paper.

    python -m experiments.crops [--quick]

The networks are runs of `residual_speedup` (trained if they are not there): Inception-v4 and
three seeds of Inception-ResNet-v2 (paper), each scored with 1, 12 and 144 crops, and together as
the paper's ensemble. Scorings are kept beside the runs and go on where they stopped.
"""

import json
import subprocess
import sys

from experiments import figures, residual_speedup
from experiments.runner import RunFailed, Settings, read_rows, run_grid
from inception_tf.commands.shell import exit_code_of, import_tensorflow

MEMBERS = ("inception_v4_seed0", "inception_resnet_v2_seed0", "inception_resnet_v2_seed1",
           "inception_resnet_v2_seed2")
PROTOCOLS = (1, 12, 144)
NAMES = {"inception_v4_seed0": "Inception-v4",
         **{f"inception_resnet_v2_seed{i}": f"Inception-ResNet-v2, seed {i}" for i in range(3)}}
ENSEMBLE = "all of them"


def main(argv):
    """Trains and scores what is missing, then prints the table and draws the figure."""
    settings = Settings.parse("crops", __doc__.splitlines()[0], argv)
    import_tensorflow()
    if not settings.draw:
        _run(settings)
    rows = read_rows(settings.results)
    print(table(rows))
    print(f"figure: {draw(rows, settings.results.with_suffix('.png'))}")


def _run(settings):
    from inception_tf.runtime.writers import write_atomically

    trainings = residual_speedup.settings_of(settings)
    runs = [run for run in residual_speedup.grid(trainings) if run.name in MEMBERS]
    run_grid(runs, trainings)
    folders = [str(trainings.folder / run.name) for run in runs]
    rows = [row for protocol in PROTOCOLS[:2 if settings.quick else 3]
            for row in _scores(protocol, [run.name for run in runs], folders, settings)]
    settings.results.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(settings.results, "".join(json.dumps(row) + "\n" for row in rows))


def _scores(protocol, names, folders, settings):
    """A row for each network and for all together, at one protocol."""
    settings.folder.mkdir(parents=True, exist_ok=True)
    output = settings.folder / f"{protocol}_crops.json"
    files = ",".join(str(settings.folder / f"{name}_{protocol}.predictions") for name in names)
    done = subprocess.run(
        [sys.executable, "-m", "inception_tf", "eval", f"--model_dir={','.join(folders)}",
         f"--protocol={protocol}", f"--predictions={files}", f"--output={output}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise RunFailed(f"scoring with {protocol} crops ended with code {done.returncode}: "
                        f"{done.stderr.strip()[-300:]}")
    known = dict(zip(folders, names, strict=True))
    for row in json.loads(output.read_text())["rows"]:
        single = len(row["models"]) == 1
        yield {"name": known[row["models"][0]] if single else ENSEMBLE, "crops": protocol,
               **{key: row[key] for key in ("top1_error", "top5_error", "top1_interval",
                                            "num_examples")}}


def table(rows):
    """Markdown: top-1 and top-5 error of each network and of all, by crops."""
    protocols = sorted({row["crops"] for row in rows})
    lines = ["| network | " + " | ".join(f"{n} crop{'s' * (n > 1)}" for n in protocols) + " |",
             "|---" * (1 + len(protocols)) + "|"]
    for name in dict.fromkeys(row["name"] for row in rows):
        own = {row["crops"]: row for row in rows if row["name"] == name}
        lines.append(f"| {NAMES.get(name, name)} | " + " | ".join(
            f"{100 * own[n]['top1_error']:.2f} / {100 * own[n]['top5_error']:.2f}"
            for n in protocols) + " |")
    return "\n".join([*lines, "", f"Top-1 / top-5 error in % of {rows[0]['num_examples']} images."])


def draw(rows, path):
    """Top-1 error of each network and of all against crops, with 95 % intervals."""
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
