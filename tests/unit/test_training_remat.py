"""Activations computed again: the same updates from a graph that has its convolutions twice."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inception_tf.config import Execution, preset
from inception_tf.errors import UsageError
from inception_tf.networks import stage_of
from inception_tf.runs.network import build_network
from inception_tf.runtime.devices import make_strategy
from inception_tf.training.plan import check_execution
from inception_tf.training.remat import STAGES
from inception_tf.training.schedule import Schedule
from inception_tf.training.state import TrainState
from inception_tf.training.step import TrainStep

CLASSES = 5


def after_two_updates(strategy, execution, **settings):
    """(metrics of each update, arrays afterwards, the step) of one of our networks, small."""
    config = preset("tiny").replace(global_batch=4, learning_rate=1e-3, dropout=0.5, **settings)
    strategy = make_strategy(strategy)
    keras.utils.set_random_seed(1)
    with strategy.scope():
        model = build_network(config.network, CLASSES)
    state = TrainState(strategy, model, config.optimization)
    step = TrainStep(strategy, model, state, Schedule(config.optimization, 16), 0, execution)
    rng = np.random.default_rng(0)
    size = config.network.image_size
    batch = {"image": rng.normal(size=(4, size, size, 3)).astype(np.float32),
             "label": np.arange(4, dtype=np.int32), "weight": np.ones(4, np.float32)}
    batch = {name: tf.constant(value) for name, value in batch.items()}
    return [step([batch]) for _ in range(2)], state.arrays(), step


def replicas_of(strategy):
    return make_strategy(strategy).num_replicas_in_sync


def convolutions(step):
    """Forward convolutions in the step's graph; those of 1x1 are products (pointwise.py)."""
    (concrete,) = step._call._list_all_concrete_functions()
    return sum(op.type == "Conv2D" for op in concrete.graph.get_operations())


@pytest.mark.parametrize("strategy, settings", [
    ("one", {"net": "inception_v4", "aux_head": True, "freeze": ("stem",)}),
    ("mirrored", {"net": "inception_resnet_v2", "batch_norm": "synchronized"}),
], ids=["auxiliary head, frozen stem", "two replicas, synchronized"])
def test_updates_are_those_of_a_run_that_keeps_everything(strategy, settings):
    kept, expected, plain_step = after_two_updates(strategy, Execution(), **settings)
    again, arrays, step = after_two_updates(strategy, Execution(remat=True), **settings)
    assert arrays.keys() == expected.keys()
    for ours, theirs in zip(again, kept, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
        assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-4)
    for name, value in expected.items():
        np.testing.assert_allclose(arrays[name], value, rtol=1e-4, atol=1e-6, err_msg=name)
    twice = sum(isinstance(layer, keras.layers.Conv2D) and layer.kernel_size != (1, 1)
                and stage_of(layer.name) in STAGES
                for layer in step.replica_pass.model.layers if layer.trainable)
    assert convolutions(step) - convolutions(plain_step) == twice * replicas_of(strategy)


def test_xla_would_undo_it_and_is_refused():
    with pytest.raises(UsageError, match="--xla=on with --remat"):
        check_execution(preset("tiny").replace(xla="on", remat=True))
