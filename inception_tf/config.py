"""Every setting of a run, in frozen dataclasses that round-trip as JSON.

Each field is a flag of the same name (`flags.py`). The numbers of the `paper`
preset stand here with their sources: [P] is arXiv 1602.07261, [A] its AAAI-17
text, [V3] arXiv 1512.00567, [S] the released TF-slim code, [I] the released
distributed trainer. docs/training.md has the full table.
"""

import dataclasses
import json
import os
import types
import typing
from dataclasses import dataclass
from typing import Any

from inception_tf import strict_json
from inception_tf.bounds import MAX_BATCH, MAX_EPOCHS, MAX_SECONDS, check_value, option
from inception_tf.errors import UsageError
from inception_tf.networks import NETWORKS, STAGES
from inception_tf.presets import PRESETS


@dataclass(frozen=True)
class Network:
    """Which network, and its variations."""

    net: str = option("inception_v4", "network of the paper", NETWORKS)
    image_size: int = option(299, "height and width of the input in pixels [P]", low=75,
                             high=2048)
    width: float = option(1.0, "multiplier of every layer's filters", low=0.01, high=8)
    repeats: tuple[int, ...] = option((), "blocks per stage A,B,C; empty: the figure's",
                                      low=0, high=200)
    residual_scales: tuple[float, ...] = option(
        (), "residual scale per stage A,B,C; empty: 0.17,0.10,0.20 [S]", low=-10, high=10
    )
    final_batch_norm: bool = option(False, "batch norm before the pool of a residual network "
                                    "(did not help: section 3.3 [P])")
    dropout: float = option(0.2, "share of features dropped (keep 0.8 [P])", low=0, high=0.99)
    aux_head: bool = option(True, "train with the auxiliary classifier [S]")
    background_class: bool = option(False, "class 0 is background, labels start at 1 [S]")
    batch_norm_momentum: float = option(0.9997, "decay of batch statistics [S]", low=0, high=1)
    batch_norm_gamma: bool = option(False, "batch norm with a learned scale; [S] has none")
    pool_counts_padding: bool = option(False, "inception_v3: average pools count padded cells, as "
                                       "in torchvision and timm; [S] leaves them out")
    batch_norm: str = option("own", "statistics of each replica's images, of all replicas' images "
                             "(synchronized), or left as they are (frozen)",
                             ("own", "synchronized", "frozen"))
    init_from: str = option("", "weights to start from: .keras, .weights.h5, or a run's folder",
                            path=True)
    init_checkpoint: str = option("newest", "which of that run's checkpoints: newest, best (lowest "
                                  "validation error of the averaged weights) or a step")
    freeze: tuple[str, ...] = option((), "stages whose weights and statistics stay as they are",
                                     choices=STAGES)


@dataclass(frozen=True)
class Data:
    """Where the images come from, and how they are cut and coloured."""

    dataset: str = option(
        "shapes",
        "'shapes' or 'shapes/large' (embedded), 'folder' (data_dir/SPLIT/CLASS/*.jpg), or any "
        "TFDS NAME[:VERSION]",
    )
    data_dir: str = option("", "prepared TFDS data or image folders; empty: TFDS' default",
                           path=True)
    manual_dir: str = option("", "folder of the archives you downloaded (ImageNet's two tars)",
                             path=True)
    train_split: str = option("train", "split trained on")
    eval_split: str = option("validation", "split scored")
    allow_empty_classes: bool = option(False, "train on a folder although some of its classes "
                                       "have no picture")
    color: str = option("fast", "colour distortion: none, TF-slim's fast or full form [S]",
                        ("none", "fast", "full"))
    min_crop_area: float = option(0.05, "smallest share of the area a crop keeps [S]",
                                  low=0.001, high=1)
    reduced_decoding: bool = option(False, "training: decode a large JPEG at 1/2, 1/4 or 1/8, "
                                    "where the crop stays as large as the network's input")
    crop_fraction: float = option(0.875, "side of the central crop that is scored [S]",
                                  low=0.1, high=1)
    interpolation: str = option("bilinear", "resize of images that are scored [S]",
                                ("bilinear", "bicubic"))
    pixel_centers: str = option("half", "where pixels lie when images are scored; corner: as in "
                                "TF1, which trained the released weights", ("half", "corner"))
    antialias: bool = option(False, "low-pass before shrinking images that are scored, as timm")
    max_bad_examples: int = option(10, "undecodable images tolerated in training", low=0)
    max_image_pixels: int = option(50_000_000, "larger images count as bad", low=1)


@dataclass(frozen=True)
class Optimization:
    """The optimizer and its schedule; durations count images of the global batch."""

    epochs: float = option(160.0, "length of training (axes of Figures 23-26 [P])", low=0,
                           high=MAX_EPOCHS)
    global_batch: int = option(640, "images per update: 20 replicas [P] of 32 [V3]", low=1,
                               high=MAX_BATCH)
    replica_batch: int = option(
        32, "images per replica and pass; the rest is accumulated [V3]", low=1, high=MAX_BATCH
    )
    optimizer: str = option("rmsprop", "TF1's RMSProp, Keras' (mean square starts at 0), or the "
                            "paper's earlier momentum runs [P]",
                            ("rmsprop", "rmsprop_keras", "momentum"))
    learning_rate: float = option(0.045, "initial learning rate [P]", low=0)
    head_lr_multiplier: float = option(1.0, "times the learning rate, for the classifiers", low=0)
    warmup_epochs: float = option(0.0, "warm-up before the schedule", low=0, high=MAX_EPOCHS)
    warmup_rate: float = option(0.0, "constant rate of the warm-up (did not help: section 3.3 "
                                "[P]); 0: it grows linearly", low=0)
    schedule: str = option("staircase", "how the learning rate falls: in steps [P], not at all, or "
                           "as a cosine to 0 at --epochs", ("staircase", "constant", "cosine"))
    decay_rate: float = option(0.94, "factor of the staircase schedule [P]", low=0, high=1)
    decay_epochs: float = option(2.0, "epochs between two steps of it [P]", low=0.0001,
                                 high=MAX_EPOCHS)
    momentum: float = option(0.9, "momentum of either optimizer [P][S]", low=0, high=0.9999)
    rmsprop_decay: float = option(0.9, "decay of the mean square [P]", low=0, high=1)
    epsilon: float = option(1.0, "added inside RMSProp's root [P]", low=1e-30)
    clip_norm: float = option(2.0, "limit of the global gradient norm [A][V3]; 0: off", low=0)
    label_smoothing: float = option(0.1, "share spread over all classes [V3]", low=0, high=0.999)
    aux_weight: float = option(0.4, "weight of the auxiliary loss [S]", low=0)
    weight_decay: float = option(4e-5, "factor of half the squared kernels [S]", low=0)
    ema_decay: float = option(0.9999, "decay of the averaged weights [I]", low=0, high=0.9999999)


@dataclass(frozen=True)
class Runtime:
    """Where a run writes, how often, and on what it computes."""

    model_dir: str = option("runs/demo", "folder of this run: config, checkpoints, curves",
                            path=True)
    seed: int = option(0, "seed of weights, order, distortion and dropout", low=0)
    strategy: str = option("auto", "devices; auto: all of TF_CONFIG's or SLURM's workers, else "
                           "every GPU, else the CPU",
                           ("auto", "one", "mirrored", "multi_worker"))
    startup_timeout_s: float = option(120.0, "seconds to wait for the other workers", low=1,
                                      high=MAX_SECONDS)
    log_every_steps: int = option(20, "steps between progress lines", low=1)
    eval_every_epochs: float = option(1.0, "epochs between scorings; 0: at the end", low=0,
                                      high=MAX_EPOCHS)
    checkpoint_every_epochs: float = option(1.0, "epochs between checkpoints; 0: at the end",
                                            low=0, high=MAX_EPOCHS)
    keep: int = option(3, "newest checkpoints kept", low=1)
    keep_best: int = option(1, "checkpoints of lowest validation error that are kept as well",
                            low=0)
    stall_timeout_s: float = option(600.0, "seconds without a completed step or scoring batch "
                                    "after which a run ends with code 7; 0: never", low=0,
                                    high=MAX_SECONDS)
    max_steps: int = option(0, "stop after this many updates; 0: epochs decide", low=0)
    compare: str = option("none", "draw the run's curves over those of the paper, Figures 21 and "
                          "23, for a run on imagenet2012", ("none", "paper"))


@dataclass(frozen=True)
class Execution:
    """How the arithmetic is carried out: precision, compilation, what happens when it fails."""

    precision: str = option("float32", "type of activations; weights stay float32",
                            ("float32", "mixed_bfloat16", "mixed_float16"))
    xla: str = option("auto", "compile updates with XLA; auto: on a GPU or TPU (on a CPU they "
                      "take twice the time)", ("auto", "on", "off"))
    deterministic: bool = option(False, "on a GPU: the same bits in every run, as on a CPU; "
                                 "slower, as XLA does not compile the two passes")
    tf32: bool = option(True, "on a GPU: float32 convolutions and products on tensor cores, "
                        "with 10 bits of the mantissa")
    remat: bool = option(False, "compute activations inside blocks again for the backward pass "
                         "instead of keeping them: less memory, more time")
    steps_per_call: int = option(0, "updates per call from Python; 0: one, or with XLA on one "
                                 "GPU as many as have 8 passes", low=0, high=10_000)
    color_on: str = option("auto", "where training images are coloured and scaled: host, after "
                           "decoding, or device, from bytes; auto: device if that is a GPU or "
                           "TPU", ("auto", "host", "device"))
    profile_steps: str = option("", "A-B: profile these steps into model_dir/profile, for "
                                "TensorBoard")
    on_non_finite: str = option("stop", "after a loss or gradient that is not finite: end with "
                                "code 5, or skip that update", ("stop", "skip"))
    max_skipped_steps: int = option(10, "more skipped updates end the run with code 5", low=0)


GROUPS = {
    "network": Network,
    "data": Data,
    "optimization": Optimization,
    "runtime": Runtime,
    "execution": Execution,
}


@dataclass(frozen=True)
class Config:
    """One run. Raises UsageError when a value is out of its bounds."""

    network: Network = Network()
    data: Data = Data()
    optimization: Optimization = Optimization()
    runtime: Runtime = Runtime()
    execution: Execution = Execution()

    def __post_init__(self):
        for group in GROUPS:
            _validate(getattr(self, group))

    def replace(self, **values: Any) -> "Config":
        """A copy with fields of any group replaced: `config.replace(net="inception_v3")`."""
        unknown = values.keys() - field_groups().keys()
        if unknown:
            raise UsageError(f"unknown config field {sorted(unknown)[0]!r}")
        groups = {}
        for group in GROUPS:
            own = {k: v for k, v in values.items() if field_groups()[k] == group}
            groups[group] = dataclasses.replace(getattr(self, group), **own)
        return Config(**groups)

    def to_json(self) -> str:
        """Indented JSON text with one object per group."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, source: str | os.PathLike = "config") -> "Config":
        """The Config of `to_json`'s text; UsageError names the key that is wrong."""
        groups = strict_json.parse(text, dict[str, Any], source)
        built = {}
        for group, values in groups.items():
            if group not in GROUPS or not isinstance(values, dict):
                raise UsageError(f"{source}: unknown group {group!r}; known: {', '.join(GROUPS)}")
            built[group] = _group_from_json(group, values, source)
        return cls(**built)

    @classmethod
    def read(cls, path: str | os.PathLike) -> "Config":
        """The Config of a file of `to_json`'s text; UsageError names what is wrong."""
        return cls.from_json(strict_json.content_of(path), path)


def field_groups() -> dict[str, str]:
    """Field name -> group name, over all groups."""
    return {f.name: group for group, kind in GROUPS.items() for f in dataclasses.fields(kind)}


def preset(name: str) -> Config:
    """The Config called `name` in PRESETS; UsageError lists the known ones."""
    if name not in PRESETS:
        raise UsageError(f"unknown preset {name!r}; known: {', '.join(PRESETS)}")
    return Config().replace(**PRESETS[name])


def element_type(kind: Any) -> type | None:
    """float for tuple[float, ...], None for a scalar type."""
    return typing.get_args(kind)[0] if isinstance(kind, types.GenericAlias) else None


def _group_from_json(group, values, source):
    kinds = {f.name: f.type for f in dataclasses.fields(GROUPS[group])}
    converted = {}
    for key, value in values.items():
        if key not in kinds:
            raise UsageError(f"{source}: unknown key {group}.{key}")
        converted[key] = _convert(value, kinds[key], f"{source}: {group}.{key}")
    return GROUPS[group](**converted)


def _convert(value, kind, where):
    element = element_type(kind)
    if element is not None:
        if not isinstance(value, list):
            raise UsageError(f"{where} must be a list of {element.__name__}, got {value!r:.80}")
        return tuple(_convert(v, element, where) for v in value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value) if abs(value) < 2**1000 else float("inf")
    if kind is str and isinstance(value, bool) and where.endswith(".xla"):
        return "on" if value else "auto"  # as configs had it before there was a choice
    if type(value) is not kind:
        raise UsageError(f"{where} must be {kind.__name__}, got {value!r:.80}")
    return value


def _validate(group):
    for f in dataclasses.fields(group):
        bounds = {key: f.metadata[key] for key in ("low", "high", "choices")}
        check_value(f.name, getattr(group, f.name), **bounds)
    if isinstance(group, Network):
        for name in ("repeats", "residual_scales"):
            if len(getattr(group, name)) not in (0, 3):
                raise UsageError(f"--{name} takes three values A,B,C, got {getattr(group, name)}")
