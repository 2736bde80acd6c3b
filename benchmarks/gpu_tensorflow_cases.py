"""What one process of benchmarks/gpu_tensorflow.py measures; its profile: gpu_profile.py.

A case is a function of its row's settings and `quick`; it returns seconds of a pass or an update
and how many images that had, or, where something else is measured, what it found in words.
"""

import functools
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks import harness
from benchmarks.gpu_profile import device_profile

CLASSES = 1000
# Passes that are timed together, whole calls of any row, and how often.
PASSES, TURNS = 16, 5
PROFILED = 8
SMALL = {"width": 0.07, "repeats": (1, 1, 1), "image_size": 75}


def training(net, batch, quick, strategy="one", images="bytes", profile=False, **execution):
    """Updates as training makes them, of batches in the host's memory.

    execution: precision, whether with XLA, whether deterministic, updates a call.
    """
    batch = 2 if quick else batch
    step, batches = _step(net, batch, strategy, images, quick, **execution)
    return _timed(functools.partial(updates, step, batches), quick, profile) | {
        "host_ms": host_ms(step, batches, 2 if quick else PASSES),
        "images": batch, "multiply_adds": 3 * multiply_adds(step.replica_pass.model)}


def host_ms(step, batches, count):
    """Medians of what the host spends on an update: "dispatch", then "rows", waiting for one.

    Where waiting is short the device waits for the host.
    """
    times, one = [], _call_of(step, batches)
    ahead = step.dispatch(one)
    with harness.device_lock(alone=True):
        for _ in range(-(-count // len(one))):
            call, started = ahead, time.perf_counter()
            ahead = step.dispatch(one)
            sent = time.perf_counter()
            call.rows()
            times.append((sent - started, time.perf_counter() - sent))
        ahead.rows()
    return {name: 1e3 * statistics.median(column) / len(one)
            for name, column in zip(("dispatch", "rows"), zip(*times, strict=True), strict=True)}


def updates(step, batches, count):
    """`count` updates, in whole calls, as the training loop makes them: one call ahead."""
    one = _call_of(step, batches)
    ahead = step.dispatch(one)
    for _ in range(-(-count // len(one)) - 1):
        call, ahead = ahead, step.dispatch(one)
        call.rows()
    ahead.rows()


def _call_of(step, batches):
    """The batches of one call."""
    return [[batches[i % len(batches)]] for i in range(step.steps_per_call)]


def _step(net, batch, strategy, images, quick, precision, xla, steps_per_call=1, **execution):
    """(TrainStep of the paper's recipe without the auxiliary head, two batches)."""
    import keras

    from inception_tf.config import preset
    from inception_tf.runs.network import build_network
    from inception_tf.runtime.cluster import ALONE
    from inception_tf.runtime.devices import make_strategy, set_arithmetic
    from inception_tf.training.schedule import Schedule
    from inception_tf.training.state import TrainState
    from inception_tf.training.step import TrainStep

    config = preset("paper").replace(
        net=net, global_batch=batch, replica_batch=batch, precision=precision,
        xla="on" if xla else "off", aux_head=False, **execution, **(SMALL if quick else {}))
    set_arithmetic(config.execution.deterministic, config.execution.tf32)
    keras.utils.set_random_seed(0)
    strategy = make_strategy(strategy, ALONE)
    with strategy.scope():
        model = build_network(config.network, CLASSES, precision=precision)
    state = TrainState(strategy, model, config.optimization, precision)
    step = TrainStep(strategy, model, state, Schedule(config.optimization, 1_281_167), 0,
                     config.execution, config.data.color, steps_per_call)
    return step, [_batch(batch, config.network.image_size, images, seed) for seed in range(2)]


def _batch(count, size, images, seed):
    """A training batch on the host: bytes with the draws of their colours, or floats."""
    import numpy as np
    import tensorflow as tf

    from inception_tf.data.color import NUM_DRAWS

    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (count, size, size, 3), np.uint8)
    batch = {"label": random.integers(0, CLASSES, count).astype(np.int32),
             "weight": np.ones(count, np.float32)}
    batch |= ({"image": pixels, "draws": random.random((count, NUM_DRAWS), np.float32)}
              if images == "bytes" else {"image": (pixels / 127.5 - 1).astype(np.float32)})
    with tf.device("CPU:0"):
        return {name: tf.constant(value) for name, value in batch.items()}


def inference(net, batch, precision, xla, quick, profile=False):
    """Logits of float images that are on the device."""
    import keras
    import tensorflow as tf

    from inception_tf import nets

    keras.config.set_dtype_policy(precision)
    batch = 2 if quick else batch
    size = SMALL["image_size"] if quick else 299
    small = {name: SMALL[name] for name in ("width", "repeats")} if quick else {}
    model = nets.build(net, input_shape=(size, size, 3), classes=CLASSES,
                       classifier_activation=None, **small)
    images = tf.cast(tf.random.uniform([batch, size, size, 3], -1, 1), precision)
    logits = tf.function(lambda x: model(x, training=False), jit_compile=xla, autograph=False)

    def passes(count):
        for _ in range(count):
            last = logits(images)
        last.numpy()

    return _timed(passes, quick, profile) | {"images": batch, "multiply_adds": multiply_adds(model)}


def saved_model(net, quick, sizes=(1, 8, 64)):
    """Our SavedModel of random weights, loaded again: float images in, probabilities out."""
    import tensorflow as tf

    from inception_tf.config import Config
    from inception_tf.runs.network import build_network
    from inception_tf.serving import runtimes
    from inception_tf.serving.classifier import Classifier
    from inception_tf.serving.saved_model.network import ServedNetwork
    from inception_tf.serving.saved_model.signatures import Signatures, save

    config = Config().replace(net=net, aux_head=False, **(SMALL if quick else {}))
    model = build_network(config.network, CLASSES)
    names = tuple(map(str, range(CLASSES)))
    classifier = Classifier(model, config.network, config.data, names, "raw", {})
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder), Signatures(classifier, ServedNetwork(model)))
        call = runtimes.load(Path(folder), "savedmodel")
    size, rows = config.network.image_size, {}
    for batch in sizes:
        images = tf.random.uniform([batch, size, size, 3], -1, 1).numpy()
        found = _timed(lambda count, images=images: [call(images) for _ in range(count)], quick)
        rows[str(batch)] = {"images_per_second": harness.spread(
            [batch / s for s in found["seconds"]]), **found}
    return {"batches": rows, "says": ", ".join(
        f"batch {batch}: {row['images_per_second']['median']:.1f} images/s"
        for batch, row in rows.items())}


def _timed(passes, quick, profile=False):
    """Seconds of a pass (of `passes`, which takes their number), first call, profile."""
    with harness.device_lock(alone=False):
        first = harness.clocked(lambda: passes(1))["wall"]
    found = {"seconds": [first], "first_call_seconds": first}
    with harness.device_lock(alone=True):
        if not quick:
            passes(PASSES)
            found["seconds"] = [harness.clocked(lambda: passes(PASSES))["wall"] / PASSES
                                for _ in range(TURNS)]
        found["peak_mib"] = device_peak_mib()
        if profile:
            found["profile"] = device_profile(lambda: passes(PROFILED), PROFILED)
    return found


def multiply_adds(model):
    """Of an image through the network."""
    from inception_tf.nets.anatomy import parts

    return sum(part.multiply_adds for part in parts(model))


def device_peak_mib():
    """Peak of the GPU's memory in use; on a CPU that of the process."""
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        return harness.peak_mib()
    return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20


def device():
    """The first GPU's name, or "cpu"."""
    import tensorflow as tf

    found = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_device_details(found[0])["device_name"] if found else "cpu"


def matrix_tflops(quick):
    """TFLOP/s of a bfloat16 product of random matrices."""
    import tensorflow as tf

    side = 256 if quick else 8192
    matrix = tf.cast(tf.random.normal([side, side]), "bfloat16")

    def products(count):
        for _ in range(count):
            last = matrix @ matrix
        last[0, 0].numpy()

    products(1)
    with harness.device_lock(alone=True):
        seconds = min(harness.clocked(lambda: products(PASSES))["wall"] for _ in range(TURNS))
    return 2 * side**3 * PASSES / seconds / 1e12


def answer(case, settings, quick):
    """What a row's process found, with its device (and its rate, for images): JSON-able.

    Raises: RuntimeError when TensorFlow lists no GPU, unless `quick`.
    """
    from inception_tf.commands.shell import import_tensorflow

    started = time.perf_counter()
    import_tensorflow()
    import tensorflow as tf

    if not quick and not tf.config.list_physical_devices("GPU"):
        raise RuntimeError(NO_GPU)
    found = case(**settings, quick=quick)
    rate = {"matrix_tflops": matrix_tflops(quick)} if "images" in found else {}
    return {"device": device(), "process_seconds": time.perf_counter() - started, **found, **rate}


NO_GPU = "TensorFlow lists no GPU"
