"""Inner tensors of a built (or loaded) network, by stable name."""

import re
from collections.abc import Collection

import keras

from inception_tf.nets.layers import own_precision
from inception_tf.networks import STAGES, stage_of

# What endpoints are called, from the image on: Keras lists layers by depth.
_READING_ORDER = (
    r"stem_\d+", "stem", "mixed_5b", r"inception(_resnet)?_a_\d+", "reduction_a",
    r"inception(_resnet)?_b_\d+", "reduction_b", r"inception(_resnet)?_c_\d+", "conv_7b",
    "pre_logits", "logits", "predictions", "aux_logits", "aux_predictions",
)


def endpoints(model: keras.Model) -> dict[str, keras.KerasTensor]:
    """Name -> tensor, from the first stem step to the predictions.

    Stem steps (`stem_1`, ... `stem`), blocks (`inception_a_1`, `reduction_a`, ...),
    `pre_logits` (pooled features), `logits`, `predictions`, and `aux_logits`,
    `aux_predictions` last. Works on any model with our layer names, so also on a
    `.keras` file opened by plain Keras.

    Raises: ValueError for any other model.
    """
    outputs = _outputs(model)
    names = sorted(filter(_place, outputs), key=_place)
    return {name: outputs.get(f"{name}_relu", outputs[name]) for name in names}


def _outputs(model):
    """Name -> output of the layers, without what `assembly` put before the names.

    Raises: ValueError when the model is not one of our networks.
    """
    layers = model.layers if isinstance(model, keras.Model) else []
    first = [layer.name for layer in layers if layer.name.endswith("stem_1")]
    if not first:
        inner = [layer.name for layer in layers if isinstance(layer, keras.Model)]
        hint = f"; take the network inside: model.get_layer({inner[0]!r})" if inner else ""
        raise ValueError("expected a network of inception_tf, or one cut from it, got "
                         f"{getattr(model, 'name', model)!r:.80} ({type(model).__name__}){hint}")
    prefix = first[0].removesuffix("stem_1")
    return {layer.name.removeprefix(prefix): layer.output for layer in layers}


def feature_pyramid(model: keras.Model) -> keras.Model:
    """`model` cut for a detector: five grids, the last one of each stride.

    Returns: a keras.Model that shares the layers of `model` and gives a dict
    {"stride2", "stride4", "stride8", "stride16", "stride32"}.

    Shape: at 299x299 grids of 147, 71, 35, 17 and 8.

    Raises: ValueError for any other model, or one without these grids.
    """
    points = endpoints(model)
    names = list(points)
    if missing := {"stem_3", "stem", "reduction_a", "reduction_b"} - points.keys():
        raise ValueError(f"{model.name!r} ends before {min(missing)}: give the whole network")

    def before(name):
        return points[names[names.index(name) - 1]]

    blocks = [name for name in names if "logits" not in name and "predictions" not in name]
    grids = {
        "stride2": points["stem_3"],
        "stride4": before("stem"),
        "stride8": before("reduction_a"),
        "stride16": before("reduction_b"),
        "stride32": points[blocks[-1]],
    }
    with own_precision():
        return keras.Model(model.input, grids, name=f"{model.name}_pyramid")


def _place(name):
    """(row of _READING_ORDER, number in it) of an endpoint; None for any other layer."""
    for row, pattern in enumerate(_READING_ORDER):
        if re.fullmatch(pattern, name):
            number = name.rpartition("_")[2]
            return row, int(number) if number.isdigit() else 0
    return None


def freeze(model: keras.Model, stages: Collection[str]) -> None:
    """Keep the weights and batch statistics of `stages` as they are in training.

    Raises: ValueError for a stage that is not one of STAGES.
    """
    unknown = [stage for stage in stages if stage not in STAGES]
    if unknown:
        raise ValueError(f"unknown stage {unknown[0]!r}; known: {', '.join(STAGES)}")
    for layer in model.layers:
        if stage_of(layer.name) in stages:
            layer.trainable = False
