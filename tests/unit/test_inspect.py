"""Counts of the five networks against the paper's layer tables, and of small ones by hand."""

import functools

import keras
import numpy as np
import pytest

from inception_tf.nets import build
from inception_tf.nets.inspect import Parameters, multiply_adds, parameters, stages

# 299x299, 1000 classes, both heads: millions of multiply-adds of the body, main and
# auxiliary classifier. Summed from the layers that figures and released code give.
COSTS = {
    "inception_v3": (5711.2, 2.048, 5.68),
    "inception_v4": (12252.4, 1.536, 6.50),
    "inception_resnet_v1": (6204.6, 1.792, 6.09),
    "inception_resnet_v2": (9255.8, 2.144, 6.91),
    "inception_resnet_v2_released": (13154.3, 1.536, 6.71),
}

# Endpoint -> trainable parameters and millions of multiply-adds, from the same layers.
BLOCKS = {
    "inception_v3": {
        "inception_a_1": (255_440, None),
        "inception_a_2": (276_976, None),
        "inception_a_3": (284_656, None),
        "reduction_a": (1_152_640, None),
        "inception_b_1": (1_295_872, None),
        "inception_b_2": (1_689_280, None),
        "inception_b_3": (1_689_280, None),
        "inception_b_4": (2_140_032, None),
        "reduction_b": (1_697_024, None),
        "inception_c_1": (5_041_344, None),
        "inception_c_2": (6_073_536, None),
        "logits": (2_049_000, 2.05),
        "aux_logits": (3_325_800, 5.68),
    },
    "inception_v4": {
        "stem_1": (896, 19.18),
        "stem_2": (9_248, 199.15),
        "stem_3": (18_496, 398.30),
        "stem_4": (55_392, 294.67),
        "stem_5": (188_864, 972.22),
        "stem": (331_968, 406.43),
        "inception_a_4": (317_024, 387.61),
        "reduction_a": (2_305_056, 1097.16),
        "inception_b_7": (2_933_984, 847.26),
        "reduction_b": (2_745_856, 511.10),
        "inception_c_3": (4_549_824, 290.98),
        "logits": (1_537_000, 1.54),
        "aux_logits": (3_358_568, 6.50),
    },
    "inception_resnet_v1": {
        "stem_6": (138_432, 696.87),
        "stem": (442_624, 541.90),
        "inception_resnet_a_5": (77_248, 94.08),
        "reduction_a": (1_709_056, 850.17),
        "inception_resnet_b_10": (689_536, 198.87),
        "reduction_b": (3_344_256, 501.45),
        "inception_resnet_c_5": (1_600_000, 102.24),
        "logits": (1_793_000, 1.79),
        "aux_logits": (3_342_184, 6.09),
    },
    "inception_resnet_v2": {
        "inception_resnet_a_5": (137_328, 167.46),
        "reduction_a": (2_901_248, 1482.18),
        "inception_resnet_b_10": (1_171_232, 337.96),
        "reduction_b": (3_928_064, 599.63),
        "inception_resnet_c_5": (2_087_872, 133.43),
        "logits": (2_145_000, 2.14),
        "aux_logits": (3_374_952, 6.91),
    },
    "inception_resnet_v2_released": {
        "stem_5": (5_200, 27.28),
        "stem_6": (138_432, 696.87),
        "mixed_5b": (267_792, 327.40),
        "inception_resnet_a_10": (122_928, 149.90),
        "reduction_a": (2_663_680, 1398.19),
        "inception_resnet_b_20": (1_126_112, 324.94),
        "reduction_b": (3_878_912, 585.42),
        "inception_resnet_c_10": (2_034_560, 130.02),
        "conv_7b": (3_196_416, 204.47),
        "logits": (1_537_000, 1.54),
        "aux_logits": (3_366_760, 6.71),
    },
}


@functools.cache
def stages_of(net):
    """The stages of a full-size network by name; the network itself is let go."""
    return {stage.name: stage for stage in stages(build(net, aux_head=True))}


@pytest.mark.parametrize("net", COSTS)
def test_multiply_adds_of_each_network_equal_its_layer_table(net):
    body, main, aux = COSTS[net]
    cost = {name: stage.multiply_adds / 1e6 for name, stage in stages_of(net).items()}
    assert cost.pop("logits") == pytest.approx(main, abs=0.0005)
    assert cost.pop("aux_logits") == pytest.approx(aux, abs=0.005)
    assert sum(cost.values()) == pytest.approx(body, abs=0.05)


@pytest.mark.parametrize("net", BLOCKS)
def test_stages_of_each_network_equal_its_block_table(net):
    rows = stages_of(net)
    for name, (count, cost) in BLOCKS[net].items():
        assert rows[name].parameters.trainable == count, name
        if cost is not None:
            assert rows[name].multiply_adds / 1e6 == pytest.approx(cost, abs=0.005), name


@pytest.mark.parametrize("net", COSTS)
def test_strides_of_each_network_lead_to_32_pixels(net):
    rows = stages_of(net)
    strides = [row.strides[0] for row in rows.values() if row.strides]
    assert strides == sorted(strides)
    assert (rows["stem_3"].strides[0], rows["stem"].strides[0]) == (2, 8)
    assert (rows["reduction_a"].strides, rows["reduction_b"].strides) == ((16, 16), (32, 32))
    assert rows["pre_logits"].receptive_field is None


def small_model(shape=(17, 15, 4)):
    """Every kind of layer that counts, and some that do not."""
    image = keras.Input(shape)
    x = keras.layers.Conv2D(8, (3, 1), strides=2, use_bias=False)(image)  # 8x8x8 of 17x15
    x = keras.layers.BatchNormalization(scale=False)(x)
    x = keras.layers.Conv2D(6, 3, padding="same", groups=2)(x)
    x = keras.layers.MaxPooling2D(2)(x)
    x = keras.layers.Dropout(0.5)(keras.layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, keras.layers.Dense(5)(x))


SMALL_COST = 8 * 8 * 8 * (3 * 1 * 4) + 8 * 8 * 6 * (3 * 3 * 8 // 2) + 6 * 5


def test_multiply_adds_small_model_equals_hand_count():
    assert multiply_adds(small_model()) == SMALL_COST


def test_multiply_adds_unknown_size_takes_the_one_given_and_leaves_the_model_alone():
    model = small_model((None, None, 4))
    square = multiply_adds(small_model((17, 17, 4)))
    assert multiply_adds(model, image_size=17) == square
    assert multiply_adds(model) == multiply_adds(small_model((299, 299, 4)))
    assert model.output.shape == (None, 5)
    assert model.layers[1].output.shape == (None, None, None, 8)


def test_multiply_adds_two_inputs_is_refused():
    images = [keras.Input((8, 8, 1)), keras.Input((8, 8, 1))]
    with pytest.raises(ValueError, match="got 2"):
        multiply_adds(keras.Model(images, keras.layers.Add()(images)))


def test_parameters_count_batch_statistics_in_the_total_alone():
    trainable = 8 * 12 + 8 + (6 * 36 + 6) + (6 * 5 + 5)
    assert parameters(small_model()) == Parameters(trainable, trainable + 2 * 8)


def test_parameters_frozen_layer_is_not_trainable():
    model = small_model()
    model.layers[-1].trainable = False
    assert parameters(model).trainable == 8 * 12 + 8 + (6 * 36 + 6)


def test_stages_receptive_field_equals_the_pixels_that_change_the_output():
    image = keras.Input((48, 48, 1))
    conv = functools.partial(
        keras.layers.Conv2D, 1, padding="same", use_bias=False, kernel_initializer="ones"
    )
    x = conv((5, 3), strides=2, name="stem_1")(image)
    short = keras.layers.AveragePooling2D(3, strides=1, padding="same")(x)
    x = keras.layers.Concatenate(name="stem_2")([conv((1, 7))(x), short])
    x = conv(3, strides=2, dilation_rate=1, name="stem_3")(x)
    model = keras.Model(image, conv((3, 1), dilation_rate=2, name="stem")(x))

    row, column = 6, 6
    pixels = np.eye(48 * 48, dtype=np.float32).reshape(-1, 48, 48, 1)
    answers = [model.predict(part, verbose=0) for part in np.split(pixels, 9)]
    seen = np.concatenate(answers)[:, row, column, 0].reshape(48, 48) != 0
    extent = tuple(np.ptp(np.flatnonzero(seen.any(axis=axis))) + 1 for axis in (1, 0))

    last = stages(model)[-1]
    assert last.receptive_field == extent
    assert last.strides == (4, 4)
