"""A grid of training runs: each in its own folder, several at once, resumable.

Every run is an ordinary training in its own process, on one core (experiments/job.py). Its result
is one line of a results file (experiments/rows.py), from which figures and tables are drawn. A grid
that was killed resumes: finished runs are known by their line, unfinished ones resume from their
checkpoint.
"""

import dataclasses
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.harness import machine
from experiments import rows as results_files
from experiments.job import PROBE
from inception_tf import flags
from inception_tf.commands.shell import import_tensorflow
from inception_tf.config import Config, field_groups
from inception_tf.errors import InceptionError, NonFiniteError, UsageError
from inception_tf.flags import Flag
from inception_tf.runtime.progress import duration, log
from inception_tf.runtime.provenance import versions
from inception_tf.runtime.signals import PARENT, patience

FLAGS = (
    Flag("quick", False, "the smallest grid that exercises everything; results are not kept"),
    Flag("draw", False, "draw figures and tables from existing results, run nothing"),
    Flag("jobs", 2, "runs at once, each on one core", low=1, high=1000),
    Flag("seeds", 0, "the first so many seeds; 0: as many as the experiment has", low=0, high=100),
    Flag("gpu", False, "runs share the GPU instead of one core each"),
    Flag("folder", "", "where the runs go; empty: runs/experiments/NAME", path=True),
)
# Of experiments that have it.
FULL = Flag("full", False, "networks as wide and deep as the paper's, on shapes/large and the GPU")
ONE_THREAD = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
FIELDS = ("dataset", "data_dir", "train_split", "eval_split")


@dataclasses.dataclass(frozen=True)
class Run:
    """One training run of a grid.

    name: of its folder, unique in the grid.
    config: what it trains; model_dir is set by the runner.
    facts: what the experiment wants repeated in the results, JSON-able.
    probe: measures the finished run: MODULE:FUNCTION of its folder -> JSON-able; empty: nothing.
    """

    name: str
    config: Config
    facts: dict
    probe: str = ""


class RunFailed(InceptionError):
    """A run ended without a result."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a grid is run, from the flags that all experiments share."""

    quick: bool
    draw: bool
    jobs: int
    folder: Path
    results: Path
    data: dict
    gpu: bool = False
    seeds: int = 0
    full: bool = False

    @classmethod
    def parse(cls, experiment, summary, argv, more=()):
        """The Settings of `python -m experiments.EXPERIMENT --flags`; raises UsageError.

        Args:
            experiment, summary, argv: as in `flags.parse`.
            more: flags that not every experiment has.
        """
        arguments = flags.parse(experiment, summary, argv, (*FLAGS, *more), fields=FIELDS)
        own, given = arguments.own, arguments.given
        full = own.get("full", False)
        name = "_".join([experiment, *["full"] * full, *_data_words(given)])
        kind = f"{name}_quick" if own["quick"] else name
        folder = Path(own["folder"] or Path("runs", "experiments", kind))
        results = (folder / "results.jsonl" if own["quick"]
                   else results_files.RESULTS / f"{name}.jsonl")
        return cls(own["quick"], own["draw"], own["jobs"], folder, results, given,
                   own["gpu"] or full, own["seeds"], full)

    def seeds_of(self, planned):
        """The seeds to run, of an experiment that has `planned` of them."""
        return planned[:1] if self.quick else planned[:self.seeds or None]


def _data_words(given):
    """Words for the data that flags name: their results are written next to the committed ones."""
    words = dict(given)
    data_dir = words.pop("data_dir", "")
    if words.get("dataset") == "folder" and data_dir:
        words["dataset"] = Path(data_dir).name
    return [re.sub(r"\W+", "-", str(word)) for word in words.values()]


def run_experiment(name, summary, grid, table, draw, argv, picture=None, then=None,
                   more=()):
    """`python -m experiments.NAME`: runs what is missing, prints the table, draws the figure.

    Args:
        name: of the results file; experiments that share runs share it.
        summary: first line of --help.
        grid: Settings -> the Runs.
        table: rows -> Markdown.
        draw: (rows, path) -> path of the picture.
        argv: the flags.
        picture: name of the picture; default that of the results file.
        then: (Settings, rows of `grid`) -> more Runs, which depend on them.
        more: flags that not every experiment has.
    """
    settings = begin(name, summary, argv, more)
    rows = run_grid(list(grid(settings)), settings)
    if then:
        rows += run_grid(list(then(settings, rows)), settings)
    print(table(rows))
    path = settings.results.with_suffix(".png")
    if picture:
        path = path.with_stem(path.stem.replace(name, picture, 1))
    print(f"figure: {draw(rows, path)}")


def begin(experiment, summary, argv, more=()):
    """The Settings of an experiment; its processes see the GPU only with --gpu, and share it."""
    settings = Settings.parse(experiment, summary, argv, more)
    os.environ.update({"TF_FORCE_GPU_ALLOW_GROWTH": "true"} if settings.gpu
                      else {"CUDA_VISIBLE_DEVICES": ""})
    import_tensorflow()
    return settings


def run_grid(runs, settings):
    """Runs what has no line in the results yet; returns the rows of `runs`, in their order.

    A run that fails does not keep the others from their results.

    Raises: what opening the data raises; RunFailed at the end when a run ended with another code
        than 0 or 5 (non-finite is a result).
    """
    rows = {row["name"]: row for row in results_files.read_rows(settings.results)}
    waiting = [run for run in runs if not _is_done(run, rows)]
    if settings.draw:
        return _drawn_rows(runs, rows, settings)
    if waiting:
        _open_data(waiting[0].config.data)
    failed = []
    for number, (run, row) in enumerate(_results(waiting, settings), start=1):
        if isinstance(row, RunFailed):
            failed.append(row)
            log.error("%d of %d  %s", number, len(waiting), row)
            continue
        rows[run.name] = row
        results_files.add(settings.results, [row])
        log.info("%d of %d  %s: %s in %s", number, len(waiting), run.name, row["outcome"],
                 duration(row["seconds"]))
    if failed:
        raise RunFailed(f"{len(failed)} of {len(waiting)} runs failed, the same command runs them "
                        f"again; the first: {failed[0]}")
    return [rows[run.name] for run in runs]


def _drawn_rows(runs, rows, settings):
    """What there is of a grid that may be unfinished."""
    found = [rows[run.name] for run in runs if run.name in rows]
    missing = f"--draw: {len(runs) - len(found)} of {len(runs)} runs have no result in"
    if not found:
        raise UsageError(f"{missing} {settings.results}; run them first")
    if len(found) < len(runs):
        log.warning("%s %s", missing, settings.results)
    return found


def _open_data(data):
    """Once, before the runs: it is prepared here, and what no run could read is refused."""
    from inception_tf.data.open import open_source

    for split in (data.train_split, data.eval_split):
        open_source(data, split)


def _is_done(run, rows):
    """Whether there is a result of the same settings."""
    row = rows.get(run.name)
    return bool(row) and results_files.same(results_files.settings_of(row),
                                            results_files.plain(run.config))


def _results(runs, settings):
    """(run, its row or a RunFailed) as each of `runs` ends, `settings.jobs` of them at once."""
    waiting, running = list(runs), {}
    cores = sorted(os.sched_getaffinity(0))
    free = [cores[i % len(cores)] for i in range(settings.jobs)]
    try:
        while waiting or running:
            while waiting and free:
                run, core = waiting.pop(0), free.pop()
                running[_start(run, settings, core)] = (run, core, time.monotonic())
            for process in [p for p in running if p.poll() is not None]:
                run, core, started = running.pop(process)
                free.append(core)
                yield run, _row(run, settings, process.returncode, time.monotonic() - started)
            time.sleep(0.2)
    finally:
        with patience():
            for process in running:
                process.terminate()  # saves a checkpoint and leaves
            for process in running:
                process.wait()


def _start(run, settings, core):
    """The process of a run, on one core of the processor alone or on the GPU."""
    folder = settings.folder / run.name
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, **({} if settings.gpu else ONE_THREAD), PARENT: str(os.getpid())}
    words = [sys.executable, "-m", "experiments.job", run.probe, *to_flags(run.config),
             f"--model_dir={folder}"]
    with open(folder / "log.txt", "a") as file:
        process = subprocess.Popen(words, env=environment, stdout=file, stderr=file)
    if not settings.gpu:
        os.sched_setaffinity(process.pid, {core})
    return process


def to_flags(config):
    """The flags of `inception-tf train` that give `config`, whatever the default preset is."""
    values = {name: getattr(getattr(config, group), name)
              for name, group in field_groups().items() if name != "model_dir"}
    # Empty is the default of every preset, and a path may not be given as an empty word.
    return [f"--{name}={_text(value)}" for name, value in values.items() if value != ""]


def _text(value):
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else value


def _row(run, settings, code, seconds):
    from inception_tf.runs.metrics import read_metrics

    folder = settings.folder / run.name
    if code not in (0, NonFiniteError.exit_code):
        lines = (folder / "log.txt").read_text().splitlines() or [""]
        return RunFailed(f"{run.name} ended with code {code}: {lines[-1]}")
    here = machine()
    return {
        "name": run.name,
        "outcome": "finished" if code == 0 else "non-finite",
        "seconds": round(seconds, 1),
        "machine": {"device": "GPU" if settings.gpu else "one core",
                    **{name: here[name] for name in ("processor", "cores", "memory_gib")}},
        "facts": run.facts,
        "train": read_metrics(folder / "train" / "metrics.csv"),
        "validation": read_metrics(folder / "validation" / "metrics.csv"),
        **({"probe": json.loads((folder / PROBE).read_text())} if run.probe else {}),
        "versions": versions(),
        "config": results_files.plain(run.config),
    }
