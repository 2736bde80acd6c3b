"""One update: replicas, passes and averages against an independent computation."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from inception_tf.config import Optimization
from inception_tf.runtime.cluster import ALONE
from inception_tf.runtime.strategy import make_strategy
from inception_tf.training.schedule import Schedule
from inception_tf.training.state import TrainState
from inception_tf.training.step import TrainStep

OPTIMIZATION = Optimization(global_batch=8, weight_decay=1e-2, clip_norm=0.5)


def _model(batch_norm="frozen", dropout=0.0):
    keras.utils.set_random_seed(1)
    x = inputs = keras.Input((9, 9, 3))
    x = keras.layers.Conv2D(4, 3, use_bias=False, name="c")(x)
    norm = keras.layers.BatchNormalization(
        name="bn", scale=False, momentum=0.9, synchronized=batch_norm == "synchronized")
    norm.trainable = batch_norm != "frozen"
    x = norm(x)
    x = keras.layers.ReLU(name="r")(x)
    x = keras.layers.GlobalAveragePooling2D(name="p")(x)
    x = keras.layers.Dropout(dropout, name="d")(x)
    return keras.Model(inputs, keras.layers.Dense(5, name="logits")(x))


def _strategy(replicas):
    return make_strategy({1: "one", 2: "mirrored"}[replicas])


def _batches(passes, steps, bad=None):
    rng = np.random.default_rng(0)
    for _ in range(steps):
        image = rng.normal(size=(8, 9, 9, 3)).astype(np.float32)
        if bad is not None:
            image[5] = bad
        label = rng.integers(0, 5, 8).astype(np.int32)
        whole = {"image": image, "label": label, "weight": np.ones(8, np.float32)}
        yield [{k: tf.constant(v[i * 8 // passes:(i + 1) * 8 // passes])
                for k, v in whole.items()} for i in range(passes)]


def _train(replicas=1, passes=1, steps=6, batch_norm="frozen", dropout=0.0,
           optimization=OPTIMIZATION):
    strategy = _strategy(replicas)
    with strategy.scope():
        model = _model(batch_norm, dropout)
    state = TrainState(strategy, model, optimization)
    step = TrainStep(strategy, model, state, Schedule(optimization, 16), seed=0)
    metrics = [step(batches) for batches in _batches(passes, steps)]
    return state.arrays(), [{k: v.numpy() for k, v in m.items()} for m in metrics]


def _assert_close(ours, expected, rtol=2e-5):
    assert ours.keys() == expected.keys()
    for name in ours:
        np.testing.assert_allclose(ours[name], expected[name], rtol=rtol, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("optimizer", ["rmsprop", "momentum"])
def test_updates_equal_an_independent_tf1_style_loop(optimizer):
    o = Optimization(global_batch=8, weight_decay=1e-2, clip_norm=0.5, optimizer=optimizer,
                     decay_epochs=1.0)
    arrays, metrics = _train(steps=5, optimization=o)
    model = _model()
    slots = {v.path: [np.ones(v.shape), np.zeros(v.shape)] for v in model.trainable_variables}
    averages = {v.path: v.numpy() for v in model.weights}
    for step, (batch,) in enumerate(_batches(1, 5)):
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
    one, one_metrics = _train(replicas=1, batch_norm=batch_norm)
    two, two_metrics = _train(replicas=2, batch_norm=batch_norm)
    _assert_close(two, one)
    for a, b in zip(one_metrics, two_metrics, strict=True):
        _assert_close(a, b)


@pytest.mark.parametrize("replicas, passes", [(1, 2), (1, 4), (2, 2)])
def test_accumulated_passes_equal_one_pass_and_tick_schedules_once(replicas, passes):
    one, one_metrics = _train()
    many, many_metrics = _train(replicas=replicas, passes=passes)
    _assert_close(many, one)
    assert [m["learning_rate"] for m in many_metrics] == [m["learning_rate"] for m in one_metrics]


def test_batch_statistics_move_in_training_and_accumulate_over_passes():
    once, _ = _train(steps=1, batch_norm="own")
    twice, _ = _train(steps=1, passes=2, batch_norm="own")
    name = "weights/bn/moving_mean"
    assert np.abs(once[name]).max() > 0
    assert not np.allclose(once[name], twice[name])


def test_dropout_masks_differ_between_replicas_and_steps_and_repeat_between_runs():
    base, _ = _train(steps=2)
    first, _ = _train(replicas=2, steps=2, dropout=0.5)
    second, _ = _train(replicas=2, steps=2, dropout=0.5)
    other, _ = _train(replicas=1, steps=2, dropout=0.5)
    name = "weights/logits/kernel"
    np.testing.assert_array_equal(first[name], second[name])
    assert np.abs(first[name] - other[name]).max() > 1e-4
    assert np.abs(first[name] - base[name]).max() > 1e-4


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("replicas, passes", [(1, 1), (2, 1), (1, 2)])
def test_non_finite_input_applies_nothing(bad, replicas, passes):
    strategy = _strategy(replicas)
    with strategy.scope():
        model = _model("own", dropout=0.2)
    state = TrainState(strategy, model, OPTIMIZATION)
    step = TrainStep(strategy, model, state, Schedule(OPTIMIZATION, 16), seed=0)
    for batches in _batches(passes, 2):
        assert step(batches)["is_finite"]
    before = state.arrays()
    assert not step(next(_batches(passes, 1, bad=bad)))["is_finite"]
    after = state.arrays()
    for name in before:
        np.testing.assert_array_equal(before[name], after[name], err_msg=name)


def test_examples_of_weight_zero_give_no_gradient():
    strategy = _strategy(1)
    results = []
    for fill in (0.0, 7.0):
        model = _model()
        state = TrainState(strategy, model, OPTIMIZATION)
        step = TrainStep(strategy, model, state, Schedule(OPTIMIZATION, 16), seed=0)
        (batch,) = next(_batches(1, 1))
        image = batch["image"].numpy()
        image[3] = fill
        weight = np.ones(8, np.float32)
        weight[3] = 0.0
        step([{**batch, "image": tf.constant(image), "weight": tf.constant(weight)}])
        results.append(state.arrays())
    _assert_close(*results)


def test_state_round_trip_restores_every_array():
    strategy = _strategy(1)
    trained, _ = _train(steps=3)
    state = TrainState(strategy, _model(), OPTIMIZATION)
    state.load(trained)
    for name, value in state.arrays().items():
        np.testing.assert_array_equal(value, trained[name], err_msg=name)


def test_strategy_is_one_per_kind_however_it_is_asked_for():
    assert make_strategy("mirrored") is make_strategy("mirrored", ALONE)
    assert make_strategy("one") is make_strategy("auto")
