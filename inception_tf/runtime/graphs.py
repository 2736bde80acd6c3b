"""How TensorFlow prepares a graph before it runs it for the first time."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from inception_tf.runtime.devices import has_accelerator

# Grappler's passes that a first call pays for and no update is faster by.
SKIPPED = ("constant_folding", "dependency_optimization", "function_optimization",
           "implementation_selector", "layout_optimizer", "loop_optimization", "remapping",
           "shape_optimization")


@contextlib.contextmanager
def lightly_optimized() -> Iterator[None]:
    """Graphs first called inside get Grappler's arithmetic pass and none of `SKIPPED`.

    For the CPU's training step: that pass makes an update a few percent faster, the others make
    the first call slower the larger the graph (docs/training.md has the figures). Where there is
    a GPU or TPU they choose layouts, and are left on.
    """
    if has_accelerator():
        yield
        return
    before = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options(dict.fromkeys(SKIPPED, False))
    try:
        yield
    finally:
        # A pass nobody has set is not listed, and is on.
        tf.config.optimizer.set_experimental_options(
            {name: before.get(name, True) for name in SKIPPED})
