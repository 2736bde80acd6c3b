"""Starts a command with faults built in: `python -m tests.hooked SPEC COMMAND --flags`.

SPEC is JSON: {"trace": PATH} writes a line per update with its step, loss and record
indices; {"kill": [WHERE, CALL, SIGNAL]} sends SIGNAL to this process at the CALL-th call of
WHERE ("module:name" or "module:Class.name"); {"poison": STEP} makes one input pixel NaN there.
The package itself has no such switches.
"""

import functools
import importlib
import json
import os
import sys


def main():
    spec, command, flags = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3:]
    from inception_tf.__main__ import run
    from inception_tf.commands.shell import import_tensorflow

    import_tensorflow()
    if "trace" in spec:
        _trace(spec["trace"])
    if "poison" in spec:
        _poison(spec["poison"])
    if "kill" in spec:
        _kill(*spec["kill"])
    run(command, flags)


def _trace(path):
    from inception_tf.training.step import TrainStep

    original = TrainStep.__call__

    def traced(self, batches, stop=False):
        step = int(self.state.step.numpy())
        metrics = original(self, batches, stop)
        indices = [int(i) for batch in batches for i in batch["index"].numpy()]
        line = {"step": step, "loss": float(metrics["loss"]).hex(), "indices": indices}
        with open(path, "a") as file:
            file.write(json.dumps(line) + "\n")
        return metrics

    TrainStep.__call__ = traced


def _poison(step):
    from inception_tf.training.step import TrainStep

    original = TrainStep.__call__

    def poisoned(self, batches, stop=False):
        if int(self.state.step.numpy()) == step:
            image = batches[0]["image"].numpy()
            image[0, 0, 0, 0] = float("nan")
            batches = [{**batches[0], "image": image}, *batches[1:]]
        return original(self, batches, stop)

    TrainStep.__call__ = poisoned


def _kill(where, call, number):
    module, _, name = where.partition(":")
    owner = importlib.import_module(module)
    *path, name = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    original, calls = getattr(owner, name), []

    @functools.wraps(original)
    def hooked(*args, **kwargs):
        calls.append(1)
        if len(calls) == call:
            os.kill(os.getpid(), number)
        return original(*args, **kwargs)

    setattr(owner, name, hooked)


if __name__ == "__main__":
    main()
