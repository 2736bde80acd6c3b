"""Counts, parts and receptive fields, by hand and against the layer tables.

tests/unit/test_nets_counts.py holds all five networks to the full tables.
"""

import functools

import keras
import numpy as np
import pytest

from inception_tf.nets import NETWORKS, build
from inception_tf.nets.anatomy import Parameters, multiply_adds, parameters, parts
from tests.golden import inventory

# Inception-ResNet-v1 at 299x299, endpoint: output, trainable parameters, millions of
# multiply-adds; from the figures' layers.
RESNET_V1 = {
    "stem_6": ((71, 71, 192), 138_432, 696.87),
    "stem": ((35, 35, 256), 442_624, 541.90),
    "inception_resnet_a_5": ((35, 35, 256), 77_248, 94.08),
    "reduction_a": ((17, 17, 896), 1_709_056, 850.17),
    "inception_resnet_b_10": ((17, 17, 896), 689_536, 198.87),
    "reduction_b": ((8, 8, 1792), 3_344_256, 501.45),
    "inception_resnet_c_5": ((8, 8, 1792), 1_600_000, 102.24),
    "pre_logits": ((1792,), 0, 0),
    "logits": ((1000,), 1_793_000, 1.79),
    "aux_logits": ((1000,), 3_342_184, 6.09),
}


def test_parts_of_full_network_equal_the_layer_table():
    model = build("inception_resnet_v1", aux_head=True)
    rows = {part.name: part for part in parts(model)}
    for name, (shape, count, cost) in RESNET_V1.items():
        assert rows[name].shape == shape
        assert rows[name].parameters.trainable == count, name
        assert rows[name].multiply_adds / 1e6 == pytest.approx(cost, abs=0.005), name
    assert parameters(model) == (26_084_992, 26_113_824)
    assert multiply_adds(model) / 1e9 == pytest.approx(6.2064 + 0.0061, abs=1e-4)


@pytest.mark.parametrize("net", NETWORKS)
def test_parts_share_out_every_layer_and_end_at_stride_32(net):
    model = build(net, aux_head=True, width=0.1, repeats=(1, 1, 1), input_shape=(107, 75, 3))
    rows = parts(model)
    trainable, total, cost = map(sum, zip(*inventory.counts(model).values(), strict=True))
    assert sum(row.parameters.trainable for row in rows) == trainable
    assert sum(row.parameters.total for row in rows) == total
    assert sum(row.multiply_adds for row in rows) == cost == multiply_adds(model)

    by_name = {row.name: row for row in rows}
    strides = [by_name[n].strides for n in ("stem_3", "stem", "reduction_a", "reduction_b")]
    assert strides == [(2, 2), (8, 8), (16, 16), (32, 32)]
    assert by_name["pre_logits"].receptive_field is None


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


def test_parts_receptive_field_equals_the_pixels_that_change_the_output():
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

    last = parts(model)[-1]
    assert last.receptive_field == extent
    assert last.strides == (4, 4)
