"""Everything a run is, as named arrays: weights, slots, averages, step."""

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from inception_tf.config import Optimization
from inception_tf.errors import CheckpointError, UsageError
from inception_tf.runs.checkpoint import PREFIXES
from inception_tf.training.optimizer import LossScale, make_slots


class TrainState:
    """The variables of a run, created in `strategy`'s scope.

    Attributes:
        step: int64 scalar variable, completed updates.
        skipped: int64 scalar variable, those of them that were not finite and not applied.
        held: bool scalar variable: an update was not finite and nothing more is applied until
            Python has looked. Of no checkpoint: none is made meanwhile.
        loss_scale: LossScale of float16, else None.
        trainable: the model's trainable Keras variables.
        statistics: its batch-norm moving means and variances, and whatever is frozen.
        frozen: paths of what no update may touch, not even by the mean of equal numbers.
        slots: slot name -> variables, one per trainable.
        ema: averages of trainable + statistics, in that order [I].

    The state of Keras' seed generators is left out on purpose: dropout is keyed
    by (seed, step, replica), so it has none (step.py).
    """

    def __init__(self, strategy: tf.distribute.Strategy, model: keras.Model,
                 optimization: Optimization, precision: str = "float32") -> None:
        if not model.trainable_variables:
            raise UsageError("--freeze leaves nothing to train: name fewer stages")
        with strategy.scope():
            self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
            self.skipped = tf.Variable(0, dtype=tf.int64, trainable=False, name="skipped")
            self.held = tf.Variable(False, trainable=False, name="held")
            self.loss_scale = LossScale() if precision == "mixed_float16" else None
            self.trainable = list(model.trainable_variables)
            self.statistics = [v for v in model.non_trainable_variables if not is_seed(v)]
            self.frozen = {v.path for layer in model.layers if not layer.trainable
                           for v in layer.variables}
            self.slots = make_slots(optimization, self.trainable)
            # Copies: shared with the weights until the first update, they would get their memory
            # in the middle of it, and later updates would find a tenth more of it in pieces.
            self.ema = [tf.Variable(tf.raw_ops.DeepCopy(x=v.value), trainable=False, name="ema")
                        for v in self.weights]

    @property
    def weights(self) -> list[keras.Variable]:
        """What a network needs for scoring: trainable variables, then statistics."""
        return self.trainable + self.statistics

    def arrays(self) -> dict[str, np.ndarray]:
        """Name -> numpy array of every variable, for a checkpoint."""
        return {name: np.asarray(v) for name, v in self._named().items()}

    def load(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Sets every variable from `arrays`.

        Raises:
            CheckpointError: a name is missing, left over, or of another shape.
        """
        self.check(arrays)
        for name, variable in self._named().items():
            variable.assign(arrays[name])

    def check(self, arrays: Mapping[str, np.ndarray]) -> None:
        """CheckpointError unless `arrays` has the name and shape of every variable, no more."""
        _check_complete(self._named(), arrays)

    def _named(self):
        paths = [v.path for v in self.weights]
        named = {"step": self.step, "skipped": self.skipped}
        named |= self.loss_scale.variables if self.loss_scale else {}
        sets = {PREFIXES["raw"]: [v.value for v in self.weights], PREFIXES["ema"]: self.ema}
        sets |= {f"{slot}/": variables for slot, variables in self.slots.items()}
        # Slots are of the trainable variables, which come first.
        return named | {prefix + path: v for prefix, variables in sets.items()
                        for path, v in zip(paths, variables, strict=False)}


def is_seed(variable: keras.Variable) -> bool:
    """True of the state of a Keras seed generator (dropout)."""
    return variable.path.endswith("seed_generator_state")


def _check_complete(named, arrays):
    """CheckpointError unless `arrays` has exactly the names and shapes of `named`."""
    missing, extra = named.keys() - arrays.keys(), arrays.keys() - named.keys()
    if missing or extra:
        raise CheckpointError(
            f"arrays do not fit the network: {len(missing)} missing"
            f"{f' ({min(missing)})' if missing else ''}, {len(extra)} left over"
            f"{f' ({min(extra)})' if extra else ''}"
        )
    for name, variable in named.items():
        if tuple(variable.shape) != arrays[name].shape:
            raise CheckpointError(
                f"{name} has shape {arrays[name].shape}, the network needs {tuple(variable.shape)}"
            )
