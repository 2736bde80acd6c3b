"""Weights averaged over checkpoints, and batch statistics measured anew on training images."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from inception_tf.data.batches import training_batches
from inception_tf.data.sources import open_source
from inception_tf.errors import CheckpointError, UsageError
from inception_tf.evaluation.models import CHECKPOINTS, build_network
from inception_tf.evaluation.run_folder import write_run_folder
from inception_tf.runtime import checkpoint
from inception_tf.runtime.progress import bar

# The sets of weights a checkpoint holds.
SETS = ("weights", "ema")
BATCH_SIZE = 32


def average_newest(model_dir, last):
    """(arrays, manifests) of the mean of the `last` newest checkpoints of a run, set by set.

    Raises:
        UsageError: it has fewer checkpoints.
        CheckpointError: one of them is damaged; says which.
    """
    root = Path(model_dir) / CHECKPOINTS
    steps = checkpoint.steps(root)[-last:]
    if last < 1 or len(steps) < last:
        raise UsageError(f"--last={last}: --model_dir={model_dir} has {len(steps)} checkpoints; "
                         "train with a larger --keep, or ask for fewer")
    sums, manifests = {}, []
    for step in steps:
        arrays, manifest = checkpoint.load(root, step)
        _add(sums, arrays, checkpoint.folder_of(root, step))
        manifests.append(manifest)
    means = {name: (total / last).astype(np.float32) for name, total in sums.items()}
    return means, manifests


def recalibrated(config, arrays, num_images):
    """`arrays` with the batch statistics that `num_images` training images have.

    The images are the first of the run's own stream, distorted as in training. Each batch
    gives every layer's mean and variance in training mode; their plain averages replace the
    moving ones, for raw and averaged weights each.

    Raises:
        UsageError: the training split is not there, or has fewer classes or images.
    """
    source = open_source(config.data, config.data.train_split)
    if not BATCH_SIZE <= num_images <= source.num_examples:
        raise UsageError(f"--recalibrate_images={num_images} is outside {BATCH_SIZE} to the "
                         f"{source.num_examples} images of {source.name}/{source.split}")
    replaced = dict(arrays)
    for kind in SETS:
        statistics = _statistics(config, source, arrays, kind, num_images // BATCH_SIZE)
        replaced |= {f"{kind}/{path}": value for path, value in statistics.items()}
    return replaced


def write(folder, config, arrays, manifests, num_images):
    """A run's folder of averaged weights, as the step of the newest checkpoint in them."""
    newest = manifests[-1]
    origin = {
        "averaged": [{"step": m["step"], "sha256": m["files"][checkpoint.ARRAYS]["sha256"]}
                     for m in manifests],
        "recalibrated_on_images": num_images,
    }
    write_run_folder(folder, config, newest["step"], arrays, {
        "class_names": newest["class_names"], "data": newest["data"], "origin": origin})


def _add(sums, arrays, folder):
    kept = {name: a for name, a in arrays.items() if name.partition("/")[0] in SETS}
    if sums and {n: a.shape for n, a in kept.items()} != {n: a.shape for n, a in sums.items()}:
        raise CheckpointError(f"{folder} holds another network than the ones after it")
    for name, array in kept.items():
        sums[name] = sums.get(name, 0.0) + array.astype(np.float64)


def _statistics(config, source, arrays, kind, num_batches):
    """Path -> mean over batches of the batch's own statistic."""
    # With a momentum of zero the moving statistics after a batch are that batch's.
    network = config.replace(batch_norm_momentum=0.0, batch_norm="own").network
    model = build_network(network, source.num_classes)
    model_weights = {v.path: v for v in model.weights}
    for path, variable in model_weights.items():
        variable.assign(arrays[f"{kind}/{path}"])
    moving = [path for path in model_weights if path.endswith(("/moving_mean", "/moving_variance"))]

    @tf.function
    def batch_statistics(images):
        model(images, training=True)
        return [tf.identity(model_weights[path].value) for path in moving]

    sums = [np.zeros(model_weights[path].shape, np.float64) for path in moving]
    stream = training_batches(
        source, config.data, seed=config.runtime.seed, batch_size=BATCH_SIZE,
        image_size=network.image_size, num_classes=source.num_classes)
    for _ in bar(range(num_batches), num_batches, "batch", f"statistics of {kind}"):
        for total, value in zip(sums, batch_statistics(next(stream)["image"]), strict=True):
            total += value.numpy()
    stream.close()
    return {path: (total / num_batches).astype(np.float32)
            for path, total in zip(moving, sums, strict=True)}
