"""Which parts of an update XLA compiles.

On a GPU or TPU everything, unless something inside cannot be compiled: launching an operation
costs it microseconds, and an update has thousands. On a CPU nothing: it is slower there.
"""

from dataclasses import dataclass

import keras

from inception_tf.config import Execution
from inception_tf.runtime.devices import has_accelerator


@dataclass(frozen=True)
class Compilation:
    """What is compiled.

    passes: forward and backward pass.
    update: everything after the sum over replicas: decay, clipping, optimizer, averages.
    """

    passes: bool
    update: bool


def compilation_of(execution: Execution, model: keras.Model) -> Compilation:
    """The Compilation of a training step of `model`.

    XLA would merge what `remat` computes twice, has no all-reduce inside a compiled pass for
    synchronized batch norm, and no deterministic gradient of max pooling.
    """
    wanted = execution.xla == "on" or (execution.xla == "auto" and has_accelerator())
    obstacle = execution.remat or execution.deterministic or any(
        getattr(layer, "synchronized", False) for layer in model.layers)
    return Compilation(passes=wanted and not obstacle, update=wanted)
