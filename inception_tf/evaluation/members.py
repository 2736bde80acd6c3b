"""The networks of one scoring: each a run's folder, a checkpoint, its preprocessing."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from inception_tf.config import Config
from inception_tf.data.views import Preprocessing, preprocessing_of
from inception_tf.errors import UsageError
from inception_tf.runs import checkpoint
from inception_tf.runs.choice import load_chosen
from inception_tf.runs.folder import checkpoints_of, read_config
from inception_tf.runs.network import build_network, load_weights, refuse_false_claims

# The preprocessing flags of eval, which override the run's own settings.
OVERRIDES = ("crop_fraction", "interpolation", "pixel_centers", "antialias")


@dataclasses.dataclass(frozen=True)
class Member:
    """One network to score.

    model_dir: the run's folder, as the user wrote it.
    config: the run's, with the preprocessing flags given put over it.
    manifest: that of the checkpoint.
    weights: "ema" or "raw".
    arrays: those weights, by name.
    """

    model_dir: str
    config: Config
    manifest: dict[str, Any]
    weights: str
    arrays: dict[str, np.ndarray]

    @property
    def class_names(self) -> tuple[str, ...]:
        """In the order of the outputs, without the background."""
        return tuple(self.manifest["class_names"])

    @property
    def checkpoint_sha256(self) -> str:
        """Hash of the checkpoint's arrays."""
        return self.manifest["files"][checkpoint.ARRAYS]["sha256"]

    @property
    def preprocessing(self) -> Preprocessing:
        """How this network wants its images."""
        return preprocessing_of(self.config.network, self.config.data)

    def build(self) -> keras.Model:
        """The Keras model, giving logits, with the weights in it."""
        model = build_network(self.config.network, len(self.class_names), aux_head=False)
        load_weights(model, self.arrays, self.weights)
        return model


def load_members(model_dirs: Sequence[str], weights: str, given: dict[str, Any],
                 which: str = "newest") -> list[Member]:
    """The Members of several runs.

    Args:
        model_dirs: the runs' folders.
        weights: "ema" or "raw".
        given: config fields that override the runs' own.
        which: of the checkpoints of each; see runs.choice.

    Raises:
        UsageError: a folder without a run or without such a checkpoint, a checkpoint of another
            network than the config, or members with different classes.
        CheckpointError: there are checkpoints and none is valid.
    """
    members = [_load(model_dir, weights, given, which) for model_dir in model_dirs]
    for member in members[1:]:
        refuse_other_classes(members[0].class_names, member.class_names,
                             f"--model_dir={members[0].model_dir}", member.model_dir)
    return members


def refuse_other_classes(ours: Sequence[str], theirs: Sequence[str], our_name: str,
                         their_name: str) -> None:
    """Raises UsageError when two lists of class names differ.

    Args:
        ours, theirs: the class names.
        our_name, their_name: what the message calls the lists.
    """
    if len(ours) != len(theirs):
        raise UsageError(f"{our_name} has {len(ours)} classes, {their_name} has {len(theirs)}")
    for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        if one != other:
            raise UsageError(f"{our_name}: class {number} is {one!r}, that of {their_name} is "
                             f"{other!r}")


def member_of(model_dir: str, manifest: dict[str, Any], weights: str, given: dict[str, Any],
              arrays: dict[str, np.ndarray] | None = None) -> Member:
    """The Member of one checkpoint.

    Args:
        model_dir: the run's folder.
        manifest: the checkpoint's.
        weights: "ema" or "raw".
        given: config fields that override the run's own.
        arrays: all of the checkpoint; None for a Member without weights.

    Raises:
        UsageError: the folder has no config, or that of another network.
    """
    config = read_config(model_dir)
    _refuse_other_network(model_dir, config, manifest)
    own = {name: array for name, array in (arrays or {}).items()
           if name.startswith(checkpoint.PREFIXES[weights])}
    if arrays is not None:
        refuse_false_claims(config.network, len(manifest["class_names"]),
                            [array.shape for array in own.values()], model_dir)
    overrides = {name: given[name] for name in OVERRIDES if name in given}
    # The run's own limit is for training.
    overrides["max_bad_examples"] = given.get("max_bad_examples", 0)
    return Member(str(model_dir), config.replace(**overrides), manifest, weights, own)


def _load(model_dir, weights, given, which):
    read_config(model_dir)  # first, so that a folder of no run is called that
    arrays, manifest = load_chosen(checkpoints_of(model_dir), which)
    return member_of(model_dir, manifest, weights, given, arrays)


def _refuse_other_network(model_dir, config, manifest):
    """The config next to the checkpoints may have been copied from another run."""
    trained = Config.from_json(manifest["config"], f"{model_dir}: manifest").network
    for field in dataclasses.fields(trained):
        ours, theirs = getattr(config.network, field.name), getattr(trained, field.name)
        if ours != theirs:
            raise UsageError(f"--model_dir={model_dir}: its checkpoint was trained with "
                             f"--{field.name}={theirs}, its config.json says {ours}")
