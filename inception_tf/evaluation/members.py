"""The networks of one scoring: each a run's folder, a checkpoint, its preprocessing."""

import dataclasses
from pathlib import Path

import numpy as np

from inception_tf.config import Config
from inception_tf.data.views import preprocessing_of, protocol_of
from inception_tf.errors import UsageError
from inception_tf.runs import checkpoint
from inception_tf.runs.choice import load_chosen
from inception_tf.runs.network import (
    CHECKPOINTS,
    build_network,
    load_weights,
    read_config,
    refuse_false_claims,
)

# What preprocessing flags given to eval override; all else of a member is its run's own.
OVERRIDES = ("crop_fraction", "interpolation", "pixel_centers", "antialias")


@dataclasses.dataclass(frozen=True)
class Member:
    """One network to score.

    model_dir: the run's folder, as the user wrote it.
    config: the run's Config, with the preprocessing flags given put over it.
    manifest: that of the checkpoint.
    weights: "ema" or "raw".
    arrays: those weights, by name.
    """

    model_dir: str
    config: Config
    manifest: dict
    weights: str
    arrays: dict[str, np.ndarray]

    @property
    def class_names(self):
        """In the order of the outputs, background not counted."""
        return tuple(self.manifest["class_names"])

    @property
    def preprocessing(self):
        """How this network wants its images."""
        return preprocessing_of(self.config.network, self.config.data)

    def protocol(self, crops, scales):
        """The views this network gets: data.crops.protocol_of at its own input size."""
        return protocol_of(crops, scales, self.config.network.image_size)

    def build(self):
        """The Keras model, giving logits, with the weights in it."""
        model = build_network(self.config.network, len(self.class_names), aux_head=False)
        load_weights(model, self.arrays, self.weights)
        return model

    def header(self, source, protocol, passes):
        """What a predictions file of this member says of itself."""
        return {
            "dataset": source.name,
            "split": source.split,
            "data_fingerprint": source.fingerprint,
            "num_examples": source.num_examples,
            "class_names": list(self.class_names),
            "network": self.config.network.net,
            "weights": self.weights,
            "checkpoint_sha256": self.manifest["files"][checkpoint.ARRAYS]["sha256"],
            "protocol": dataclasses.asdict(protocol),
            "preprocessing": dataclasses.asdict(self.preprocessing),
            "images_per_pass": passes.images,
            "views_per_pass": passes.views,
        }


def load_members(model_dirs, weights, given, which="newest"):
    """The Members of `model_dirs`; `given` are config fields that override their runs' own.

    `which` of the checkpoints of each: see runtime.choice.

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


def refuse_other_classes(ours, theirs, our_name, their_name):
    """Raises UsageError when two lists of class names differ."""
    if len(ours) != len(theirs):
        raise UsageError(f"{our_name} has {len(ours)} classes, {their_name} has {len(theirs)}")
    for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        if one != other:
            raise UsageError(f"{our_name}: class {number} is {one!r}, that of {their_name} is "
                             f"{other!r}")


def member_of(model_dir, manifest, weights, given, arrays=None):
    """The Member of one checkpoint: of its manifest alone, as long as it has no weights to give.

    Raises:
        UsageError: the folder has no config, or that of another network.
    """
    config = read_config(model_dir)
    _refuse_other_network(model_dir, config, manifest)
    prefix = {"ema": "ema/", "raw": "weights/"}[weights]
    own = {name: array for name, array in (arrays or {}).items() if name.startswith(prefix)}
    if arrays is not None:
        refuse_false_claims(config.network, len(manifest["class_names"]),
                            [array.shape for array in own.values()], model_dir)
    overrides = {name: given[name] for name in OVERRIDES if name in given}
    return Member(str(model_dir), config.replace(**overrides), manifest, weights, own)


def _load(model_dir, weights, given, which):
    read_config(model_dir)  # a folder that is no run's is named as that
    arrays, manifest = load_chosen(Path(model_dir) / CHECKPOINTS, which)
    return member_of(model_dir, manifest, weights, given, arrays)


def _refuse_other_network(model_dir, config, manifest):
    """The config beside the checkpoints may have been copied from another run."""
    trained = Config.from_json(manifest["config"], f"{model_dir}: manifest").network
    for field in dataclasses.fields(trained):
        ours, theirs = getattr(config.network, field.name), getattr(trained, field.name)
        if ours != theirs:
            raise UsageError(f"--model_dir={model_dir}: its checkpoint was trained with "
                             f"--{field.name}={theirs}, its config.json says {ours}")
