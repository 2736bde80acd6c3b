"""What `difference` says of two networks, on narrow ones."""

import functools

import pytest

from inception_tf.nets import build
from inception_tf.nets.difference import Difference, difference

# An eighth of every width: 384, 1152, 2144 of the paper become 48, 144, 268, and the
# released 320, 1088, 2080 become 40, 136, 260.
SMALL = {"width": 0.125, "input_shape": (75, 75, 3), "classes": 10}


@functools.cache
def released():
    return build("inception_resnet_v2_released", repeats=(2, 3, 4), **SMALL)


@functools.cache
def paper(repeats=(1, 2, 2), **kwargs):
    return build("inception_resnet_v2", repeats=repeats, **SMALL, **kwargs)


def lines(rows):
    """(where, what) -> (a, b)."""
    return {(row.where, row.what): (row.a, row.b) for row in rows}


def test_difference_same_network_is_empty():
    assert difference(paper(), paper.__wrapped__()) == []


def test_difference_paper_and_released_names_what_the_two_are_known_for():
    rows = lines(difference(paper(), released()))
    assert rows["inception_resnet_a_1", "output"] == ("7x7x48", "7x7x40")
    assert rows["inception_resnet_b_1..2", "linear"] == ("1x1 144, bias", "1x1 136, bias")
    assert rows["reduction_b", "output"] == ("1x1x268", "1x1x260")
    assert rows["inception_resnet_a_2", "block"] == ("-", "7x7x40")
    assert rows["inception_resnet_c_3", "block"] == ("-", "1x1x260")
    assert rows["inception_resnet_c_4", "block"] == ("-", "1x1x260; scale: times 1; end: Add")
    assert rows["mixed_5b", "block"] == ("-", "7x7x40")
    assert rows["conv_7b", "block"] == ("-", "1x1x192")
    assert ("stem_3", "output") not in rows  # the two stems begin alike


def test_difference_swapped_networks_swaps_the_columns():
    there, back = lines(difference(paper(), released())), lines(difference(released(), paper()))
    assert there == {key: (b, a) for key, (a, b) in back.items()}


def test_difference_reads_from_the_image_to_the_predictions():
    places = dict.fromkeys(row.where for row in difference(paper(), released()))
    assert list(places) == [
        "network", "stem_4", "stem_5", "stem_6", "stem", "mixed_5b", "inception_resnet_a_1",
        "inception_resnet_a_2", "reduction_a", "inception_resnet_b_1..2", "inception_resnet_b_3",
        "reduction_b", "inception_resnet_c_1..2", "inception_resnet_c_3", "inception_resnet_c_4",
        "conv_7b", "pre_logits",
    ]


def test_difference_kernel_order_shows_kernels_and_equal_costs():
    rows = difference(paper(), paper(kernel_order="figure"))
    assert rows == [
        Difference("stem_5", "long_7_1", "1x7 8", "7x1 8"),
        Difference("stem_5", "long_7_2", "7x1 8", "1x7 8"),
    ]


def test_difference_reduction_b_of_another_figure_shows_its_branches():
    rows = lines(difference(paper(), paper(reduction_b_figure=12)))
    assert rows["reduction_b", "short_3x3"] == ("3x3 36 /2 V", "3x3 32 /2 V")
    assert rows["inception_resnet_c_1..2", "output"] == ("1x1x268", "1x1x256")


@pytest.mark.parametrize(
    ("kwargs", "line"),
    [
        ({"batch_norm_gamma": True},
         ("network", "batch norm", "momentum 0.9997, epsilon 0.001",
          "momentum 0.9997, epsilon 0.001, gamma")),
        ({"residual_scales": (0.17, 0.3, 0.2)},
         ("inception_resnet_b_1..2", "scale", "times 0.1", "times 0.3")),
        ({"dropout": 0.5}, ("logits", "dropout", "drops 0.2", "drops 0.5")),
        ({"repeats": (1, 2, 1)}, ("inception_resnet_c_2", "block", "1x1x268", "-")),
    ],
)
def test_difference_option_shows_what_it_changes(kwargs, line):
    assert Difference(*line) in difference(paper(), paper(**kwargs))


def test_difference_other_family_pairs_what_both_have():
    plain = build("inception_v4", repeats=(2, 1, 1), **SMALL)
    rows = lines(difference(plain, build("inception_resnet_v1", repeats=(1, 1, 1), **SMALL)))
    assert rows["inception_a_1..2", "block"] == ("7x7x48", "-")
    assert rows["inception_resnet_a_1", "block"] == ("-", "7x7x32")
    assert rows["reduction_a", "long_3x3_1"] == ("3x3 28", "3x3 24")
