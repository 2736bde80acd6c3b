"""A network of a few weights and its updates, for tests of the training step."""

import keras
import numpy as np
import tensorflow as tf

from inception_tf.config import Execution, Optimization
from inception_tf.runtime.devices import make_strategy
from inception_tf.training.schedule import Schedule
from inception_tf.training.state import TrainState
from inception_tf.training.step import TrainStep

OPTIMIZATION = Optimization(global_batch=8, weight_decay=1e-2, clip_norm=0.5)


def small_model(batch_norm="frozen", dropout=0.0):
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


def strategy_of(replicas):
    return make_strategy({1: "one", 2: "mirrored"}[replicas])


def batches_of(passes, steps, bad=None):
    rng = np.random.default_rng(0)
    for _ in range(steps):
        image = rng.normal(size=(8, 9, 9, 3)).astype(np.float32)
        if bad is not None:
            image[5] = bad
        label = rng.integers(0, 5, 8).astype(np.int32)
        whole = {"image": image, "label": label, "weight": np.ones(8, np.float32)}
        yield [{k: tf.constant(v[i * 8 // passes:(i + 1) * 8 // passes])
                for k, v in whole.items()} for i in range(passes)]


def trained(replicas=1, passes=1, steps=6, batch_norm="frozen", dropout=0.0,
           optimization=OPTIMIZATION, execution=Execution()):  # noqa: B008 (frozen)
    strategy = strategy_of(replicas)
    with strategy.scope():
        model = small_model(batch_norm, dropout)
    state = TrainState(strategy, model, optimization)
    step = TrainStep(strategy, model, state, Schedule(optimization, 16), 0, execution)
    metrics = [step(batches) for batches in batches_of(passes, steps)]
    return state.arrays(), [{k: np.asarray(v) for k, v in m.items()} for m in metrics]


def step_and_state(replicas=1, batch_norm="own", dropout=0.0, execution=Execution(),  # noqa: B008
                   color="none", steps_per_call=1):
    strategy = strategy_of(replicas)
    with strategy.scope():
        model = small_model(batch_norm, dropout)
    state = TrainState(strategy, model, OPTIMIZATION, execution.precision)
    return TrainStep(strategy, model, state, Schedule(OPTIMIZATION, 16), 0, execution,
                     color, steps_per_call), state


def pass_of(model, images, context):
    """[outputs, gradients of images and weights] of a pass in training, inside `context`."""
    with tf.GradientTape() as tape, context:
        tape.watch(images)
        outputs = keras.tree.flatten(model(images, training=True))
        loss = sum(tf.reduce_sum(tf.cast(one, tf.float32) ** 2) for one in outputs)
    return [*outputs,
            *tape.gradient(loss, [images, *(v.value for v in model.trainable_variables)])]


def operations_of(model, images, context_of):
    """Types of the operations of a pass in training, inside `context_of(model)`."""
    @tf.function(autograph=False)
    def step(x):
        with context_of(model):
            return model(x, training=True)
    return [op.type for op in step.get_concrete_function(images).graph.get_operations()]


def assert_close(ours, expected, rtol=2e-5):
    assert ours.keys() == expected.keys()
    for name in ours:
        np.testing.assert_allclose(ours[name], expected[name], rtol=rtol, atol=1e-6, err_msg=name)
