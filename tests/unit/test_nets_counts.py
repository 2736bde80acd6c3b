"""Parameters and multiply-adds to the unit (published and computed figures)."""

import re

import pytest

from inception_tf import nets
from tests.golden.inventory import facts_of

# (trainable, total) parameters for 1000 classes: without top, with it, with top and
# auxiliary head, with gamma, with gamma and auxiliary head; GMAC of one image of
# 299x299, body and with top; MMAC of the auxiliary head. The totals of v3 and of the
# released v2 are those of keras.applications, the ones with gamma timm's.
COUNTS = {
    "inception_v3": (
        (21_768_352, 21_802_784), (23_817_352, 23_851_784), (27_143_152, 27_179_376),
        (23_834_568, 23_869_000), (27_161_264, 27_197_488), (5.7112, 5.7132), 5.68,
    ),
    "inception_v4": (
        (41_111_232, 41_174_400), (42_648_232, 42_711_400), (46_006_800, 46_071_760),
        (42_679_816, 42_742_984), (46_039_280, 46_104_240), (12.2524, 12.2540), 6.50,
    ),
    "inception_resnet_v1": (
        (20_949_808, 20_976_848), (22_742_808, 22_769_848), (26_084_992, 26_113_824),
        (22_756_328, 22_783_368), (26_099_408, 26_128_240), (6.2046, 6.2064), 6.09,
    ),
    "inception_resnet_v2": (
        (30_272_496, 30_305_360), (32_417_496, 32_450_360), (35_792_448, 35_827_104),
        (32_433_928, 32_466_792), (35_809_776, 35_844_432), (9.2558, 9.2580), 6.91,
    ),
    "inception_resnet_v2_released": (
        (54_276_192, 54_336_736), (55_813_192, 55_873_736), (59_179_952, 59_242_288),
        (55_843_464, 55_904_008), (59_211_120, 59_273_456), (13.1543, 13.1558), 6.71,
    ),
}  # fmt: skip

# Networks a keyword away from those above: without top, with top, with top and auxiliary
# head; GMAC.
VARIATIONS = {
    "Reduction-B of Figure 12": (
        "inception_resnet_v2", {"reduction_b_figure": 12},
        (29_485_456, 29_518_064), (31_534_456, 31_567_064), (34_909_408, 34_943_808),
        (9.1889, 9.1909),
    ),
    "10/20/10 blocks": (
        "inception_resnet_v2", {"repeats": (10, 20, 10)},
        (53_110_816, 53_168_160), (55_255_816, 55_313_160), (58_630_768, 58_689_904),
        (14.1399, 14.1420),
    ),
    "the body of facenet": (
        "inception_resnet_v1", {"repeats": (5, 10, 6)},
        (22_549_808, 22_578_384), (24_342_808, 24_371_384), None, (6.3068, 6.3086),
    ),
}  # fmt: skip


@pytest.mark.parametrize("network", COUNTS)
def test_parameters_of_network_equal_the_facts(network):
    no_top, top, aux, *_ = COUNTS[network]
    assert _parameters(network, "features") == no_top
    assert _parameters(network, "top") == top
    assert _parameters(network, "aux") == aux


@pytest.mark.parametrize("network", COUNTS)
def test_parameters_with_gamma_equal_the_facts(network):
    *_, gamma, gamma_aux, _, _ = COUNTS[network]
    assert _parameters(network, "top", batch_norm_gamma=True) == gamma
    assert _parameters(network, "aux", batch_norm_gamma=True) == gamma_aux


@pytest.mark.parametrize("network", COUNTS)
def test_multiply_adds_at_299_equal_the_facts(network):
    *_, gmacs, aux = COUNTS[network]
    assert _gigas(network) == gmacs
    both = _multiply_adds(network, "aux") - _multiply_adds(network, "top")
    assert round(both / 1e6, 2) == aux


@pytest.mark.parametrize("variation", VARIATIONS)
def test_counts_of_variation_equal_the_facts(variation):
    network, options, no_top, top, aux, gmacs = VARIATIONS[variation]
    assert _parameters(network, "features", **options) == no_top
    assert _parameters(network, "top", **options) == top
    assert aux is None or _parameters(network, "aux", **options) == aux
    assert _gigas(network, **options) == gmacs


@pytest.mark.parametrize("network", nets.NETWORKS)
def test_layers_without_top_or_head_are_those_with_it_less_the_classifiers(network):
    """What `_parameters` relies on: leaving a head off changes nothing else."""
    small = {"width": 0.05, "repeats": (1, 1, 1), "input_shape": (75, 75, 3)}
    features = {layer.name for layer in nets.build(network, include_top=False, **small).layers}
    top = {layer.name for layer in nets.build(network, **small).layers}
    aux = {layer.name for layer in nets.build(network, aux_head=True, **small).layers}
    assert features == {name for name in top if name not in CLASSIFIER}
    assert top == {name for name in aux if not name.startswith("aux_")}


# Trainable parameters and MMAC of one block; None where no source gives it.
BLOCKS = {
    "inception_v3": {
        "inception_a_1": (255_440, None), "inception_a_2": (276_976, None),
        "inception_a_3": (284_656, None), "reduction_a": (1_152_640, None),
        "inception_b_1": (1_295_872, None), "inception_b_2": (1_689_280, None),
        "inception_b_3": (1_689_280, None), "inception_b_4": (2_140_032, None),
        "reduction_b": (1_697_024, None), "inception_c_1": (5_041_344, None),
        "inception_c_2": (6_073_536, None), "logits": (2_049_000, None),
        "aux": (3_325_800, 5.68),
    },
    "inception_v4": {
        "stem_1": (896, 19.18), "stem_2": (9_248, 199.15), "stem_3": (18_496, 398.30),
        "stem_4": (55_392, 294.67), "stem_5": (188_864, 972.22), "stem": (331_968, 406.43),
        "inception_a_4": (317_024, 387.61), "reduction_a": (2_305_056, 1097.16),
        "inception_b_7": (2_933_984, 847.26), "reduction_b": (2_745_856, 511.10),
        "inception_c_3": (4_549_824, 290.98), "logits": (1_537_000, 1.54),
        "aux": (3_358_568, 6.50),
    },
    "inception_resnet_v1": {
        "stem_6": (138_432, 696.87), "stem": (442_624, 541.90),
        "inception_resnet_a_5": (77_248, 94.08), "reduction_a": (1_709_056, 850.17),
        "inception_resnet_b_10": (689_536, 198.87), "reduction_b": (3_344_256, 501.45),
        "inception_resnet_c_5": (1_600_000, 102.24), "logits": (1_793_000, 1.79),
        "aux": (3_342_184, 6.09),
    },
    "inception_resnet_v2": {
        "inception_resnet_a_5": (137_328, 167.46), "reduction_a": (2_901_248, 1482.18),
        "inception_resnet_b_10": (1_171_232, 337.96), "reduction_b": (3_928_064, 599.63),
        "inception_resnet_c_5": (2_087_872, 133.43), "logits": (2_145_000, 2.14),
        "aux": (3_374_952, 6.91),
    },
    "inception_resnet_v2_released": {
        "stem_1": (896, 19.18), "stem_5": (5_200, 27.28), "stem_6": (138_432, 696.87),
        "mixed_5b": (267_792, 327.40), "inception_resnet_a_10": (122_928, 149.90),
        "reduction_a": (2_663_680, 1398.19), "inception_resnet_b_20": (1_126_112, 324.94),
        "reduction_b": (3_878_912, 585.42), "inception_resnet_c_10": (2_034_560, 130.02),
        "conv_7b": (3_196_416, 204.47), "logits": (1_537_000, 1.54), "aux": (3_366_760, 6.71),
    },
}  # fmt: skip


@pytest.mark.parametrize("network", BLOCKS)
def test_counts_of_each_block_equal_the_facts(network):
    _, layers = facts_of(network, aux_head=True)
    blocks = {}
    for name, (trainable, _, multiply_adds) in layers.items():
        parameters, operations = blocks.get(_block_of(name), (0, 0))
        blocks[_block_of(name)] = parameters + trainable, operations + multiply_adds
    for block, (parameters, mmac) in BLOCKS[network].items():
        assert blocks[block][0] == parameters, block
        assert mmac is None or round(blocks[block][1] / 1e6, 2) == mmac, block


def test_counts_of_stem_of_the_papers_v2_equal_those_of_figure_3():
    _, layers = facts_of("inception_resnet_v2", aux_head=True)
    stem = [count for name, count in layers.items() if name.startswith("stem")]
    assert sum(trainable for trainable, _, _ in stem) == 604_864
    # 2289.95 in the facts is the sum of its rounded steps.
    assert round(sum(operations for _, _, operations in stem) / 1e6, 2) == 2289.94


CLASSIFIER = ("pre_logits", "dropout", "logits", "predictions")


def _block_of(name):
    """Endpoint that the layer `name` belongs to; `stem` is a stem's last step."""
    if name.startswith("aux_"):
        return "aux"
    pattern = r"(stem_[1-5]|stem_6(?!_)|stem_6(?=_bn|_relu)|inception_(?:resnet_)?[abc]_\d+)"
    block = re.match(pattern + r"|reduction_[ab]|mixed_5b|stem|conv_7b|logits", name)
    return block[0] if block else name


def _layers(network, part, **options):
    """Counts of the layers that a network with `part` on top of its features has."""
    _, layers = facts_of(network, aux_head=True, **options)
    kept = {"aux": (), "top": ("aux_",), "features": ("aux_", *CLASSIFIER)}[part]
    return [count for name, count in layers.items() if not name.startswith(kept)]


def _parameters(network, part, **options):
    layers = _layers(network, part, **options)
    return sum(trainable for trainable, _, _ in layers), sum(total for _, total, _ in layers)


def _multiply_adds(network, part, **options):
    return sum(operations for _, _, operations in _layers(network, part, **options))


def _gigas(network, **options):
    body, top = (_multiply_adds(network, part, **options) for part in ("features", "top"))
    return round(body / 1e9, 4), round(top / 1e9, 4)
