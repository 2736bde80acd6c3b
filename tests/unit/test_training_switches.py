"""Several updates a call, XLA, float16, and numbers that are not finite."""

import collections

import numpy as np
import pytest
import tensorflow as tf

from inception_tf.config import Execution, preset
from inception_tf.data.color import finished
from inception_tf.runtime.graphs import SKIPPED, lightly_optimized
from inception_tf.training import compilation
from inception_tf.training.non_finite import culprits
from inception_tf.training.update import _all_finite
from tests.updates import (
    assert_close,
    batches_of,
    step_and_state,
    trained,
)


@pytest.mark.parametrize("replicas, passes", [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_several_updates_in_one_call_have_the_bits_of_one_by_one(replicas, passes):
    settings = {"replicas": replicas, "passes": passes, "dropout": 0.5, "batch_norm": "own"}
    singly, metrics = trained(**settings)
    steps = list(batches_of(passes, 6))
    step, state = step_and_state(replicas, "own", 0.5, steps_per_call=4)
    together = step.dispatch(steps[:4]).rows() + step.dispatch(steps[4:]).rows()
    assert step._call.experimental_get_tracing_count() == 1
    for ours, theirs in zip(together, metrics, strict=True):
        assert ours == {name: value.item() for name, value in theirs.items()}
    for name, value in state.arrays().items():
        np.testing.assert_array_equal(value, singly[name], err_msg=name)


@pytest.mark.parametrize("replicas, passes, settings, expected", [
    (1, 1, {}, 8), (1, 5, {}, 2), (1, 20, {}, 1), (1, 1, {"steps_per_call": 3}, 3),
    (2, 1, {}, 1), (1, 1, {"xla": "off"}, 1), (1, 1, {"remat": True}, 1),
    (1, 1, {"deterministic": True}, 1), (1, 1, {"batch_norm": "synchronized"}, 1)], ids=str)
def test_updates_of_a_call_on_a_gpu(monkeypatch, replicas, passes, settings, expected):
    config = preset("paper").replace(**settings)
    given = settings.get("steps_per_call", 1)
    assert compilation.steps_per_call_of(config, replicas, passes) == given  # on a CPU
    monkeypatch.setattr(compilation, "has_accelerator", lambda: True)
    assert compilation.steps_per_call_of(config, replicas, passes) == expected


@pytest.mark.parametrize("passes", [1, 2])
def test_several_updates_in_one_program_of_xla_are_those_of_one_by_one(passes):
    compiled = Execution(xla="on")
    singly, metrics = trained(passes=passes, dropout=0.5, batch_norm="own", execution=compiled)
    steps = list(batches_of(passes, 6))
    step, state = step_and_state(1, "own", 0.5, compiled, steps_per_call=4)
    together = step.dispatch(steps[:4]).rows() + step.dispatch(steps[4:]).rows()
    for ours, theirs in zip(together, metrics, strict=True):  # dropout: the same masks
        np.testing.assert_allclose(list(ours.values()), list(theirs.values()), rtol=1e-5)
    assert_close(state.arrays(), singly)


def _with_bad_third(passes=1):
    good, bad = list(batches_of(passes, 4)), next(batches_of(passes, 1, bad=np.nan))
    return [*good[:2], bad, *good[2:]]


def test_call_ends_with_the_update_that_is_not_finite():
    step, state = step_and_state(steps_per_call=5)
    metrics = step.dispatch(_with_bad_third()).rows()
    assert [m["is_finite"] for m in metrics] == [True, True, False]
    expected, expected_state = step_and_state()
    for batches in list(batches_of(1, 2)):
        expected(batches)
    for name, value in state.arrays().items():
        np.testing.assert_array_equal(value, expected_state.arrays()[name], err_msg=name)


def test_skipped_update_moves_on_to_the_next_examples_and_is_counted():
    step, state = step_and_state(execution=Execution(on_non_finite="skip"), steps_per_call=5)
    steps = _with_bad_third()
    metrics = step.dispatch(steps).rows()
    assert [m["is_finite"] for m in metrics] == [True, True, False]
    assert all(m["is_finite"] for m in step.dispatch(steps[len(metrics):]).rows())
    assert int(state.step) == 5 and int(state.skipped) == 1
    assert all(np.isfinite(value).all() for value in state.arrays().values())


def test_float16_overflow_halves_the_loss_scale_and_applies_nothing():
    step, state = step_and_state(execution=Execution(precision="mixed_float16"))
    before = state.arrays()
    assert not step(next(batches_of(1, 1, bad=np.inf)))["is_finite"]
    after = state.arrays()
    assert after["loss_scale"] == before["loss_scale"] / 2
    assert (after["step"], after["skipped"]) == (1, 1)
    np.testing.assert_array_equal(after["weights/c/kernel"], before["weights/c/kernel"])


def test_scaled_loss_gives_the_same_update():
    plain, plain_state = step_and_state(1, "frozen")
    half = Execution(precision="mixed_float16")
    scaled, scaled_state = step_and_state(1, "frozen", execution=half)
    (batches,) = batches_of(1, 1)
    assert scaled(batches)["loss"] == plain(batches)["loss"]
    for name, value in plain_state.arrays().items():  # scaling by a power of two is exact
        np.testing.assert_array_equal(scaled_state.arrays()[name], value, err_msg=name)


def test_loss_scale_doubles_after_its_updates(monkeypatch):
    monkeypatch.setattr("inception_tf.training.optimizer.STEPS_TO_DOUBLE", 3)
    step, state = step_and_state(execution=Execution(precision="mixed_float16"))
    scales = []
    for batches in batches_of(1, 4):
        step(batches)
        scales.append(float(state.loss_scale.value()))
    assert scales == [2.0**15, 2.0**15, 2.0**16, 2.0**16]


@pytest.mark.parametrize("replicas, passes", [(1, 1), (2, 2)])
def test_culprits_are_the_example_and_the_tensors_that_are_not_finite(replicas, passes):
    step, _ = step_and_state(replicas)
    (batches,) = batches_of(passes, 1, bad=np.nan)  # its example 5
    count = 8 // passes
    batches = [{**b, "index": np.arange(100 + i * count, 100 + (i + 1) * count)}
               for i, b in enumerate(batches)]
    indices, names = culprits(step, batches, 0)
    assert 105 in indices and set(indices) <= set(range(100 + count * (passes - 1), 108))
    assert "gradient of c/kernel" in names and "statistic bn/moving_mean" in names


def test_xla_compiles_forward_and_backward_pass_and_changes_little():
    plain, plain_state = step_and_state()
    compiled, compiled_state = step_and_state(execution=Execution(xla="on"))
    (batches,) = batches_of(1, 1)
    assert compiled(batches)["loss"] == pytest.approx(plain(batches)["loss"], rel=1e-5)
    assert_close(compiled_state.arrays(), plain_state.arrays(), rtol=1e-4)
    assert "_XlaMustCompile" in _graph_of(compiled) and "_XlaMustCompile" not in _graph_of(plain)


@pytest.mark.parametrize("replicas, passes", [(1, 1), (2, 2)])
def test_images_that_come_as_bytes_are_coloured_in_the_step(replicas, passes):
    rng = np.random.default_rng(0)
    (batches,) = batches_of(passes, 1)
    for batch in batches:
        count = len(batch["label"])
        batch["image"] = tf.constant(rng.integers(0, 256, (count, 9, 9, 3)), tf.uint8)
        batch["draws"] = tf.constant(rng.uniform(size=(count, 5)), tf.float32)
    step, state = step_and_state(replicas, color="full")
    metrics = step(batches)
    expected, expected_state = step_and_state(replicas)
    before = [{**b, "image": finished(b, "full")} for b in batches]
    for batch in before:
        del batch["draws"]
    assert metrics["loss"] == pytest.approx(expected(before)["loss"], rel=1e-5)
    assert_close(state.arrays(), expected_state.arrays())


def _graph_of(step):
    (concrete,) = step._call._list_all_concrete_functions()
    return str(concrete.graph.as_graph_def())


def test_update_has_one_kernel_a_variable_and_constants_that_all_share():
    step, state = step_and_state()
    step(next(batches_of(1, 1)))
    (concrete,) = step._call._list_all_concrete_functions()
    (applied,) = (f for f in concrete.graph.as_graph_def().library.function
                  if f.signature.name.startswith("cond_true"))
    kinds = collections.Counter(node.op for node in applied.node_def)
    assert kinds["ResourceApplyRMSProp"] == len(state.trainable)
    assert kinds["ResourceApplyGradientDescent"] == len(state.ema)
    assert kinds["Const"] <= 12  # of the schedules and the optimizer, however many variables


def test_step_on_a_cpu_skips_passes_and_what_follows_it_has_them_again():
    options = tf.config.optimizer.get_experimental_options
    on = dict.fromkeys(SKIPPED, True)
    before = {**on, **options()}
    with pytest.raises(ValueError, match="inside"), lightly_optimized():
        assert not any(options()[name] for name in SKIPPED)
        assert options().get("arithmetic_optimization", True)
        raise ValueError("inside")
    assert options() == before == {**before, **on}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_element_that_is_not_finite_is_seen_in_any_tensor(value):
    tensors = [tf.ones([3]), tf.ones([2, 2]), tf.constant(1.0)]
    assert _all_finite(tensors)
    assert not _all_finite([*tensors, tf.constant([[1.0, value]])])
