"""One update: replicas, passes and averages against an independent computation."""

import dataclasses
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from inception_tf.config import Execution, Optimization
from inception_tf.errors import CheckpointError
from inception_tf.runtime.cluster import ALONE
from inception_tf.runtime.strategy import make_strategy
from inception_tf.training.non_finite import culprits
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
           optimization=OPTIMIZATION, execution=Execution()):  # noqa: B008 (frozen)
    strategy = _strategy(replicas)
    with strategy.scope():
        model = _model(batch_norm, dropout)
    state = TrainState(strategy, model, optimization)
    step = TrainStep(strategy, model, state, Schedule(optimization, 16), 0, execution)
    metrics = [step(batches) for batches in _batches(passes, steps)]
    return state.arrays(), [{k: np.asarray(v) for k, v in m.items()} for m in metrics]


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
    step = TrainStep(strategy, model, state, Schedule(OPTIMIZATION, 16), 0, Execution())
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
        step = TrainStep(strategy, model, state, Schedule(OPTIMIZATION, 16), 0, Execution())
        (batch,) = next(_batches(1, 1))
        image = batch["image"].numpy()
        image[3] = fill
        weight = np.ones(8, np.float32)
        weight[3] = 0.0
        step([{**batch, "image": tf.constant(image), "weight": tf.constant(weight)}])
        results.append(state.arrays())
    _assert_close(*results)


@pytest.mark.parametrize("replicas, passes", [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_several_updates_in_one_call_have_the_bits_of_one_by_one(replicas, passes):
    settings = {"replicas": replicas, "passes": passes, "dropout": 0.5, "batch_norm": "own"}
    singly, metrics = _train(**settings)
    steps = list(_batches(passes, 6))
    step, state = _step(replicas, "own", 0.5, Execution(steps_per_call=4))
    together = step.several(steps[:4]) + step.several(steps[4:])
    assert step._call.experimental_get_tracing_count() == 1
    for ours, theirs in zip(together, metrics, strict=True):
        assert ours == {name: value.item() for name, value in theirs.items()}
    for name, value in state.arrays().items():
        np.testing.assert_array_equal(value, singly[name], err_msg=name)


def _step(replicas=1, batch_norm="own", dropout=0.0, execution=Execution()):  # noqa: B008
    strategy = _strategy(replicas)
    with strategy.scope():
        model = _model(batch_norm, dropout)
    state = TrainState(strategy, model, OPTIMIZATION, execution.precision)
    return TrainStep(strategy, model, state, Schedule(OPTIMIZATION, 16), 0, execution), state


def _with_bad_third(passes=1):
    good, bad = list(_batches(passes, 4)), next(_batches(passes, 1, bad=np.nan))
    return [*good[:2], bad, *good[2:]]


def test_call_ends_with_the_update_that_is_not_finite():
    step, state = _step(execution=Execution(steps_per_call=5))
    metrics = step.several(_with_bad_third())
    assert [m["is_finite"] for m in metrics] == [True, True, False]
    expected, expected_state = _step()
    for batches in list(_batches(1, 2)):
        expected(batches)
    for name, value in state.arrays().items():
        np.testing.assert_array_equal(value, expected_state.arrays()[name], err_msg=name)


def test_skipped_update_moves_on_to_the_next_examples_and_is_counted():
    step, state = _step(execution=Execution(steps_per_call=5, on_non_finite="skip"))
    metrics = step.several(_with_bad_third())
    assert [m["is_finite"] for m in metrics] == [True, True, False, True, True]
    assert int(state.step) == 5 and int(state.skipped) == 1
    assert all(np.isfinite(value).all() for value in state.arrays().values())


def test_float16_overflow_halves_the_loss_scale_and_applies_nothing():
    step, state = _step(execution=Execution(precision="mixed_float16"))
    before = state.arrays()
    assert not step(next(_batches(1, 1, bad=np.inf)))["is_finite"]
    after = state.arrays()
    assert after["loss_scale"] == before["loss_scale"] / 2
    assert (after["step"], after["skipped"]) == (1, 1)
    np.testing.assert_array_equal(after["weights/c/kernel"], before["weights/c/kernel"])


def test_scaled_loss_gives_the_same_update():
    plain, plain_state = _step(1, "frozen")
    scaled, scaled_state = _step(1, "frozen", execution=Execution(precision="mixed_float16"))
    (batches,) = _batches(1, 1)
    assert scaled(batches)["loss"] == plain(batches)["loss"]
    for name, value in plain_state.arrays().items():  # scaling by a power of two is exact
        np.testing.assert_array_equal(scaled_state.arrays()[name], value, err_msg=name)


def test_loss_scale_doubles_after_its_updates(monkeypatch):
    monkeypatch.setattr("inception_tf.training.loss_scale.STEPS_TO_DOUBLE", 3)
    step, state = _step(execution=Execution(precision="mixed_float16"))
    scales = []
    for batches in _batches(1, 4):
        step(batches)
        scales.append(float(state.loss_scale.value()))
    assert scales == [2.0**15, 2.0**15, 2.0**16, 2.0**16]


@pytest.mark.parametrize("replicas, passes", [(1, 1), (2, 2)])
def test_culprits_are_the_example_and_the_tensors_that_are_not_finite(replicas, passes):
    step, _ = _step(replicas)
    (batches,) = _batches(passes, 1, bad=np.nan)  # its example 5
    count = 8 // passes
    batches = [{**b, "index": np.arange(100 + i * count, 100 + (i + 1) * count)}
               for i, b in enumerate(batches)]
    indices, names = culprits(step, batches)
    assert 105 in indices and set(indices) <= set(range(100 + count * (passes - 1), 108))
    assert "gradient of c/kernel" in names and "statistic bn/moving_mean" in names


def test_xla_compiles_forward_and_backward_pass_and_changes_little():
    plain, plain_state = _step()
    compiled, compiled_state = _step(execution=Execution(xla=True))
    (batches,) = _batches(1, 1)
    assert compiled(batches)["loss"] == pytest.approx(plain(batches)["loss"], rel=1e-5)
    _assert_close(compiled_state.arrays(), plain_state.arrays(), rtol=1e-4)
    assert "_XlaMustCompile" in _graph_of(compiled) and "_XlaMustCompile" not in _graph_of(plain)


def _graph_of(step):
    (concrete,) = step._call._list_all_concrete_functions()
    return str(concrete.graph.as_graph_def())


def test_f02_state_round_trip_restores_every_array():
    strategy = _strategy(1)
    trained, _ = _train(steps=3)
    state = TrainState(strategy, _model(), OPTIMIZATION)
    state.load(trained)
    for name, value in state.arrays().items():
        np.testing.assert_array_equal(value, trained[name], err_msg=name)


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_f02_every_variable_is_saved_and_any_missing_one_is_noticed(precision):
    strategy = _strategy(1)
    model = _model("own", dropout=0.5)
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
        _train(steps=1, optimization=dataclasses.replace(
            OPTIMIZATION, optimizer="momentum", head_lr_multiplier=factor))[0]
        for factor in (1.0, 10.0))
    start = {w.path: w.numpy() for w in _model().weights}
    np.testing.assert_array_equal(plain["weights/c/kernel"], faster["weights/c/kernel"])
    np.testing.assert_allclose(
        faster["weights/logits/kernel"] - start["logits/kernel"],
        10 * (plain["weights/logits/kernel"] - start["logits/kernel"]), rtol=1e-3, atol=1e-6)
