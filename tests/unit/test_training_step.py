"""One update: replicas, passes and averages against an independent computation."""

import dataclasses
import re

import numpy as np
import pytest
import tensorflow as tf

from inception_tf.config import Execution, Optimization
from inception_tf.errors import CheckpointError
from inception_tf.runtime.cluster import ALONE
from inception_tf.runtime.devices import make_strategy
from inception_tf.training.schedule import Schedule
from inception_tf.training.state import TrainState
from inception_tf.training.step import TrainStep
from tests.updates import (
    OPTIMIZATION,
    assert_close,
    batches_of,
    small_model,
    step_and_state,
    strategy_of,
    trained,
)


@pytest.mark.parametrize("optimizer", ["rmsprop", "momentum"])
def test_updates_equal_an_independent_tf1_style_loop(optimizer):
    o = Optimization(global_batch=8, weight_decay=1e-2, clip_norm=0.5, optimizer=optimizer,
                     decay_epochs=1.0)
    arrays, metrics = trained(steps=5, optimization=o)
    model = small_model()
    slots = {v.path: [np.ones(v.shape), np.zeros(v.shape)] for v in model.trainable_variables}
    averages = {v.path: v.numpy() for v in model.weights}
    for step, (batch,) in enumerate(batches_of(1, 5)):
        with tf.GradientTape() as tape:
            logits = model(batch["image"])
            loss = tf.reduce_mean(tf.compat.v1.losses.softmax_cross_entropy(
                tf.one_hot(batch["label"], 5), logits, label_smoothing=0.1, reduction="none"))
            for v in model.trainable_variables:
                if v.path.endswith("kernel"):
                    loss += 0.5 * 1e-2 * tf.reduce_sum(tf.square(v))
        gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
        gradients, norm = tf.clip_by_global_norm(gradients, 0.5)
        assert metrics[step]["loss"] == pytest.approx(float(loss), rel=1e-5)
        assert metrics[step]["grad_norm"] == pytest.approx(float(norm), rel=1e-5)
        rate = 0.045 * 0.94 ** (step * 8 // 16)
        for v, g in zip(model.trainable_variables, gradients, strict=True):
            slots[v.path] = _numpy_update(v, slots[v.path], g.numpy(), rate, optimizer)
        decay = min(0.9999, (2 + step) / (11 + step))
        for v in model.weights:
            averages[v.path] = averages[v.path] * decay + v.numpy() * (1 - decay)
    for v in model.weights:
        np.testing.assert_allclose(arrays[f"weights/{v.path}"], v.numpy(), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(arrays[f"ema/{v.path}"], averages[v.path], rtol=1e-4, atol=1e-6)
    assert arrays["step"] == 5


def _numpy_update(variable, slots, gradient, rate, optimizer):
    square, momentum = slots
    if optimizer == "momentum":
        momentum = 0.9 * momentum + gradient
        variable.assign(variable.numpy() - rate * momentum)
    else:
        square = 0.9 * square + 0.1 * gradient**2
        momentum = 0.9 * momentum + rate * gradient / np.sqrt(square + 1.0)
        variable.assign(variable.numpy() - momentum)
    return [square, momentum]


@pytest.mark.parametrize("batch_norm", ["frozen", "synchronized"])
def test_two_replicas_of_half_a_batch_equal_one_of_the_whole(batch_norm):
    one, one_metrics = trained(replicas=1, batch_norm=batch_norm)
    two, two_metrics = trained(replicas=2, batch_norm=batch_norm)
    assert_close(two, one)
    for a, b in zip(one_metrics, two_metrics, strict=True):
        assert_close(a, b)


@pytest.mark.parametrize("replicas, passes", [(1, 2), (1, 4), (2, 2)])
def test_accumulated_passes_equal_one_pass_and_tick_schedules_once(replicas, passes):
    one, one_metrics = trained()
    many, many_metrics = trained(replicas=replicas, passes=passes)
    assert_close(many, one)
    assert [m["learning_rate"] for m in many_metrics] == [m["learning_rate"] for m in one_metrics]


def test_batch_statistics_move_in_training_and_accumulate_over_passes():
    once, _ = trained(steps=1, batch_norm="own")
    twice, _ = trained(steps=1, passes=2, batch_norm="own")
    name = "weights/bn/moving_mean"
    assert np.abs(once[name]).max() > 0
    assert not np.allclose(once[name], twice[name])


def test_dropout_masks_differ_between_replicas_and_steps_and_repeat_between_runs():
    base, _ = trained(steps=2)
    first, _ = trained(replicas=2, steps=2, dropout=0.5)
    second, _ = trained(replicas=2, steps=2, dropout=0.5)
    other, _ = trained(replicas=1, steps=2, dropout=0.5)
    name = "weights/logits/kernel"
    np.testing.assert_array_equal(first[name], second[name])
    assert np.abs(first[name] - other[name]).max() > 1e-4
    assert np.abs(first[name] - base[name]).max() > 1e-4


def test_dropout_masks_of_two_replicas_are_those_of_two_passes():
    replicas, _ = trained(replicas=2, steps=3, dropout=0.5)
    passes, _ = trained(passes=2, steps=3, dropout=0.5)
    assert_close(replicas, passes)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("replicas, passes", [(1, 1), (2, 1), (1, 2)])
def test_non_finite_input_applies_nothing(bad, replicas, passes):
    strategy = strategy_of(replicas)
    with strategy.scope():
        model = small_model("own", dropout=0.2)
    state = TrainState(strategy, model, OPTIMIZATION)
    step = TrainStep(strategy, model, state, Schedule(OPTIMIZATION, 16), 0, Execution())
    for batches in batches_of(passes, 2):
        assert step(batches)["is_finite"]
    before = state.arrays()
    assert not step(next(batches_of(passes, 1, bad=bad)))["is_finite"]
    after = state.arrays()
    for name in before:
        np.testing.assert_array_equal(before[name], after[name], err_msg=name)


def test_examples_of_weight_zero_give_no_gradient():
    strategy = strategy_of(1)
    results = []
    for fill in (0.0, 7.0):
        model = small_model()
        state = TrainState(strategy, model, OPTIMIZATION)
        step = TrainStep(strategy, model, state, Schedule(OPTIMIZATION, 16), 0, Execution())
        (batch,) = next(batches_of(1, 1))
        image = batch["image"].numpy()
        image[3] = fill
        weight = np.ones(8, np.float32)
        weight[3] = 0.0
        step([{**batch, "image": tf.constant(image), "weight": tf.constant(weight)}])
        results.append(state.arrays())
    assert_close(*results)


def test_averages_have_memory_of_their_own_before_the_first_update():
    """Shared with the weights, it would be copied amid the first update's activations."""
    _, state = step_and_state()
    for shadow, variable in zip(state.ema, state.weights, strict=True):
        both = [v.read_value() for v in (shadow, variable.value)]
        np.testing.assert_array_equal(*both)
        assert not np.shares_memory(*map(memoryview, both))


def test_f02_state_round_trip_restores_every_array():
    strategy = strategy_of(1)
    expected, _ = trained(steps=3)
    state = TrainState(strategy, small_model(), OPTIMIZATION)
    state.load(expected)
    for name, value in state.arrays().items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_f02_every_variable_is_saved_and_any_missing_one_is_noticed(precision):
    strategy = strategy_of(1)
    model = small_model("own", dropout=0.5)
    state = TrainState(strategy, model, OPTIMIZATION, precision)
    arrays = state.arrays()
    assert {"step", "skipped"} <= arrays.keys()
    trained, others = model.trainable_variables, model.non_trainable_variables
    # Dropout's seed is a function of step and replica (test above): it has no state to save.
    kept = [v for v in [*trained, *others] if "seed_generator" not in v.path]
    names = {f"{kind}/{v.path}" for kind in ("weights", "ema") for v in kept}
    names |= {f"{slot}/{v.path}" for slot in ("mean_square", "momentum") for v in trained}
    scale = {"loss_scale", "updates_at_loss_scale"} if precision == "mixed_float16" else set()
    assert arrays.keys() == names | {"step", "skipped"} | scale
    for name in arrays:
        with pytest.raises(CheckpointError, match=re.escape(name)):
            state.load({k: v for k, v in arrays.items() if k != name})


def test_strategy_is_one_per_kind_however_it_is_asked_for():
    assert make_strategy("mirrored") is make_strategy("mirrored", ALONE)
    assert make_strategy("one") is make_strategy("auto")


def test_head_lr_multiplier_moves_the_classifier_that_much_more_and_nothing_else():
    plain, faster = (
        trained(steps=1, optimization=dataclasses.replace(
            OPTIMIZATION, optimizer="momentum", head_lr_multiplier=factor))[0]
        for factor in (1.0, 10.0))
    start = {w.path: w.numpy() for w in small_model().weights}
    np.testing.assert_array_equal(plain["weights/c/kernel"], faster["weights/c/kernel"])
    np.testing.assert_allclose(
        faster["weights/logits/kernel"] - start["logits/kernel"],
        10 * (plain["weights/logits/kernel"] - start["logits/kernel"]), rtol=1e-3, atol=1e-6)
