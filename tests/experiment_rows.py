"""Settings and results rows for the tests of experiments."""


from PIL import Image

from experiments import rows as results_files
from experiments import (
    runner,
)


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


def drawn(path):
    with Image.open(path) as picture:
        return picture.size[0] > 500
