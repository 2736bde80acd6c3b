"""What benchmarks/training.py compares: functions that make a step, and the process of one."""

import collections
import os
import re
import tempfile
import time
from pathlib import Path

from benchmarks import harness

STARTED = "TRAINING_BENCHMARK_STARTED"
SIZE, CLASSES = 299, 1000
RMSPROP = {"rho": 0.9, "momentum": 0.9, "epsilon": 1.0}


def serve(case, batch):
    """Trains one step of `case`, then answers questions."""
    harness.answer_questions(lambda: _answers(case, batch))


def _answers(case, batch):
    step, images = CASES[case](batch)
    step()
    start = {"wall": time.time() - float(os.environ[STARTED]), "cpu": time.process_time()}
    return {"start": lambda: (start, images), "step": lambda: harness.clocked(step),
            "shares": lambda: shares(step)}


def ours(batch):
    """Everything `inception-tf train` does in an update, without the auxiliary head."""
    return _released(batch)


def ours_remat(batch):
    """The same with rematerialization."""
    return _released(batch, remat=True)


def ours_bfloat16(batch):
    """The same in mixed_bfloat16."""
    return _released(batch, precision="mixed_bfloat16")


def _released(batch, **settings):
    return _ours("paper", {"net": "inception_resnet_v2_released", "aux_head": False,
                           "global_batch": batch, "replica_batch": batch, **settings})


def tiny(batch):
    """An update of the tiny network."""
    return _ours("tiny", {"global_batch": batch})


def demo(updates):
    """Sixty updates of the demo network, `updates` a call."""
    return _ours("demo", {"steps_per_call": updates}, calls=60 // updates)


def _ours(preset, settings, calls=1):
    from inception_tf.commands.shell import import_tensorflow

    import_tensorflow()
    from benchmarks.overhead import step_and_batches
    from inception_tf.runtime.cluster import ALONE

    step, batches = step_and_batches(preset, settings, "one", ALONE)
    updates = step.steps_per_call

    def run():
        for _ in range(calls):
            step.dispatch([batches] * updates).rows()

    return run, calls * updates * step.optimization.global_batch


def keras_function(batch):
    """keras.applications' network and Keras' RMSprop in a tf.function."""
    import tensorflow as tf

    model, optimizer, loss, images, labels = _keras(batch)

    @tf.function
    def step(images, labels):
        with tf.GradientTape() as tape:
            value = loss(labels, model(images, training=True))
        gradients = tape.gradient(value, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return value

    return lambda: step(images, labels).numpy(), batch


def keras_bfloat16(batch):
    """keras_function under Keras' policy mixed_bfloat16."""
    import keras

    keras.config.set_dtype_policy("mixed_bfloat16")
    return keras_function(batch)


def keras_fit(batch):
    """The same under Keras' own loop."""
    model, optimizer, loss, images, labels = _keras(batch)
    model.compile(optimizer, loss)
    return lambda: model.fit(images, labels, batch_size=batch, epochs=1, verbose=0), batch


def _keras(batch):
    import keras
    import tensorflow as tf

    model = keras.applications.InceptionResNetV2(
        weights=None, classifier_activation=None, classes=CLASSES)
    images, labels = _random(batch)
    return (model, keras.optimizers.RMSprop(0.045, **RMSPROP),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            tf.constant(images), tf.constant(labels))


def timm_network(batch):
    """timm's network and PyTorch's RMSprop, channels last."""
    import torch

    from benchmarks.peers import import_timm

    model = import_timm().create_model("inception_resnet_v2", pretrained=False).train()
    model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.RMSprop(model.parameters(), 0.045, alpha=RMSPROP["rho"],
                                    momentum=RMSPROP["momentum"], eps=RMSPROP["epsilon"])
    images, labels = _random(batch)
    images = torch.from_numpy(images).permute(0, 3, 1, 2)  # as channels last
    labels = torch.from_numpy(labels).long()

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step, batch


def _random(batch):
    import numpy as np

    random = np.random.default_rng(0)
    images = random.uniform(-1, 1, (batch, SIZE, SIZE, 3)).astype(np.float32)
    return images, random.integers(0, CLASSES, batch).astype(np.int32)


CASES = {f.__name__: f for f in (
    ours, ours_remat, ours_bfloat16, tiny, demo, keras_function, keras_bfloat16, keras_fit,
    timm_network)}

# Purpose of an operation "name:type": the first pattern that matches.
PARTS = {
    # Those of 1x1 are matrix products.
    "convolution": r":(Conv2D\w*|_FusedConv2D|\w*oneDNN\w*Conv2D\w*|_MklNative\w*Conv2D\w*"
                   r"|\w*MatMul\w*)$",
    "optimizer": r":ResourceApply(RMSProp|Momentum)$",
    "averages": r"cond/.*:(ResourceApplyGradientDescent|Sub|ReadVariableOp)$",
    "batch statistics": r"cond/.*:AssignVariableOp$",
    "batch norm": r"_bn(_\d+)?/",
    "activations": r":(Relu|ReluGrad)$",
    "clip, decay, finite": r"^(mul|add|AddN|L2Loss|IsFinite|concat|All|global_norm)[\w/]*:"
                           r"(Mul|AddV2|AddN|L2Loss|IsFinite|ConcatV2|All|Sqrt)$",
}


def shares(step):
    """Part of a step -> its share of the time of all operations (TensorFlow's profiler)."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        options = tf.profiler.experimental.ProfilerOptions(python_tracer_level=0)
        with tf.profiler.experimental.Profile(folder, options):
            step()
        (path,) = Path(folder).rglob("*.xplane.pb")
        seconds = _seconds_of_parts(path.read_bytes())
    total = sum(seconds.values())
    return {part: value / total for part, value in seconds.most_common()}


def _seconds_of_parts(profile):
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    seconds = collections.Counter()
    for plane in xplane_pb2.XSpace.FromString(profile).planes:
        for event in (event for line in plane.lines if line.name.startswith("tf_Compute")
                      for event in line.events):
            kind = plane.event_metadata[event.metadata_id]
            if kind.display_name and ":" in kind.name:
                seconds[part_of(kind.name)] += event.duration_ps / 1e12
    return seconds


def part_of(operation):
    """The part of a step that an operation "name:type" belongs to."""
    return next((part for part, form in PARTS.items() if re.search(form, operation)), "rest")
