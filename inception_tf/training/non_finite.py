"""After a loss or gradient that is not finite: who it was, and whether training continues."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from inception_tf.config import Execution
from inception_tf.data.sources import Source
from inception_tf.errors import NonFiniteError
from inception_tf.runtime.devices import split_batches
from inception_tf.training.replica import PARTS, Batch
from inception_tf.training.step import TrainStep

log = logging.getLogger("inception_tf")
# Names in one message.
MAX_NAMED = 5


def report(metrics: Mapping[str, Any], train_step: TrainStep, batches: Sequence[Batch], step: int,
           source: Source, execution: Execution) -> None:
    """Warns of the update of `step` that was not applied, or ends the run.

    Args:
        metrics: that the update gave.
        train_step: that found it; nothing of it is in flight.
        batches: the update's batches of this worker, with the records' `index`.
        step: completed updates before it.
        source: of the records.
        execution: the run's settings.

    Raises:
        NonFiniteError: updates are not skipped, or more than `max_skipped_steps` were.
    """
    scale = train_step.state.loss_scale
    if scale and not metrics["held"]:
        log.info("step %d overflowed float16 and was skipped: loss scale now %g", step,
                 float(scale.value()))
        return
    text = (f"loss or gradient is not finite at step {step}; nothing of it was applied. "
            f"{_named(culprits(train_step, batches, step), source)}")
    if execution.on_non_finite == "stop":
        raise NonFiniteError(text)
    skipped = int(train_step.state.skipped.numpy())
    if skipped > execution.max_skipped_steps:
        raise NonFiniteError(f"{text}. {skipped} updates were skipped, more than "
                             f"--max_skipped_steps={execution.max_skipped_steps}")
    log.warning("%s. Skipped, %d so far", text, skipped)


def culprits(train_step: TrainStep, batches: Sequence[Batch],
             step: int) -> tuple[list[int], list[str]]:
    """(record indices, names): examples whose own loss, and tensors that are not finite.

    Computed again from the state the update started from, on every worker's own examples.
    """
    state, strategy = train_step.state, train_step.strategy

    @tf.function(autograph=False)
    def look(parts):
        def on_replica(part):
            replica_pass = train_step.replica_pass
            return [replica_pass.finite({k: v[0, i] for k, v in part.items()},
                                        replica_pass.seed_of(step, i))
                    for i in range(len(batches))]
        return strategy.run(on_replica, args=(parts,))

    parts = split_batches(strategy, [batches], PARTS)
    per_pass = zip(*map(strategy.experimental_local_results,
                        tf.nest.flatten(look(parts))), strict=True)
    names = [f"gradient of {v.path}" for v in state.trainable]
    names += [f"statistic {v.path}" for v in state.statistics]
    found, indices = set(), []
    for replica, values in enumerate(per_pass):
        for number, (examples, tensors) in enumerate(zip(values[::2], values[1::2], strict=True)):
            found |= {names[i] for i in np.flatnonzero(~tensors.numpy())}
            own = np.flatnonzero(~examples.numpy()) + replica * len(examples)
            indices += [int(batches[number]["index"][i]) for i in own]
    return indices, [name for name in names if name in found]


def _named(found, source):
    indices, names = found
    examples = [source.read(i).example_id for i in indices[:MAX_NAMED]]
    return (f"Examples with such a loss: {_listed(examples, len(indices))}; "
            f"tensors: {_listed(names[:MAX_NAMED], len(names))}")


def _listed(first, total):
    more = f" and {total - len(first)} more" if total > len(first) else ""
    return (", ".join(first) + more) or "none of this worker's when computed again"
