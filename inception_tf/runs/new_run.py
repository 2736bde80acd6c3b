"""A run's folder that no training wrote: weights that were averaged or came from elsewhere."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from inception_tf.config import Config, Network
from inception_tf.nets.imagenet import imagenet_classes
from inception_tf.runs import checkpoint
from inception_tf.runs.folder import checkpoints_of, write_config
from inception_tf.runtime.files import new_folder
from inception_tf.weights.card import Facts
from inception_tf.weights.matching import Conversion
from inception_tf.weights.readers import hashes


def write_run_folder(folder: str, config: Config, step: int, arrays: Mapping[str, np.ndarray],
                     entries: Mapping[str, Any]) -> None:
    """Writes config.json and one checkpoint into `folder`, which is complete or absent.

    Args:
        folder: must not exist yet.
        config: Config of the network and its data; its model_dir becomes `folder`.
        step: number of the checkpoint.
        arrays: "weights/..." and "ema/..." of every weight.
        entries: of the manifest: class_names, data, and origin, by which training knows that
            there is no run to resume.

    Raises: StorageError when it cannot be written.
    """
    config = config.replace(model_dir=str(folder))
    with new_folder(folder) as aside:
        checkpoint.save(checkpoints_of(aside), step, arrays, {
            "config": config.to_json(), "bad_examples": {}, **entries})
        write_config(aside, config)


# Training counts from one: nothing was trained here.
STEP = 0


def facts_of(conversion: Conversion, network: Network) -> Facts:
    """Facts of what a Conversion gives: its network, crops and classes.

    `network` is the config.Network whose width and image size were asked for. Where the
    classes may be ImageNet's, that is what `eval` takes unless told otherwise.
    """
    source = conversion.source
    background = conversion.classes == 1001
    config = Config(network=network).replace(
        dataset="imagenet2012" if _may_be_imagenet(conversion.classes) else "folder",
        background_class=background, batch_norm_gamma=conversion.gamma,
        **conversion.preprocessing)
    origin = {"source": source, "files": hashes(conversion.path),
              "averaged": bool(conversion.averages)}
    if conversion.address:
        origin["address"] = conversion.address
    return Facts(config, _class_names_of(conversion.classes), origin)


def _class_names_of(num_outputs):
    """ImageNet's WordNet ids of 1000 or 1001 outputs; numbers of any other count."""
    if _may_be_imagenet(num_outputs):
        return tuple(wordnet_id for wordnet_id, _ in imagenet_classes())
    return tuple(map(str, range(num_outputs)))


def _may_be_imagenet(num_outputs):
    return num_outputs in (1000, 1001)


def converted_origin(origin: dict[str, Any] | None) -> dict[str, Any] | None:
    """The part of a run's `origin` that `facts_of` wrote, also behind an average; None: trained."""
    while origin and "source" not in origin:
        origin = origin.get("origin")
    return origin


def write_run(folder: str, conversion: Conversion, facts: Facts) -> None:
    """Writes a run's folder with a checkpoint of step 0; it is complete or absent.

    The checkpoint holds the weights themselves as "raw" and, where the file has none,
    again as "ema": published weights are what their makers scored.

    Raises: StorageError when it cannot be written.
    """
    arrays = {prefix + path: array for kind, prefix in checkpoint.PREFIXES.items()
              for path, array in conversion.arrays(averaged=kind == "ema").items()}
    write_run_folder(folder, facts.config, STEP, arrays, {
        "class_names": list(facts.class_names),
        "data": {"name": "", "fingerprint": ""},  # files do not say what they were trained on
        "origin": facts.origin})
