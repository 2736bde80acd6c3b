"""Folders as training leaves them, with networks that were never trained."""

from pathlib import Path

import keras

from inception_tf.config import preset
from inception_tf.evaluation.models import CHECKPOINTS, build_network
from inception_tf.runtime import checkpoint


def write_run(folder, class_names, seed=0, **settings):
    """A run's folder with a checkpoint of a tiny network of random weights; returns the folder.

    The averaged weights are the raw ones; `settings` are config fields over the tiny preset.
    """
    config = preset("tiny").replace(model_dir=str(folder), **settings)
    keras.utils.set_random_seed(seed)
    model = build_network(config.network, len(class_names), aux_head=False)
    arrays = {f"{kind}/{v.path}": v.numpy() for v in model.weights for kind in ("weights", "ema")}
    checkpoint.save(Path(folder) / CHECKPOINTS, 1, arrays, {
        "config": config.to_json(), "class_names": list(class_names),
        "data": {"name": "folder", "fingerprint": ""}, "bad_examples": {}})
    (Path(folder) / "config.json").write_text(config.to_json())
    return folder
