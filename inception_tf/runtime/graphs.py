"""How TensorFlow prepares a graph before it runs it for the first time."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from inception_tf.runtime.devices import has_accelerator

_PASSES_OFF = "disable_meta_optimizer"


@contextlib.contextmanager
def as_traced() -> Iterator[None]:
    """Graphs called inside run on a CPU as they were traced: none of Grappler's passes.

    They make the first call slower the larger the graph, and an update no faster
    (docs/lab/training.md has the figures). Where there is a GPU or TPU they choose layouts, and are
    left on.
    """
    if has_accelerator():
        yield
        return
    before = tf.config.optimizer.get_experimental_options().get(_PASSES_OFF, False)
    tf.config.optimizer.set_experimental_options({_PASSES_OFF: True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({_PASSES_OFF: before})
