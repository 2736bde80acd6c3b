"""A run that starts from the weights of another network: fine-tuning (`--init_from`)."""

import dataclasses
import logging
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from inception_tf.config import Config
from inception_tf.errors import UsageError, usage_errors_of
from inception_tf.networks import STAGES, stage_of
from inception_tf.runs import checkpoint
from inception_tf.runs.choice import NEWEST, load_chosen
from inception_tf.runs.folder import CONFIG, checkpoints_of, read_config
from inception_tf.runs.network import refuse_false_claims
from inception_tf.weights.arrays import Refused, Stored, read
from inception_tf.weights.card import read_facts
from inception_tf.weights.keras_file import ENDINGS, keras_arrays

log = logging.getLogger("inception_tf")

# What the weights decide of a run's config, unless flags say otherwise.
CARRIED = (
    "net", "image_size", "width", "repeats", "residual_scales", "final_batch_norm", "aux_head",
    "batch_norm_gamma", "pool_counts_padding", "crop_fraction", "interpolation", "pixel_centers",
    "antialias",
)


def with_settings_carried(config: Config, given: Mapping[str, Any]) -> Config:
    """`config` with the network and the preprocessing that belong to its --init_from.

    `given` are the fields that were flags: they stay, and so do all where --init_from says
    nothing of itself. A run that resumes takes them from its own config.json: the file it
    started from may be gone.

    Raises: UsageError when --init_from cannot be read.
    """
    if not config.network.init_from:
        if config.network.init_checkpoint != NEWEST:
            raise UsageError("--init_checkpoint has no use without --init_from=FOLDER")
        return config
    network = config.network
    theirs = (_own_config(config) or _config_of(network.init_from, network.init_checkpoint)
              or config)
    carried = {field.name: getattr(group, field.name) for group in (theirs.network, theirs.data)
               for field in dataclasses.fields(group)
               if field.name in CARRIED and field.name not in given}
    return config.replace(**carried)


def _config_of(path, which):
    """The Config that belongs to what --init_from names; None, with a warning, without one."""
    with usage_errors_of(Refused):
        config, arrays, class_names = _read(path, which)
    if config is None:
        log.warning("%s does not say which network it is, nor how its images were cut: flags "
                    "and presets decide", path)
        return None
    refuse_false_claims(config.network, len(class_names),
                        [array.shape for array in arrays.values()], path)
    return config


def start_new_run(config: Config, model: keras.Model, class_names: Sequence[str]) -> None:
    """`start_from` --init_from, in a run that has no checkpoint of its own yet; logs the table."""
    path = config.network.init_from
    if path and not checkpoint.steps(checkpoints_of(config.runtime.model_dir)):
        log.info(start_from(path, model, class_names, config.network.init_checkpoint))


def start_from(path: str, model: keras.Model, class_names: Sequence[str],
               which: str = NEWEST) -> str:
    """Puts the weights at `path` into `model`; classifiers of other classes stay new.

    Of a run's folder these are the averaged weights.

    Args:
        path: the flag --init_from.
        model: network of the new run, with logits as outputs.
        class_names: of the data it will be trained on.
        which: of a run's checkpoints: "newest", "best" or a step.

    Returns:
        str: a table of what was loaded, by stage.

    Raises: UsageError for weights of another network; the model is then untouched.
    """
    with usage_errors_of(Refused):
        _, arrays, theirs = _read(path, which)
        found, new = _matched(path, model, arrays, _why_new_head(theirs, class_names))
        numbers = {name: read(arrays, name) for name in found}
    for variable in model.weights:
        if variable.path in numbers:
            variable.assign(numbers[variable.path])
    return _table(path, model, found, new)


def _own_config(config):
    folder = Path(config.runtime.model_dir)
    if not checkpoint.steps(checkpoints_of(folder)) or not (folder / CONFIG).is_file():
        return None
    own = read_config(folder)
    return own if own.network.init_from == config.network.init_from else None


def _read(path, which):
    """(Config or None, name -> Stored, class names or none) of what --init_from names."""
    if os.path.isdir(path):
        config = read_config(path, "--init_from")
        arrays, manifest = load_chosen(checkpoints_of(path), which, "--init_checkpoint")
        prefix = checkpoint.PREFIXES["ema"]
        stored = {name.removeprefix(prefix): Stored(array.shape, lambda array=array: array)
                  for name, array in arrays.items() if name.startswith(prefix)}
        return config, stored, manifest["class_names"]
    if not path.endswith(ENDINGS):
        raise UsageError(f"--init_from={path!r}: give a .keras or .weights.h5 file, or a run's "
                         "folder")
    if which != NEWEST:
        raise UsageError(f"--init_checkpoint={which} has no use: --init_from={path} is one file")
    facts, stored = read_facts(path), keras_arrays(path)
    return (facts.config, stored, facts.class_names) if facts else (None, stored, ())


def _why_new_head(theirs, ours):
    """Why the classifiers do not fit; "" when their classes are those of the data."""
    if not theirs:
        return "its classes are not known"
    if len(theirs) != len(ours):
        return f"{len(ours)} classes, there {len(theirs)}"
    differing = [pair for pair in zip(ours, theirs, strict=True) if pair[0] != pair[1]]
    return f"class {differing[0][0]!r}, there {differing[0][1]!r}" if differing else ""


def _matched(path, model, arrays, why_new_head):
    """(paths to load, path -> why it is new) of the model's weights."""
    found, new = [], {}
    has_aux = any(name.startswith("aux_") for name in arrays)
    for weight in model.weights:
        name, shape = weight.path, tuple(weight.shape)
        there = arrays[name].shape if name in arrays else None
        if _is_classifier(name) and (why_new_head or there != shape):
            new[name] = why_new_head or f"shape {shape}, there {there}"
        elif name.startswith("aux_") and not has_aux:
            new[name] = "no auxiliary head there"
        elif there != shape:
            raise _other_network(path, model, f"{name} has shape {shape} here and there "
                                 f"{'is missing' if there is None else there}")
        else:
            found.append(name)
    wanted = {weight.path for weight in model.weights}
    left = [name for name in arrays if name not in wanted and not _may_be_left(name)]
    if left:
        raise _other_network(path, model, f"{left[0]} {arrays[left[0]].shape} has no place here")
    return found, new


def _is_classifier(name):
    return name.startswith(("logits/", "aux_logits/"))


def _may_be_left(name):
    """The auxiliary head is training's; dropout's seeds and the optimizer are a run's own."""
    return name.startswith(("aux_", "dropout", "optimizer", "seed_generator"))


def _other_network(path, model, difference):
    return UsageError(f"--init_from={path} holds another network than --net={model.name} as set "
                      f"here: {difference}; --width, --repeats and --batch_norm_gamma must be "
                      "those of the weights")


def _table(path, model, found, new):
    """Per stage: arrays loaded, new and frozen; then why something is new."""
    found = set(found)
    lines = [f"started from {path}", f"{'stage':8}{'loaded':>8}{'new':>6}{'parameters':>14}  kept"]
    for stage in STAGES:
        own = [w for w in model.weights if stage_of(w.path) == stage]
        layers = [layer for layer in model.layers if stage_of(layer.name) == stage]
        loaded = sum(w.path in found for w in own)
        fresh = sum(w.path in new for w in own)
        size = sum(math.prod(w.shape) for w in own)
        frozen = "frozen" if layers and not any(layer.trainable for layer in layers) else "trained"
        lines.append(f"{stage:8}{loaded:8}{fresh:6}{size:14,}  {frozen}")
    return "\n".join([*lines, *(f"new: {name} ({why})" for name, why in new.items())])
