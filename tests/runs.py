"""Folders as training leaves them, with networks that were never trained."""

from pathlib import Path

import keras
import numpy as np

from inception_tf.config import preset
from inception_tf.runs import checkpoint
from inception_tf.runs.folder import CHECKPOINTS
from inception_tf.runs.network import build_network
from tests.pictures import write_image_folder

SERVED_CLASSES = [f"class_{i}" for i in range(5)]


def write_run(folder, class_names, seed=0, prepare=None, **settings):
    """A run's folder with a checkpoint of a tiny network of random weights; returns the folder.

    The averaged weights are the raw ones; `settings` are config fields over the tiny preset,
    and `prepare` is called with the model before its weights are taken.
    """
    config = preset("tiny").replace(model_dir=str(folder), **settings)
    keras.utils.set_random_seed(seed)
    model = build_network(config.network, len(class_names), aux_head=False)
    if prepare:
        prepare(model)
    arrays = {f"{kind}/{v.path}": v.numpy() for v in model.weights for kind in ("weights", "ema")}
    checkpoint.save(Path(folder) / CHECKPOINTS, 1, arrays, {
        "config": config.to_json(), "class_names": list(class_names),
        "data": {"name": "folder", "fingerprint": ""}, "bad_examples": {}})
    (Path(folder) / "config.json").write_text(config.to_json())
    return folder


def randomize_statistics(model, seed=0):
    """Batch statistics and biases away from 0 and 1, so that folding them has something to do."""
    generator = np.random.default_rng(seed)
    for weight in model.weights:
        if weight.path.endswith(("beta", "moving_mean", "bias")):
            weight.assign(generator.normal(0, 0.3, weight.shape))
        elif weight.path.endswith(("gamma", "moving_variance")):
            weight.assign(generator.uniform(0.5, 2.0, weight.shape))


def write_served_run(folder):
    """FOLDER/run on pictures in FOLDER/images, with a background class and statistics to fold."""
    write_image_folder(folder / "images", {"train": 12, "validation": 13})
    return write_run(folder / "run", SERVED_CLASSES, prepare=randomize_statistics, dataset="folder",
                     data_dir=str(folder / "images"), background_class=True)
