"""One central crop per image: the score of a run's folder on a whole split."""

import time
from pathlib import Path

from inception_tf.data.batches import scoring_batches
from inception_tf.data.crops import preprocessing_of
from inception_tf.data.sources import open_source
from inception_tf.errors import UsageError
from inception_tf.evaluation.accuracy import Scorer
from inception_tf.evaluation.models import (
    CHECKPOINTS,
    build_network,
    load_weights,
    read_config,
)
from inception_tf.runtime import checkpoint
from inception_tf.runtime.progress import bar, log
from inception_tf.runtime.strategy import make_strategy


def score_folder(given, weights="ema", batch_size=32):
    """Scores the newest valid checkpoint of a run on its validation split.

    Args:
        given: config fields that override the run's own, model_dir among them.
        weights: "ema" or "raw".
        batch_size: images per pass over all devices.

    Returns:
        dict: network, dataset, split, step, weights, top1_error, top5_error,
        cross_entropy, num_examples, images_per_second, checkpoint_sha256.

    Raises:
        UsageError: no run there, no such data, or classes that differ.
    """
    model_dir = given.get("model_dir", "runs/demo")
    config = read_config(model_dir).replace(**given)
    strategy = make_strategy(config.runtime.strategy)
    if batch_size < 1 or batch_size % strategy.num_replicas_in_sync:
        raise UsageError(f"--batch_size={batch_size} is not a positive multiple of "
                         f"{strategy.num_replicas_in_sync} devices")
    source = open_source(config.data, config.data.eval_split)
    found = checkpoint.load_newest(Path(model_dir) / CHECKPOINTS, log.warning)
    if found is None:
        raise UsageError(f"--model_dir={model_dir} has no checkpoint yet")
    arrays, manifest = found
    _check_classes(source, manifest, config.data.dataset)
    with strategy.scope():
        model = build_network(config.network, source.num_classes, aux_head=False)
        load_weights(model, arrays, weights)
    started = time.monotonic()
    rates = _score(strategy, model, source, config, batch_size)
    return {
        "model_dir": str(model_dir),
        "network": config.network.net,
        "dataset": config.data.dataset,
        "split": config.data.eval_split,
        "step": manifest["step"],
        "weights": weights,
        **rates,
        "images_per_second": source.num_examples / (time.monotonic() - started),
        "checkpoint_sha256": manifest["files"][checkpoint.ARRAYS]["sha256"],
    }


def _score(strategy, model, source, config, batch_size):
    stream = scoring_batches(
        source, config.data, preprocessing=preprocessing_of(config.network, config.data),
        num_classes=source.num_classes,
        label_offset=int(config.network.background_class),
        batch_size=batch_size)
    scorer = Scorer(strategy, {"model": lambda images: model(images, training=False)})
    total = -(-source.num_examples // batch_size)
    batches = bar(stream, total, "batch", config.data.eval_split)
    return scorer.score(batches, source.num_examples)["model"]


def _check_classes(source, manifest, dataset):
    trained = manifest["class_names"]
    if len(trained) != source.num_classes:
        raise UsageError(f"--dataset={dataset} has {source.num_classes} classes, the checkpoint "
                         f"was trained on {len(trained)}")
    for number, (ours, theirs) in enumerate(zip(trained, source.class_names, strict=True)):
        if ours != theirs:
            raise UsageError(f"--dataset={dataset}: class {number} is {theirs!r}, the checkpoint "
                             f"was trained with {ours!r}")
