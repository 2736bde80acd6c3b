"""Networks as boxes: what one holds, reads and says, and where each box of a drawing stands."""

import functools

import keras
import pytest

from inception_tf.figures.boxes import Box, block_boxes, network_boxes, title_of
from inception_tf.figures.places import lay_out
from inception_tf.nets import NETWORKS, build, endpoints


@functools.cache
def network(net):
    # Full width: the numbers in the boxes are the paper's.
    return build(net, repeats=(2, 3, 2))


@functools.cache
def narrow(net):
    return build(net, repeats=(2, 2, 2), width=0.1, aux_head=True, input_shape=(75, 75, 3))


def texts(boxes):
    """Name of a box without its block -> its text."""
    return {box.name.split("_1_")[-1]: " / ".join(box.lines) for box in boxes}


def test_boxes_of_inception_b_say_what_its_layers_are():
    boxes = block_boxes(network("inception_v4"), "inception_b_1")
    assert texts(boxes) == {
        "reduction_a": "reduction_a",
        "1x1": "1x1 conv / 384",
        "short_1x1": "1x1 conv / 192", "short_1x7": "1x7 conv / 224", "short_7x1": "7x1 conv / 256",
        "long_1x1": "1x1 conv / 192", "long_7_1": "7x1 conv / 192", "long_7_2": "1x7 conv / 224",
        "long_7_3": "7x1 conv / 224", "long_7_4": "1x7 conv / 256",
        "pool": "Average pooling / 3x3", "pool_1x1": "1x1 conv / 128",
        "inception_b_1": "Filter concat",
    }
    assert [source.removeprefix("inception_b_1_") for source in boxes[-1].sources] == [
        "1x1", "short_7x1", "long_7_4", "pool_1x1"]
    assert (boxes[0].kind, boxes[0].shape) == ("input", (17, 17, 1024))
    assert boxes[-1].shape == (17, 17, 1024)


def test_boxes_of_a_residual_block_end_in_linear_scale_sum_and_relu():
    boxes = {box.name: box for box in block_boxes(
        network("inception_resnet_v2"), "inception_resnet_a_2")}
    residual = ["_linear", "_scale", "_add", ""]
    found = [boxes[f"inception_resnet_a_2{end}"] for end in residual]
    assert [box.lines for box in found] == [
        ("1x1 conv", "384 linear"), ("Scale", "times 0.17"), ("+",), ("ReLU",)]
    assert [box.kind for box in found][:3] == ["linear", "other", "sum"]
    assert found[2].sources == ("inception_resnet_a_1", "inception_resnet_a_2_scale")


def test_boxes_say_stride_and_valid_padding_as_the_figures_do():
    found = texts(block_boxes(network("inception_v4"), "stem"))
    assert found["image"] == "Image"
    assert found["stem_1"] == "3x3 conv / 32 stride 2 V"
    assert found["stem_2"] == "3x3 conv / 32 V"
    assert found["stem_3"] == "3x3 conv / 64"
    assert found["stem_6_pool"] == "Max pooling / 3x3 stride 2 V"


def test_one_step_of_a_stem_is_a_block_too():
    boxes = block_boxes(network("inception_v4"), "stem_4")
    assert list(texts(boxes)) == ["stem_3", "stem_4_3x3", "stem_4_pool", "stem_4"]


def test_whole_network_is_a_stack_with_counts_figure_9():
    boxes = network_boxes(build("inception_v4"))
    assert [(box.lines[0], box.shape) for box in boxes] == [
        ("Image", (299, 299, 3)), ("Stem", (35, 35, 384)),
        ("4 x Inception-A", (35, 35, 384)), ("Reduction-A", (17, 17, 1024)),
        ("7 x Inception-B", (17, 17, 1024)), ("Reduction-B", (8, 8, 1536)),
        ("3 x Inception-C", (8, 8, 1536)), ("Average pooling", (1536,)), ("Dropout", (1536,)),
        ("Dense", (1000,)), ("Softmax", (1000,))]
    assert boxes[2].lines[1] == "inception_a_1 .. _4"
    assert [box.sources for box in boxes[1:]] == [(box.name,) for box in boxes[:-1]]


def test_blocks_of_one_name_that_differ_are_drawn_apart():
    v3 = [box.lines for box in network_boxes(build("inception_v3", width=0.1))]
    assert ("2 x Inception-B", "inception_b_2 .. _3") in v3
    assert ("Inception-B", "inception_b_4") in v3
    released = [box.lines for box in network_boxes(narrow("inception_resnet_v2_released"))]
    # The last of the released blocks has scale 1 and no ReLU.
    assert ("Inception-ResNet-C", "inception_resnet_c_2") in released
    assert ("1x1 conv", "154") in released and ("mixed_5b",) in released


@pytest.mark.parametrize("net", NETWORKS)
def test_every_convolution_of_a_network_is_in_one_block(net):
    model = narrow(net)
    blocks = [block for block in endpoints(model) if not block.startswith("stem_")]
    boxes = [box for block in blocks for box in block_boxes(model, block)]
    drawn = sorted(box.name for box in boxes if box.kind != "input" and "conv" in box.lines[0])
    assert drawn == sorted(layer.name for layer in model.layers
                           if isinstance(layer, keras.layers.Conv2D))


@pytest.mark.parametrize("net", NETWORKS)
def test_drawings_put_branches_in_order_and_nothing_on_top_of_another(net):
    model = narrow(net)
    for block in ["", "stem", *endpoints(model)]:
        boxes = block_boxes(model, block) if block else network_boxes(model)
        layout = lay_out(boxes)
        assert_apart(layout)
        for box in boxes:
            columns = [layout.arrows[source, box.name] for source in box.sources]
            assert columns == sorted(set(columns)), box.name
            for source in box.sources:
                assert layout.places[source].level < layout.places[box.name].level


def assert_apart(layout):
    """Boxes of a level are a column apart, and arrows pass between the boxes of other levels."""
    places = layout.places
    for name, place in places.items():
        assert 0 <= place.left <= place.x <= place.right <= layout.width - 1
        assert 0 <= place.level < layout.height
        others = [p for other, p in places.items() if other != name and p.level == place.level]
        assert all(p.left >= place.right + 1 or p.right <= place.left - 1 for p in others), name
    for (source, target), column in layout.arrows.items():
        low, high = places[source].level, places[target].level
        between = [p for p in places.values() if low < p.level < high]
        assert all(abs(p.x - column) >= 1 for p in between), (source, target)


def test_shortcut_rises_in_a_column_of_its_own_left_of_the_branches():
    layout = lay_out(block_boxes(narrow("inception_resnet_v1"), "inception_resnet_b_2"))
    add, linear = "inception_resnet_b_2_add", "inception_resnet_b_2_linear"
    assert layout.arrows["inception_resnet_b_1", add] == 0
    assert layout.places[add].x == layout.places[linear].x > 1
    assert layout.places["inception_resnet_b_1"].left == 0


def test_main_output_is_left_of_the_auxiliary_one():
    layout = lay_out(network_boxes(narrow("inception_v4")))
    assert layout.places["predictions"].x < layout.places["aux_predictions"].x


def test_long_chain_is_one_column():
    # One more box must not be twice the work.
    chain = [Box(str(i), "conv", (), (str(i - 1),) if i else (), (1, 1, 1)) for i in range(300)]
    layout = lay_out(chain)
    assert (layout.width, layout.height) == (1, 300)
    assert {place.x for place in layout.places.values()} == {0}


@pytest.mark.parametrize("block, title", [
    ("inception_a_3", "Inception-A"), ("inception_resnet_b_10", "Inception-ResNet-B"),
    ("reduction_b", "Reduction-B"), ("stem", "Stem"), ("conv_7b", "conv_7b")])
def test_blocks_are_called_as_in_the_paper(block, title):
    assert title_of(block) == title


def test_unknown_block_names_near_ones_and_all():
    with pytest.raises(ValueError, match="did you mean inception_c_1") as caught:
        block_boxes(narrow("inception_v4"), "inception_c1")
    assert "inception_v4 has no block 'inception_c1'" in str(caught.value)
    assert "inception_b_1 .. _2, reduction_b" in str(caught.value)
    assert "\n" not in str(caught.value)
