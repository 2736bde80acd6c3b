"""The last words of a run: what it took, how good it became, where it is, what comes next."""

import os
import shlex
import shutil
import sys

from inception_tf.config import Runtime
from inception_tf.runs import checkpoint
from inception_tf.runs.folder import checkpoints_of
from inception_tf.runs.metrics import metrics_of
from inception_tf.runtime.cluster import read_cluster
from inception_tf.runtime.progress import duration
from inception_tf.training.plan import Plan


def closing_lines(plan: Plan, first_step: int, seconds: float) -> str:
    """What a run that is done says last.

    Args:
        plan: the run's.
        first_step: updates completed when this process began.
        seconds: it took.
    """
    folder = plan.config.runtime.model_dir
    what = (f"done: steps {first_step + 1} to {plan.total} in {duration(seconds)}"
            if first_step < plan.total else
            f"nothing to do: step {first_step} of {plan.total} is done")
    program = shlex.join(_program())
    return "\n".join([
        f"{what}; {_scores(metrics_of(folder, 'validation'))}; all of it is in {folder}",
        f"next: {program} eval --model_dir={shlex.quote(folder)}",
        f"      {program} predict PICTURE.jpg --model={shlex.quote(folder)}"])


def what_stands(runtime: Runtime) -> str:
    """What is saved of a run that was stopped, and the command that resumes it.

    A worker's own command would resume nothing by itself.
    """
    is_alone = not read_cluster(os.environ, runtime.strategy).peers
    return checkpoint.what_stands(checkpoints_of(runtime.model_dir),
                                  shlex.join(_own_command()) if is_alone else "")


def _own_command():
    """The words that this process was started with; none where a program of others calls us."""
    script = os.path.basename(sys.argv[0])
    if script == "inception-tf":
        return [*_program(), *sys.argv[1:]]
    return sys.orig_argv if script in ("train.py", "__main__.py") else []


def _program():
    """Words that start `inception-tf` with the Python that runs here."""
    path = sys.argv[0]
    name = os.path.basename(path)
    if name != "inception-tf":
        return [sys.orig_argv[0], "-m", "inception_tf"]
    return [name if shutil.which(name) == path else path]


def _scores(rows):
    """Top-1 errors of the averaged weights: the last, and the lowest where that is another."""
    if not rows:
        return "no scoring"
    last, best = rows[-1], min(rows, key=lambda row: row["ema_top1_error"])
    text = f"top-1 error {_error(last)}"
    return text if best is last else f"{text}, best {_error(best)}"


def _error(row):
    return f"{100 * row['ema_top1_error']:.2f} % at epoch {row['epoch']:.3g}"
