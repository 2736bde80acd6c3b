"""Weights averaged over checkpoints, and batch statistics measured again on training images."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inception_tf.config import Config
from inception_tf.data.batches import training_batches
from inception_tf.data.open import open_source
from inception_tf.errors import UsageError
from inception_tf.runs import checkpoint
from inception_tf.runs.choice import steps_to_try
from inception_tf.runs.folder import checkpoints_of
from inception_tf.runs.network import build_network, load_weights, refuse_false_claims
from inception_tf.runs.new_run import write_run_folder
from inception_tf.runtime.progress import bar

BATCH_SIZE = 32


def average_last(model_dir: str, last: int, which: str = "newest",
                 ) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    """(arrays, manifests) of the mean of `last` checkpoints of a run, set by set.

    The newest of them is `which` ("newest", "best" or a step); the others are those before it.

    Raises:
        UsageError: it has fewer checkpoints, or they are of different networks.
        CheckpointError: one of them is damaged; says which.
    """
    if last < 1:
        raise UsageError(f"--last={last} is below 1")
    root = checkpoints_of(model_dir)
    newest = steps_to_try(root, which)[0]
    steps = [step for step in checkpoint.steps(root) if step <= newest][-last:]
    if len(steps) < last:
        raise UsageError(f"--last={last}: --model_dir={model_dir} has {len(steps)} checkpoints up "
                         f"to step {newest}; train with a larger --keep, or ask for fewer")
    sums, manifests = {}, []
    for step in bar(steps, len(steps), "checkpoint", "average"):
        arrays, manifest = checkpoint.load(root, step)
        manifests.append(manifest)
        _refuse_other_network(manifests, checkpoint.folder_of(root, step))
        for name, array in arrays.items():
            if name.startswith(tuple(checkpoint.PREFIXES.values())):
                sums[name] = sums.get(name, 0.0) + array.astype(np.float64)
    means = {name: (total / last).astype(np.float32) for name, total in sums.items()}
    return means, manifests


def recalibrated(config: Config, arrays: Mapping[str, np.ndarray], num_images: int,
                 ) -> dict[str, np.ndarray]:
    """`arrays` with the batch statistics that `num_images` training images have.

    The images are the first of the run's own stream, distorted as in training. In training
    mode each batch gives every layer's mean and variance; pooled over all batches they
    replace the moving ones, for raw and averaged weights each.

    Raises:
        UsageError: the training split is not there, or has fewer classes or images.
    """
    source = open_source(config.data, config.data.train_split)
    if not 0 < num_images <= source.num_examples or num_images % BATCH_SIZE:
        raise UsageError(f"--recalibrate_images={num_images} is not a multiple of {BATCH_SIZE} up "
                         f"to the {source.num_examples} images of {source.name}/{source.split}")
    replaced = dict(arrays)
    for kind in ("raw", "ema"):
        replaced |= _statistics(config, source, arrays, kind, num_images // BATCH_SIZE)
    return replaced


def write(folder: str, config: Config, arrays: Mapping[str, np.ndarray],
          manifests: Sequence[Mapping[str, Any]], num_images: int) -> None:
    """A run's folder of averaged weights, as the step of the newest checkpoint in them.

    Args:
        folder: must not exist yet.
        config: of the run that was averaged.
        arrays: from `average_last` or `recalibrated`.
        manifests: from `average_last`.
        num_images: that the batch statistics were measured on; 0 where they were not.
    """
    newest = manifests[-1]
    origin = {
        "averaged": [{"step": m["step"], "sha256": m["files"][checkpoint.ARRAYS]["sha256"]}
                     for m in manifests],
        "recalibrated_on_images": num_images,
        **({"origin": newest["origin"]} if "origin" in newest else {}),
    }
    write_run_folder(folder, config, newest["step"], arrays, {
        "class_names": newest["class_names"], "data": newest["data"], "origin": origin})


def _refuse_other_network(manifests, folder):
    """Sums of equal names can still be of different networks: scales, order of classes."""
    facts = [(Config.from_json(m["config"], "manifest").network, m["class_names"])
             for m in (manifests[0], manifests[-1])]
    if facts[0] != facts[1]:
        raise UsageError(f"{folder} holds another network than the checkpoint before it")


def _statistics(config, source, arrays, kind, num_batches):
    """Name of an array -> statistic over all batches, whose means differ: that is variance too."""
    # With a momentum of zero the moving statistics after a batch are that batch's.
    network = config.replace(batch_norm_momentum=0.0, batch_norm="own").network
    refuse_false_claims(network, source.num_classes, [a.shape for a in arrays.values()],
                        config.runtime.model_dir)
    model = build_network(network, source.num_classes)
    load_weights(model, arrays, kind)
    layers = [v for v in model.layers if isinstance(v, keras.layers.BatchNormalization)]

    @tf.function(autograph=False)
    def batch_statistics(images):
        model(images, training=True)
        return [(tf.identity(v.moving_mean.value), tf.identity(v.moving_variance.value))
                for v in layers]

    with training_batches(
            source, config.data, seed=config.runtime.seed, batch_size=BATCH_SIZE,
            image_size=network.image_size, num_classes=source.num_classes,
            label_offset=int(network.background_class)) as stream:
        seen = [batch_statistics(next(stream)["image"])
                for _ in bar(range(num_batches), num_batches, "batch", f"{kind} statistics")]
    pooled, prefix = {}, checkpoint.PREFIXES[kind]
    for layer, batches in zip(layers, zip(*seen, strict=True), strict=True):
        means, variances = (np.array([b[i] for b in batches], np.float64) for i in (0, 1))
        pooled[prefix + layer.moving_mean.path] = means.mean(0)
        pooled[prefix + layer.moving_variance.path] = variances.mean(0) + means.var(0)
    return {name: value.astype(np.float32) for name, value in pooled.items()}
