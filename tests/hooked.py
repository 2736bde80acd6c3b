"""Starts a command with faults built in: `python -m tests.hooked SPEC COMMAND --flags`.

SPEC is JSON; WHERE is "module:name" or "module:Class.name", CALLS a number or a list of them,
counted from 1, and what is said happens just before those calls:

    {"trace": PATH}                     a line per update with its step, loss and record indices
    {"small": true}                     a network that is traced in a second
    {"kill": [WHERE, CALLS, SIGNAL]}    SIGNAL to this process, after a line with the time; a list
                                        of them, 100 ms apart
    {"sleep": [WHERE, CALLS, SECONDS]}
    {"fail": [WHERE, CALLS, ERRNO]}     an OSError in place of the call
    {"limit": [WHERE, CALLS, BYTES]}    no file may grow beyond BYTES during the call
    {"poison": [WHAT, STEP, VALUE]}     "image", "gradient", "loss": one element becomes VALUE in
                                        the update of that step; "average": in the averaged
                                        weights, before the checkpoint of that number is saved

The package itself has no such switches.
"""

import contextlib
import functools
import importlib
import json
import os
import resource
import sys
import time


def main():
    spec, command, flags = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3:]
    from inception_tf.__main__ import run
    from inception_tf.commands.shell import import_tensorflow

    import_tensorflow()
    if spec.get("small"):
        for module in ("training.setup", "evaluation.members"):
            importlib.import_module(f"inception_tf.{module}").build_network = small_network
    if "trace" in spec:
        _trace(spec["trace"])
    if "poison" in spec:
        _poison(*spec["poison"])
    for name in ("kill", "sleep", "fail", "limit"):
        if name in spec:
            where, calls, argument = spec[name]
            _around(where, calls, functools.partial(globals()[f"_{name}"], argument))
    run(command, flags)


def small_network(network, num_classes, **_):
    """One of each kind of variable that the networks have, and dropout."""
    import keras

    inputs = keras.Input((network.image_size, network.image_size, 3))
    x = keras.layers.Conv2D(4, 7, strides=4, use_bias=False, name="conv")(inputs)
    x = keras.layers.BatchNormalization(momentum=0.9, trainable=network.batch_norm != "frozen",
                                        name="norm")(x)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x))
    x = keras.layers.Dropout(network.dropout)(x)
    return keras.Model(inputs, keras.layers.Dense(num_classes, name="logits")(x))


@contextlib.contextmanager
def _kill(numbers):
    print(f"signal sent at {time.time():.3f}", file=sys.stderr, flush=True)
    for number in numbers if isinstance(numbers, list) else [numbers]:
        os.kill(os.getpid(), number)
        if isinstance(numbers, list):
            time.sleep(0.1)
    yield


@contextlib.contextmanager
def _sleep(seconds):
    time.sleep(seconds)
    yield


@contextlib.contextmanager
def _fail(number):
    raise OSError(number, os.strerror(number))
    yield


@contextlib.contextmanager
def _limit(size):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _around(where, calls, context):
    """Makes the chosen calls of the function at `where` happen inside `context()`."""
    calls = calls if isinstance(calls, list) else [calls]
    count = []

    def wrap(original):
        @functools.wraps(original)
        def hooked(*args, **kwargs):
            count.append(1)
            with context() if len(count) in calls else contextlib.nullcontext():
                return original(*args, **kwargs)

        return hooked

    _replace(where, wrap)


def _replace(where, wrap):
    module, _, name = where.partition(":")
    owner = importlib.import_module(module)
    *path, name = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    setattr(owner, name, wrap(getattr(owner, name)))


def _trace(path):
    from inception_tf.training.step import Call

    original = Call.rows

    def traced(self):
        rows = original(self)
        with open(path, "a") as file:
            for step, (batches, metrics) in enumerate(zip(self.steps, rows, strict=False),
                                                      self.first):
                indices = [int(i) for batch in batches for i in batch["index"].numpy()]
                line = {"step": step, "loss": float(metrics["loss"]).hex(), "indices": indices}
                file.write(json.dumps(line) + "\n")
        return rows

    Call.rows = traced


def _poison(what, step, value):
    {"image": _poison_image, "gradient": _poison_gradient, "loss": _poison_loss,
     "average": _poison_average}[what](step, float(value))


def _poison_image(step, value):
    from inception_tf.training.step import TrainStep

    original = TrainStep.dispatch

    def poisoned(self, steps, stop=False):
        (batches,) = steps
        if int(self.state.step.numpy()) == step:
            image = batches[0]["image"].numpy()
            image[0, 0, 0, 0] = value
            batches = [{**batches[0], "image": image}, *batches[1:]]
        return original(self, [batches], stop)

    TrainStep.dispatch = poisoned


def _poison_gradient(step, value):
    """In graph: the first element of the second gradient, where the state is at `step`."""
    import tensorflow as tf

    def wrap(original):
        def poisoned(tape, *args, **kwargs):
            gradients = original(tape, *args, **kwargs)
            is_first = tf.reshape(tf.range(tf.size(gradients[1])) == 0, gradients[1].shape)
            gradients[1] = tf.where(is_first & (_state[0].step == step), value, gradients[1])
            return gradients

        return poisoned

    _keep_state()
    _replace("tensorflow:GradientTape.gradient", wrap)


def _poison_loss(step, value):
    """In graph: the loss of the first example, where the state is at `step`."""
    import tensorflow as tf

    def wrap(original):
        def poisoned(*args, **kwargs):
            losses = original(*args, **kwargs)
            is_first = tf.range(tf.size(losses)) == 0
            return tf.where(is_first & (_state[0].step == step), value, losses)

        return poisoned

    _keep_state()
    _replace("inception_tf.training.replica:cross_entropy", wrap)


def _poison_average(call, value):
    calls = []

    def wrap(original):
        def poisoned(run, *args):
            calls.append(1)
            if len(calls) == call:
                average = run.setup.state.ema[0]
                average.assign(average * value)
            return original(run, *args)

        return poisoned

    _replace("inception_tf.training.loop:Run.save", wrap)


_state = []


def _keep_state():
    def wrap(original):
        def kept(state, *args, **kwargs):
            original(state, *args, **kwargs)
            _state.append(state)

        return kept

    _replace("inception_tf.training.state:TrainState.__init__", wrap)


if __name__ == "__main__":
    main()
