"""The names of the networks and of their layers, for rooms that load no Keras.

A new network is one file in nets/, with its figures and numbers, and one line in NETWORKS.
Its file calls the layers as STAGES and nets/endpoints.py say; everything else is read from
the model it builds.
"""

import re

# Name -> module in nets/ and the builder in it.
NETWORKS = {
    "inception_v3": "inception_v3:InceptionV3",
    "inception_v4": "inception_v4:InceptionV4",
    "inception_resnet_v1": "inception_resnet_v1:InceptionResNetV1",
    "inception_resnet_v2": "inception_resnet_v2:InceptionResNetV2",
    "inception_resnet_v2_released": "inception_resnet_v2:InceptionResNetV2Released",
}

# Stage, by its grid at 299x299 -> how the names of its layers begin.
STAGES = {
    "stem": r"stem",
    "35x35": r"mixed_5b|inception(_resnet)?_a_",
    "17x17": r"reduction_a|inception(_resnet)?_b_",
    "8x8": r"reduction_b|inception(_resnet)?_c_|conv_7b",
    "head": r"final_bn|pre_logits|dropout|bottleneck|embedding|logits|predictions|aux_",
}


def list_models() -> list[str]:
    """Names of the networks and their variants, as `build` and `--net` take them."""
    return list(NETWORKS)


def stage_of(name: str) -> str | None:
    """Stage of one of our layers, endpoints or variable paths; None for any other name."""
    return next((stage for stage, begin in STAGES.items() if re.match(begin, name)), None)
