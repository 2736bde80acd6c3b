"""The optimizers against TF1's own, and the schedule against the paper's numbers."""

import numpy as np
import pytest
import tensorflow as tf

from inception_tf.config import Optimization
from inception_tf.training.optimizer import (
    SLOTS,
    apply_average,
    clip_scale,
    make_slots,
    make_update,
    updated,
)

STEPS = 200


def _gradients():
    rng = np.random.default_rng(3)
    scales = 10.0 ** rng.uniform(-4, 1, STEPS)
    return [(s * rng.standard_normal((7, 5))).astype(np.float32) for s in scales]


def _tf1_path(make_optimizer):
    """Values after each update by an optimizer of tf.compat.v1."""
    graph = tf.Graph()
    with graph.as_default():
        gradient = tf.compat.v1.placeholder(tf.float32, (7, 5))
        variable = tf.compat.v1.get_variable("w", initializer=tf.ones((7, 5)))
        update = make_optimizer().apply_gradients([(gradient, variable)])
        path = []
        with tf.compat.v1.Session(graph=graph) as session:
            session.run(tf.compat.v1.global_variables_initializer())
            for value in _gradients():
                session.run(update, {gradient: value})
                path.append(session.run(variable))
    return path


def _our_path(optimization):
    variable = tf.Variable(tf.ones((7, 5)))
    slots = {name: values[0] for name, values in make_slots(optimization, [variable]).items()}
    update, path = make_update(optimization), []
    for gradient in _gradients():
        update(variable, slots, gradient, tf.constant(0.045))
        path.append(variable.numpy())
    return path


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("epsilon", [1.0, 1e-3])
def test_rmsprop_over_200_steps_equals_tf1(momentum, epsilon):
    ours = _our_path(Optimization(momentum=momentum, epsilon=epsilon))
    theirs = _tf1_path(lambda: tf.compat.v1.train.RMSPropOptimizer(
        0.045, decay=0.9, momentum=momentum, epsilon=epsilon))
    difference = max(np.max(np.abs(a - b) / np.abs(b)) for a, b in zip(ours, theirs, strict=True))
    assert difference < 1e-6


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("epsilon", [1.0, 1e-3])
def test_rmsprop_keras_over_200_steps_equals_keras(momentum, epsilon):
    import keras

    ours = _our_path(Optimization(optimizer="rmsprop_keras", momentum=momentum, epsilon=epsilon))
    theirs = keras.optimizers.RMSprop(0.045, rho=0.9, momentum=momentum, epsilon=epsilon)
    variable = keras.Variable(np.ones((7, 5), np.float32))
    for gradient, our in zip(_gradients(), ours, strict=True):
        theirs.apply([tf.constant(gradient)], [variable])
        # Values start at one: a weight that nears zero keeps that size's rounding.
        np.testing.assert_allclose(our, variable.numpy(), rtol=1e-5, atol=1e-6)


def test_momentum_over_200_steps_equals_tf1():
    ours = _our_path(Optimization(optimizer="momentum"))
    theirs = _tf1_path(lambda: tf.compat.v1.train.MomentumOptimizer(0.045, 0.9))
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_rmsprop_first_step_starts_from_a_mean_square_of_one():
    optimization = Optimization(momentum=0.0)
    variable = tf.Variable([1.0])
    slots = {name: values[0] for name, values in make_slots(optimization, [variable]).items()}
    make_update(optimization)(variable, slots, tf.constant([2.0]), tf.constant(0.1))
    assert variable.numpy()[0] == pytest.approx(1 - 0.1 * 2 / np.sqrt(0.9 + 0.1 * 4 + 1.0))


@pytest.mark.parametrize("optimizer", ["rmsprop", "rmsprop_keras", "momentum"])
@pytest.mark.parametrize("jit", [False, True])
def test_written_out_for_xla_it_equals_the_kernels_over_200_steps(optimizer, jit):
    optimization = Optimization(optimizer=optimizer)
    value = tf.ones((7, 5))
    slots = {name: make((7, 5)) for name, make in SLOTS[optimizer].items()}
    one = tf.function(lambda *now: updated(optimization, *now), jit_compile=jit)
    largest = 1.0  # so far: a weight that nears zero keeps the rounding of its size before
    for gradient, kernels in zip(_gradients(), _our_path(optimization), strict=True):
        value, slots = one(value, slots, tf.constant(gradient), tf.constant(0.045))
        largest = max(largest, np.abs(kernels).max())
        np.testing.assert_allclose(value.numpy(), kernels, rtol=0, atol=1e-6 * largest)


def test_average_over_steps_equals_tf1():
    values = [g[0] for g in _gradients()]
    graph = tf.Graph()
    with graph.as_default():
        source = tf.compat.v1.get_variable("w", initializer=tf.zeros(5))
        fed = tf.compat.v1.placeholder(tf.float32, 5)
        step = tf.compat.v1.placeholder(tf.int64, ())
        average = tf.compat.v1.train.ExponentialMovingAverage(0.9999, step)
        with tf.control_dependencies([source.assign(fed)]):
            update = average.apply([source])
        with tf.compat.v1.Session(graph=graph) as session:
            session.run(tf.compat.v1.global_variables_initializer())
            for number, value in enumerate(values, start=1):
                session.run(update, {fed: value, step: number})
            expected = session.run(average.average(source))
    shadow, variable = tf.Variable(tf.zeros(5)), tf.Variable(tf.zeros(5))
    from inception_tf.training.schedule import Schedule

    schedule = Schedule(Optimization(), 1000)
    for number, value in enumerate(values):
        variable.assign(value)
        decay = schedule.ema_decay(tf.constant(number, tf.int64))
        apply_average(shadow, variable, 1.0 - decay)
    np.testing.assert_allclose(shadow.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("norm, expected", [(4.0, 0.5), (2.0, 1.0), (0.1, 1.0)])
def test_clip_scale_limits_the_norm_to_two(norm, expected):
    assert clip_scale(tf.constant(norm), 2.0).numpy() == expected


def test_clip_scale_off_changes_nothing():
    assert clip_scale(tf.constant(1e9), 0.0).numpy() == 1.0
