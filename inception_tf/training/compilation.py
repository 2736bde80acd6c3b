"""Which parts of an update XLA compiles.

On a GPU or TPU everything, unless something inside cannot be compiled: launching an operation
costs it microseconds, and an update has thousands. On a CPU nothing: it is slower there.
"""

from dataclasses import dataclass

from inception_tf.config import Config, Execution
from inception_tf.runtime.devices import has_accelerator

# On an H200 an update of 128 images takes 87 ms by itself, 73 as one of eight in a program
# (docs/benchmarks.md#tensorflow).
PASSES_OF_A_CALL = 8


@dataclass(frozen=True)
class Compilation:
    """What is compiled.

    passes: forward and backward pass.
    update: everything after the sum over replicas: decay, clipping, optimizer, averages.
    """

    passes: bool
    update: bool


def compilation_of(execution: Execution, is_synchronized: bool) -> Compilation:
    """The Compilation of a training step.

    XLA would merge what `remat` computes twice, has no all-reduce inside a compiled pass for
    batch norm that is synchronized, and no deterministic gradient of max pooling.
    """
    wanted = execution.xla == "on" or (execution.xla == "auto" and has_accelerator())
    obstacle = execution.remat or execution.deterministic or is_synchronized
    return Compilation(passes=wanted and not obstacle, update=wanted)


def steps_per_call_of(config: Config, replicas: int, passes: int) -> int:
    """Updates of a call: as set, or by what was measured on a GPU.

    There the updates of a call are one program where XLA compiles all of them and there is one
    replica. Each program starts with the host's handling of thousands of variables, so that
    PASSES_OF_A_CALL share it.

    The loop makes fewer where they are slow.

    Args:
        config: of the run.
        replicas: over all workers.
        passes: of an update.
    """
    if config.execution.steps_per_call:
        return config.execution.steps_per_call
    compiled = compilation_of(config.execution, config.network.batch_norm == "synchronized").passes
    if not (compiled and replicas == 1 and has_accelerator()):
        return 1
    return -(-PASSES_OF_A_CALL // passes)
