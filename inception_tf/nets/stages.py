"""The parts of every network that are named together, from the image to the classifiers.

A grid's stage holds its blocks and the reduction that makes the grid; names are those of
the paper's input size, 299x299.
"""

import re

# Stage -> how the names of its layers begin. `aux` is the auxiliary classifier.
_BEGINNINGS = {
    "stem": r"stem",
    "35x35": r"mixed_5b|inception(_resnet)?_a_",
    "17x17": r"reduction_a|inception(_resnet)?_b_",
    "8x8": r"reduction_b|inception(_resnet)?_c_|conv_7b",
    "head": r"final_bn|pre_logits|dropout|bottleneck|embedding|logits|predictions|aux_",
}
STAGES = tuple(_BEGINNINGS)


def stage_of(name):
    """Stage of a layer, endpoint or variable path of ours; None for any other name."""
    return next((s for s, begin in _BEGINNINGS.items() if re.match(begin, name)), None)


def freeze(model, stages):
    """Keep the weights and batch statistics of `stages` as they are in training.

    Raises: ValueError for a stage that is not one of STAGES.
    """
    unknown = [stage for stage in stages if stage not in STAGES]
    if unknown:
        raise ValueError(f"unknown stage {unknown[0]!r}; known: {', '.join(STAGES)}")
    for layer in model.layers:
        if stage_of(layer.name) in stages:
            layer.trainable = False
