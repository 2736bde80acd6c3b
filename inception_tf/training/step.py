"""Updates of the global batch on any number of replicas.

    pass    each replica: forward, backward, gradients of its examples' summed loss
    ...     repeated and added up when the batch is accumulated
    update  sum over replicas, weight decay, one clip by global norm, look for
            non-finite numbers, then optimizer, averages and statistics at once
    ...     repeated up to `steps_per_call` times without a word to Python

An update is applied as a whole or not at all. After one that was not finite the state is held:
whatever is already on its way to the device changes nothing, until Python has read it all.
"""

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inception_tf.config import Execution
from inception_tf.runtime.devices import local, same_on_replicas, split_batches
from inception_tf.runtime.graphs import lightly_optimized
from inception_tf.training.compilation import compilation_of
from inception_tf.training.replica import PARTS, Batch, ReplicaPass
from inception_tf.training.schedule import Schedule
from inception_tf.training.state import TrainState
from inception_tf.training.update import METRICS, Update

BOOLEANS = ("is_finite", "stop", "tried", "held")


class TrainStep:
    """Callable that turns the state of step t into that of t + 1.

    Args:
        strategy: that the state lives in.
        model: network giving logits, or [logits, aux_logits].
        state: of that model.
        schedule: of learning rate and averaging.
        seed: of dropout.
        execution: the run's settings.
        color: form of the distortion of images that come as bytes.
        steps_per_call: updates of a call at most (compilation.py: steps_per_call_of).
    """

    def __init__(self, strategy: tf.distribute.Strategy, model: keras.Model, state: TrainState,
                 schedule: Schedule, seed: int, execution: Execution, color: str = "none",
                 steps_per_call: int = 1) -> None:
        self.strategy, self.state, self.schedule = strategy, state, schedule
        self.optimization, self.execution = schedule.optimization, execution
        self.steps_per_call = steps_per_call
        self.compilation = compilation_of(execution, any(
            getattr(layer, "synchronized", False) for layer in model.layers))
        self.replica_pass = ReplicaPass(model, state, self.optimization, seed,
                                        strategy.num_replicas_in_sync, execution.remat,
                                        self.compilation.passes, color)
        self._update_of = Update(state, schedule, execution, self.compilation.update)
        # AutoGraph would rewrite hundreds of small functions that have nothing for it to do.
        self._call = tf.function(self._updates, autograph=False)
        # One program of all updates of a call: on a GPU nothing runs between two calls for as
        # long as the host takes over their thousands of arguments.
        self._is_one_program = self.compilation.passes and strategy.num_replicas_in_sync == 1
        self._in_flight, self._next_step, self._is_held = 0, 0, False
        self._launcher = ThreadPoolExecutor(1, "launch")
        self._readers = ThreadPoolExecutor(2, "rows")  # of a call and of the one in flight

    def __call__(self, batches: Sequence[Batch], stop: bool = False) -> dict[str, Any]:
        """One update from a list of batches that together are the global batch.

        Args:
            batches: dicts of this worker's image, label, weight (data/batches.py), each
                divisible by its replicas.
            stop: this worker was asked to stop; all workers hear of it in the same step.

        Returns:
            dict: loss (with auxiliary loss and weight decay), cross_entropy, error (top-1
            share on the distorted images), grad_norm (before clipping), learning_rate,
            is_finite (False: nothing was applied), stop (of any worker), held (see `dispatch`).
        """
        return self.dispatch([batches], stop).rows()[0]

    def dispatch(self, steps: Sequence[Sequence[Batch]], stop: bool = False) -> "Call":
        """Up to `steps_per_call` updates, with the same bits as one by one (XLA: but for rounding).

        This returns before they are made; then their batches are on the device. More may be
        dispatched before their rows are read; after an update that is "held" these change
        nothing.
        """
        first = self._next_step if self._in_flight else int(self.state.step.numpy())
        # Always as many as traced for: another number would be another graph.
        padding = [steps[-1]] * (self.steps_per_call - len(steps))
        batches = split_batches(self.strategy, [*steps, *padding], PARTS)
        with tf.device("CPU:0"):  # what the host wants to know must not come from a GPU
            start, count = tf.constant(first, tf.int64), tf.constant(len(steps))
            stop = tf.constant(float(stop))
        launched = self._launcher.submit(self._launch, batches, start, count,
                                         same_on_replicas(self.strategy, stop))
        self._next_step = first + len(steps)
        self._in_flight += 1
        return Call(self, first, steps, launched)

    def _launch(self, batches, start, count, stop):
        """Future of the rows of a call, as an array; their copy is asked for when this returns.

        On a thread of its own: on a GPU a call returned only when it was nearly done
        (docs/benchmarks.md). A copy waits for everything that the device was given before it:
        asked for after the next call, it would wait for that one as well.
        """
        with lightly_optimized():
            rows = self._call(batches, start, count, stop)
        asks = threading.Event()

        def copy():
            asks.set()
            return rows.numpy()

        copied = self._readers.submit(copy)
        asks.wait()
        return copied

    def read(self, launched: Future[Future[np.ndarray]]) -> list[dict[str, Any]]:
        """The metrics of the updates of a call that were tried, when they are made."""
        found = [_metrics(row) for row in launched.result().result()]
        self._in_flight -= 1
        self._is_held |= any(row["held"] for row in found)
        if self._is_held and not self._in_flight:
            self.state.held.assign(False)
            self._is_held = False
        return [row for row in found if row.pop("tried")]

    def _updates(self, batches, first, count, stop):
        """[K, metrics] float32: the first `count` updates of `batches` [K, P, n, ...]."""
        if self._is_one_program:
            rows = self.strategy.run(self._program, args=(batches, first, count, stop))
            return local(self.strategy, rows)

        passes = local(self.strategy, batches["label"]).shape[1]

        def one(i):
            batch = self.strategy.run(lambda b: {k: v[i] for k, v in b.items()}, args=(batches,))
            step = first + tf.cast(i, tf.int64)
            rows = self._update(batch, passes, lambda n: self.replica_pass.seed_of(step, n), step,
                                stop, self.strategy.run)
            return local(self.strategy, rows)

        return self._repeated(one, count)

    def _program(self, batches, first, count, stop):
        """_updates on the only replica, compiled as a whole."""
        passes = batches["label"].shape[1]
        seeds = tf.stack([[self.replica_pass.seed_of(first + i, number)
                           for number in range(passes)] for i in range(self.steps_per_call)])

        def run(batches, seeds, first, count, stop):
            def one(i):
                batch = {name: values[i] for name, values in batches.items()}
                return self._update(batch, passes, lambda n: seeds[i, n],
                                    first + tf.cast(i, tf.int64), stop,
                                    lambda call, args: call(*args))

            return self._repeated(one, count)

        return _compiled(run)(batches, seeds, first, count, stop)

    def _repeated(self, one, count):
        """[K, metrics]: the row of one(i) for i < count <= K, zeros after them."""
        if self.steps_per_call == 1:
            return one(0)[tf.newaxis]
        rows = tf.TensorArray(tf.float32, self.steps_per_call,
                              element_shape=[len(METRICS)])
        _, rows = tf.while_loop(lambda i, rows: i < count,
                                lambda i, rows: (i + 1, rows.write(i, one(i))),
                                (tf.constant(0), rows))
        return rows.stack()

    def _update(self, batches, passes, seed_of, step, stop, run):
        """One update of `batches` [P, n, ...]; METRICS as a row of float32.

        Args:
            passes: P.
            seed_of: of a pass, by its number; called on a replica.
            run: calls a function of `args` on each replica, or, used on one, there.
        """
        if passes > 1:
            totals = self._totals(batches, passes, seed_of, run)
            return run(self._finish, args=(*totals, step, stop))

        def whole(batches, step, stop):
            batch = {name: values[0] for name, values in batches.items()}
            gradients, statistics, sums = self._pass(batch, seed_of(0), self._statistics())
            return self._finish(gradients, statistics, sums, step, stop)

        return run(whole, args=(batches, step, stop))

    def _totals(self, batches, passes, seed_of, run):
        """(gradients, statistics, sums) added up over the passes; arguments as of `_update`."""
        def add(batches, i, totals):
            gradients, statistics, sums = totals
            batch = {name: values[i] for name, values in batches.items()}
            new = self._pass(batch, seed_of(i), statistics)
            added = tf.nest.map_structure(tf.add, (gradients, sums), (new[0], new[2]))
            return added[0], new[1], added[1]

        def body(i, totals):
            return i + 1, run(add, args=(batches, i, totals))

        first = (tf.constant(0), run(self._nothing_yet, args=()))
        return tf.while_loop(lambda i, totals: i < passes, body, first)[1]

    def _pass(self, batch, seed, statistics):
        return self.replica_pass(batch, seed, statistics, self._loss_scale())

    def _statistics(self):
        return [tf.convert_to_tensor(v.value) for v in self.state.statistics]

    def _nothing_yet(self):
        zeros = [tf.zeros_like(v.value) for v in self.state.trainable]
        names = ("loss", "cross_entropy", "error", "examples")
        return zeros, self._statistics(), {name: tf.zeros([]) for name in names}

    def _finish(self, gradients, statistics, sums, step, stop):
        """From what a replica found to its new variables; METRICS as a row of float32."""
        gradients, statistics, sums = self._over_replicas(
            gradients, statistics, {**sums, "stop": stop})
        commit = _compiled(self._update_of) if self.compilation.update else self._update_of
        return commit(gradients, statistics, sums, step)

    def _over_replicas(self, gradients, statistics, sums):
        """Sums of gradients and of sums, means of statistics, over the replicas."""
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync == 1:
            return gradients, statistics, sums
        # Arguments of a tf.function have no device; all_reduce takes its destination from it.
        gradients, statistics, sums = tf.nest.map_structure(
            tf.identity, (gradients, statistics, sums))
        return (context.all_reduce("SUM", gradients), context.all_reduce("MEAN", statistics),
                context.all_reduce("SUM", sums))

    def _loss_scale(self):
        return 1.0 if self.state.loss_scale is None else self.state.loss_scale.value()


class Call:
    """Updates that were given to the devices.

    first: the step that the first of them starts from.
    steps: their batches.
    """

    def __init__(self, train_step: TrainStep, first: int, steps: Sequence[Sequence[Batch]],
                 launched: Future[Future[np.ndarray]]) -> None:
        self.first, self.steps = first, list(steps)
        self._train_step, self._launched = train_step, launched

    def rows(self) -> list[dict[str, Any]]:
        """One dict an update, as TrainStep.__call__, when they are made; to be called once.

        They end with one that is "held"; where an earlier call was, there are none. What was
        not tried is to be dispatched again.
        """
        return self._train_step.read(self._launched)


def _compiled(function):
    """`function` under XLA; made for each replica, whose own variables it captures."""
    return tf.function(function, jit_compile=True, autograph=False)


def _metrics(row):
    values = dict(zip(METRICS, row, strict=True))
    return {**values, **{name: bool(values[name]) for name in BOOLEANS}}
