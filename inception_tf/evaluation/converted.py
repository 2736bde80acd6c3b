"""Converted weights as a run's folder: scored, exported and fine-tuned like one of training."""

import os
import secrets
import shutil
from pathlib import Path

from inception_tf.config import Config
from inception_tf.errors import StorageError
from inception_tf.evaluation.models import CHECKPOINTS, CONFIG
from inception_tf.nets.predictions import imagenet_classes
from inception_tf.runtime import checkpoint
from inception_tf.runtime.writers import write_atomically
from inception_tf.weights.facts import Facts
from inception_tf.weights.preprocessing import preprocessing_of
from inception_tf.weights.readers import hashes

# Training counts from one: nothing was trained here.
STEP = 0


def facts_of(conversion, network, path):
    """Facts of what a Conversion of the file at `path` gives: its network, crops and classes.

    `network` is the config.Network whose width and image size were asked for.
    """
    source = conversion.source
    background = conversion.classes == 1001
    config = Config(network=network).replace(
        dataset="imagenet2012", background_class=background, batch_norm_gamma=conversion.gamma,
        **preprocessing_of(source, conversion.net))
    origin = {"source": source, "files": hashes(source, path),
              "averaged": bool(conversion.averages)}
    return Facts(config, class_names_of(conversion.classes), origin)


def class_names_of(num_outputs):
    """ImageNet's WordNet ids of 1000 or 1001 outputs; numbers of any other count."""
    if num_outputs in (1000, 1001):
        return tuple(wordnet_id for wordnet_id, _ in imagenet_classes())
    return tuple(map(str, range(num_outputs)))


def write_run(folder, conversion, facts):
    """Writes config.json and a checkpoint of step 0; the folder is complete or absent.

    The checkpoint holds the weights themselves as "raw" and, where the file has none,
    again as "ema": published weights are what their makers scored.

    Raises: StorageError when it cannot be written.
    """
    config = facts.config.replace(model_dir=folder)
    aside = Path(f"{folder.rstrip('/')}.unfinished-{secrets.token_hex(4)}")
    arrays = {f"{kind}/{path}": array for kind in ("weights", "ema")
              for path, array in conversion.arrays(averaged=kind == "ema").items()}
    try:
        checkpoint.save(aside / CHECKPOINTS, STEP, arrays, {
            "config": config.to_json(), "class_names": list(facts.class_names),
            "data": {"name": config.data.dataset, "fingerprint": ""}, "bad_examples": {},
            "origin": facts.origin})
        write_atomically(aside / CONFIG, config.to_json())
        os.rename(aside, folder)
    except OSError as error:
        raise StorageError(f"--output={folder!r} could not be written: {error}") from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)
