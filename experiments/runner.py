"""A grid of training runs: each in its own folder, several at once, resumable.

Every run is an ordinary `inception-tf train` in its own process. Its result is one line of a
results file, from which figures and tables are drawn. A grid that was killed resumes: finished
runs are known by their line, unfinished ones resume from their checkpoint.
"""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from inception_tf import flags
from inception_tf.commands.shell import import_tensorflow
from inception_tf.config import Config, field_groups
from inception_tf.errors import InceptionError, NonFiniteError, UsageError
from inception_tf.flags import Flag
from inception_tf.runtime.progress import duration, log
from inception_tf.runtime.provenance import versions

RESULTS = Path(__file__).parent / "results"
FLAGS = (
    Flag("quick", False, "the smallest grid that exercises everything; results are not kept"),
    Flag("draw", False, "draw figures and tables from existing results, run nothing"),
    Flag("jobs", 2, "runs at once; each gets its share of the cores", low=1, high=1000),
    Flag("folder", "", "where the runs go; empty: runs/experiments/NAME", path=True),
)
FIELDS = ("dataset", "data_dir", "train_split", "eval_split")


@dataclasses.dataclass(frozen=True)
class Run:
    """One training run of a grid.

    name: of its folder, unique in the grid.
    config: what it trains; model_dir is set by the runner.
    facts: what the experiment wants repeated in the results, JSON-able.
    probe: measures the finished run: its folder -> JSON-able.
    """

    name: str
    config: Config
    facts: dict
    probe: Callable | None = None


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

    @classmethod
    def parse(cls, experiment, summary, argv):
        """The Settings of `python -m experiments.EXPERIMENT --flags`; raises UsageError."""
        arguments = flags.parse(experiment, summary, argv, FLAGS, fields=FIELDS)
        own = arguments.own
        # Results on other data are written next to the committed ones, not over them.
        given = {k: v for k, v in arguments.given.items() if k != "data_dir"}
        name = "_".join([experiment, *(re.sub(r"\W+", "-", str(v)) for v in given.values())])
        kind = f"{name}_quick" if own["quick"] else name
        folder = Path(own["folder"] or Path("runs", "experiments", kind))
        kept = RESULTS / f"{name}.jsonl"
        return cls(own["quick"], own["draw"], own["jobs"], folder,
                   folder / "results.jsonl" if own["quick"] else kept, arguments.given)


def run_experiment(name, summary, grid, table, draw, argv, picture=None, then=None):
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
    """
    settings = begin(name, summary, argv)
    rows = run_grid(list(grid(settings)), settings)
    if then:
        rows += run_grid(list(then(settings, rows)), settings)
    print(table(rows))
    path = settings.results.with_suffix(".png")
    print(f"figure: {draw(rows, path.with_stem(picture) if picture else path)}")


def begin(experiment, summary, argv):
    """The Settings of an experiment; from now on SIGTERM also ends the runs it started."""
    settings = Settings.parse(experiment, summary, argv)
    import_tensorflow()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    return settings


def run_grid(runs, settings):
    """Runs what has no line in the results yet; returns the rows of `runs`, in their order.

    Raises: RunFailed when a run ends with another code than 0 or 5 (non-finite is a result).
    """
    rows = {row["name"]: row for row in read_rows(settings.results)}
    if settings.draw:
        missing = sum(run.name not in rows for run in runs)
        if missing:
            raise UsageError(f"--draw: {missing} of {len(runs)} runs have no result in "
                             f"{settings.results}; run them first")
        return [rows[run.name] for run in runs]
    waiting = [run for run in runs if not _is_done(run, rows)]
    for number, (run, row) in enumerate(_results(waiting, settings), start=1):
        rows[run.name] = row
        write_rows(settings.results, rows.values())
        log.info("%d of %d  %s: %s in %s", number, len(waiting), run.name, row["outcome"],
                 duration(row["seconds"]))
    return [rows[run.name] for run in runs]


def read_rows(path):
    """The rows of a results file; none when it is not there."""
    path = Path(path)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def finished(rows):
    """Those of `rows` whose run did not end non-finite."""
    return [row for row in rows if row["outcome"] == "finished"]


def _is_done(run, rows):
    """Whether there is a result of the same config; fields newer than it have defaults."""
    if run.name not in rows:
        return False
    return _plain(Config.from_json(json.dumps(rows[run.name]["config"]))) == _plain(run.config)


def write_rows(path, rows):
    """Writes a results file."""
    from inception_tf.runtime.files import write_atomically

    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, "".join(json.dumps(row) + "\n" for row in rows))


def _results(runs, settings):
    """(run, row) of each of `runs` as it ends, `settings.jobs` of them at once."""
    waiting, running = list(runs), {}
    try:
        while waiting or running:
            while waiting and len(running) < settings.jobs:
                run = waiting.pop(0)
                running[_start(run, settings)] = (run, time.monotonic())
            for process in [p for p in running if p.poll() is not None]:
                run, started = running.pop(process)
                yield run, _row(run, settings, process.returncode, time.monotonic() - started)
            time.sleep(0.2)
    finally:
        for process in running:
            process.terminate()  # saves a checkpoint and leaves
        for process in running:
            process.wait()


def _start(run, settings):
    folder = settings.folder / run.name
    folder.mkdir(parents=True, exist_ok=True)
    threads = str(max(1, (os.cpu_count() or 1) // settings.jobs))
    environment = {**os.environ, "TF_NUM_INTRAOP_THREADS": threads,
                   "TF_NUM_INTEROP_THREADS": threads}
    words = [sys.executable, "-m", "inception_tf", "train", *to_flags(run.config),
             f"--model_dir={folder}"]
    with open(folder / "log.txt", "a") as file:
        return subprocess.Popen(words, env=environment, stdout=file, stderr=file)


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
        raise RunFailed(f"{run.name} ended with code {code}: {lines[-1]}")
    return {
        "name": run.name,
        "outcome": "finished" if code == 0 else "non-finite",
        "seconds": round(seconds, 1),
        "facts": run.facts,
        "train": read_metrics(folder / "train" / "metrics.csv"),
        "validation": read_metrics(folder / "validation" / "metrics.csv"),
        **({"probe": run.probe(folder)} if run.probe else {}),
        "versions": versions(),
        "config": _plain(run.config),
    }


def _plain(config):
    """`config` as JSON, without the folder, which is no setting of the experiment."""
    plain = json.loads(config.to_json())
    del plain["runtime"]["model_dir"]
    return plain
