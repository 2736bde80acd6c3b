"""How TensorFlow prepares a graph before it runs it for the first time."""

import contextlib

import tensorflow as tf


@contextlib.contextmanager
def as_traced():
    """Graphs first called inside run as they were traced, without Grappler's passes over them.

    For the CPU's training step: the passes make an update a few percent faster at most, and the
    first call slower the larger the graph (docs/training.md has the figures). Where there is a
    GPU or TPU they choose layouts, and are left on.
    """
    if any(tf.config.list_logical_devices(kind) for kind in ("GPU", "TPU")):
        yield
        return
    before = tf.config.optimizer.get_experimental_options()["disable_meta_optimizer"]
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": before})
