"""What each keyword of the builders changes."""

import functools

import keras
import numpy as np
import pytest

from inception_tf import nets
from inception_tf.networks import STAGES, stage_of
from tests.golden.inventory import facts_of

SMALL = {"width": 0.1, "repeats": (1, 1, 1), "input_shape": (75, 75, 3), "classes": 5}
RESIDUAL = [name for name in nets.NETWORKS if "resnet" in name]


@functools.cache
def small(network, **options):
    """A small network to look at, built once per set of options."""
    return nets.build(network, **SMALL | options)


def layers_of(model, kind):
    """Layers of class `kind`, by name."""
    return {layer.name: layer for layer in model.layers if isinstance(layer, kind)}


@pytest.mark.parametrize("network", nets.NETWORKS)
def test_network_is_made_of_stock_layers_named_by_us(network):
    model = small(network, aux_head=True)
    again = nets.build(network, aux_head=True, **SMALL)
    for layer in model.layers:
        assert type(layer).__module__.startswith("keras.src.layers."), layer
        assert not isinstance(layer, keras.layers.Lambda)
    names = [layer.name for layer in model.layers]
    assert len(set(names)) == len(names)
    assert names == [layer.name for layer in again.layers], "a name is numbered by the session"
    assert model.name == network


@pytest.mark.parametrize("network", nets.NETWORKS)
def test_every_convolution_is_channels_last_whatever_keras_says(network):
    keras.config.set_image_data_format("channels_first")
    try:
        model = nets.build(network, aux_head=True, **SMALL)
    finally:
        keras.config.set_image_data_format("channels_last")
    formats = {getattr(layer, "data_format", "channels_last") for layer in model.layers}
    assert formats == {"channels_last"}


@pytest.mark.parametrize("network", nets.NETWORKS)
def test_width_scales_every_convolution_but_not_the_classifier(network):
    full, _ = facts_of(network, aux_head=True)
    model = small(network, aux_head=True)
    for name, layer in layers_of(model, keras.layers.Conv2D).items():
        if not name.endswith("_linear"):
            assert layer.filters == int(full[name]["filters"] * 0.1 + 0.5), name
    assert model.outputs[0].shape == (None, 5)


@pytest.mark.parametrize("network", nets.NETWORKS)
def test_repeats_set_the_blocks_of_each_stage(network):
    points = nets.endpoints(nets.build(network, **SMALL | {"repeats": (2, 5, 3)}))
    counts = [sum(f"_{stage}_" in name for name in points) for stage in "abc"]
    assert counts == [2, 5, 3]


@pytest.mark.parametrize("network", nets.NETWORKS)
def test_every_layer_with_weights_has_a_stage(network):
    options = {"final_batch_norm": True} if network in RESIDUAL else {}
    model = nets.build(network, aux_head=True, **options, **SMALL)
    assert {stage_of(layer.name) for layer in model.layers if layer.weights} == set(STAGES)


@pytest.mark.parametrize("network", RESIDUAL)
def test_residual_scales_set_the_scale_of_each_stage(network):
    scales = (0.1, 0.2, 0.3)
    model = nets.build(network, residual_scales=scales, **SMALL | {"repeats": (1, 1, 2)})
    found = {name: layer.scale for name, layer in layers_of(model, keras.layers.Rescaling).items()}
    last = 1.0 if network == "inception_resnet_v2_released" else 0.3
    assert found == {
        "inception_resnet_a_1_scale": 0.1,
        "inception_resnet_b_1_scale": 0.2,
        "inception_resnet_c_1_scale": 0.3,
        "inception_resnet_c_2_scale": last,
    }


@pytest.mark.parametrize("network", RESIDUAL)
def test_block_output_is_relu_of_shortcut_plus_scaled_residual(network):
    model = nets.build(network, residual_scales=(0.3, 0.1, 0.1), **SMALL)
    block = "inception_resnet_a_1"
    shortcut = model.get_layer(f"{block}_add").input[0]
    tensors = [shortcut, model.get_layer(f"{block}_linear").output, model.get_layer(block).output]
    images = np.random.default_rng(0).uniform(-1, 1, (2, 75, 75, 3)).astype("float32")

    x, residual, y = map(np.asarray, keras.Model(model.input, tensors)(images))

    np.testing.assert_allclose(y, np.maximum(x + 0.3 * residual, 0), rtol=1e-5, atol=1e-6)
    assert (residual < 0).any(), "the linear layer has no activation"


@pytest.mark.parametrize("network", RESIDUAL)
def test_final_batch_norm_stands_before_the_pool(network):
    model = nets.build(network, final_batch_norm=True, **SMALL)
    assert isinstance(model.get_layer("final_bn"), keras.layers.BatchNormalization)
    assert model.get_layer("pre_logits").input is model.get_layer("final_bn").output


def test_last_block_of_released_variant_ends_without_relu_and_unscaled():
    model = nets.build("inception_resnet_v2_released", **SMALL | {"repeats": (1, 1, 2)})
    assert isinstance(model.get_layer("inception_resnet_c_1"), keras.layers.ReLU)
    assert isinstance(model.get_layer("inception_resnet_c_2"), keras.layers.Add)
    assert model.get_layer("inception_resnet_c_2_scale").scale == 1.0


def test_batch_norm_settings_reach_every_batch_norm():
    for gamma, synchronized in ((False, False), (True, True)):
        model = nets.build(
            "inception_v4",
            aux_head=True,
            batch_norm_momentum=0.9,
            batch_norm_gamma=gamma,
            synchronized=synchronized,
            **SMALL,
        )
        for norm in layers_of(model, keras.layers.BatchNormalization).values():
            settings = (norm.momentum, norm.epsilon, norm.scale, norm.center, norm.synchronized)
            assert settings == (0.9, 1e-3, gamma, True, synchronized)


@pytest.mark.parametrize("counts, corner", [(False, 1.0), (True, 4 / 9)])
def test_average_pools_count_padding_only_where_asked(counts, corner):
    model = nets.build("inception_v3", pool_counts_padding=counts, **SMALL)
    ahead = model.get_layer("inception_a_1_pool_1x1").input
    block = model.get_layer("inception_a_1_1x1").input
    pool = keras.Model(block, ahead)

    mean = np.asarray(pool(np.ones((1, *block.shape[1:]), "float32")))

    assert mean.shape[1:] == block.shape[1:]
    np.testing.assert_allclose(mean[0, 0, 0], corner, rtol=1e-6)
    np.testing.assert_allclose(mean[0, 2, 2], 1.0, rtol=1e-6)


@pytest.mark.parametrize("network", nets.NETWORKS)
def test_defaults_of_training_are_those_of_the_released_code(network):
    model = small(network, aux_head=True)
    norm = model.get_layer("stem_1_bn")
    assert (norm.momentum, norm.epsilon, norm.scale) == (0.9997, 1e-3, False)
    assert model.get_layer("dropout").rate == 0.2


# Kernel initializers of TF-slim: convolutions, classifier, auxiliary 5x5 and classifier.
INITIALIZERS = {
    "inception_v3": ("HeNormal", "HeNormal", 0.01, 0.001),
    "inception_v4": ("HeNormal", "GlorotUniform", "HeNormal", "GlorotUniform"),
    "inception_resnet_v1": ("GlorotUniform",) * 4,
    "inception_resnet_v2": ("GlorotUniform",) * 4,
    "inception_resnet_v2_released": ("GlorotUniform",) * 4,
}


@pytest.mark.parametrize("network", INITIALIZERS)
def test_kernels_start_as_in_slim(network):
    model = small(network, aux_head=True)
    found = []
    for name in ("stem_2", "logits", "aux_5x5", "aux_logits"):
        initializer = model.get_layer(name).kernel_initializer
        truncated = isinstance(initializer, keras.initializers.TruncatedNormal)
        found.append(initializer.stddev if truncated else type(initializer).__name__)
    assert tuple(found) == INITIALIZERS[network]


def test_kernels_of_equal_shape_start_differently():
    model = nets.build("inception_v3", **SMALL | {"repeats": (2, 1, 1)})
    one, other = (
        model.get_layer(f"inception_a_{i}_long_3x3_2").kernel.numpy() for i in (1, 2)
    )
    assert one.shape == other.shape
    assert (one != other).any()


def test_kernel_order_of_the_figures_swaps_kernels_and_keeps_every_count():
    released = small("inception_v4", aux_head=True)
    figure = small("inception_v4", aux_head=True, kernel_order="figure")
    assert [layer.name for layer in released.layers] == [layer.name for layer in figure.layers]
    assert released.count_params() == figure.count_params()
    swapped = {
        layer.name
        for layer in layers_of(figure, keras.layers.Conv2D).values()
        if layer.kernel_size != released.get_layer(layer.name).kernel_size
    }
    expected = {f"inception_b_1_long_7_{i}" for i in (1, 2, 3, 4)}
    expected |= {"inception_c_1_long_3_1", "inception_c_1_long_3_2"}
    expected |= {"stem_5_long_7_1", "stem_5_long_7_2"}
    assert swapped == expected
    assert figure.get_layer("stem_5_long_7_1").kernel_size == (7, 1)  # Figure 3
    assert figure.get_layer("inception_b_1_long_7_1").kernel_size == (1, 7)  # Figure 5
    assert figure.get_layer("inception_c_1_long_3_1").kernel_size == (1, 3)  # Figure 6


def test_settings_of_one_network_do_not_reach_the_next():
    bare = SMALL | {"repeats": (0, 0, 0)}
    nets.build("inception_v4", **bare | {"width": 0.2})
    assert nets.build("inception_v4", **bare).get_layer("stem_1").filters == 3


@pytest.mark.parametrize("network", nets.NETWORKS)
def test_without_top_pooling_decides_between_grid_and_vector(network):
    shapes = [
        small(network, repeats=(0, 0, 0), include_top=False, pooling=pooling).output.shape
        for pooling in (None, "avg", "max")
    ]
    channels = shapes[0][-1]
    assert shapes == [(None, 1, 1, channels), (None, channels), (None, channels)]


def test_max_pooling_takes_the_largest_feature():
    model = small(
        "inception_v4", include_top=False, pooling="max", input_shape=(150, 150, 3),
        repeats=(0, 0, 0),
    )
    grid, vector = keras.Model(model.input, [model.layers[-2].output, model.output])(
        np.random.default_rng(0).uniform(-1, 1, (1, 150, 150, 3)).astype("float32")
    )
    np.testing.assert_array_equal(np.max(grid, axis=(1, 2)), vector)


def test_default_input_is_299_with_top_and_free_without():
    assert nets.build("inception_v4", width=0.1, repeats=(0, 0, 0)).input_shape == (
        None, 299, 299, 3,
    )
    free = nets.build("inception_v4", width=0.1, repeats=(0, 0, 0), include_top=False)
    assert free.input_shape == (None, None, None, 3)


def test_activation_none_ends_in_the_logits_and_others_follow_them():
    bare = small("inception_v4", aux_head=True, classifier_activation=None, repeats=(0, 0, 0))
    assert bare.output_names == ["logits", "aux_logits"]
    model = small("inception_v4", classifier_activation="sigmoid", repeats=(0, 0, 0))
    points = nets.endpoints(model)
    assert list(points)[-2:] == ["logits", "predictions"]
    assert model.get_layer("predictions").activation is keras.activations.sigmoid


def test_logits_are_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = nets.build("inception_resnet_v1", aux_head=True, **SMALL)
    finally:
        keras.config.set_dtype_policy("float32")
    points = nets.endpoints(model)
    assert points["stem_1"].dtype == "bfloat16"
    for name in ("logits", "aux_logits", "predictions"):
        assert points[name].dtype == "float32"


def test_input_tensor_puts_the_network_behind_other_layers():
    pixels = keras.Input((90, 90, 3), name="pixels")
    scaled = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="scaled")(pixels)
    model = nets.build("inception_resnet_v1", input_tensor=scaled, **SMALL | {"input_shape": None})
    assert model.input is pixels
    assert "scaled" in {layer.name for layer in model.layers}
    assert model(np.zeros((1, 90, 90, 3), "float32")).shape == (1, 5)


def test_training_mode_drops_features_and_moves_batch_statistics():
    model = nets.build("inception_resnet_v1", dropout=0.5, batch_norm_momentum=0.9,
                       **SMALL | {"classifier_activation": None})
    images = np.random.default_rng(0).uniform(-1, 1, (4, 75, 75, 3)).astype("float32")
    norm = model.get_layer("stem_1_bn")
    before = norm.moving_variance.numpy()
    first, second = (np.asarray(model(images, training=True)) for _ in range(2))
    assert (first != second).any()
    assert (norm.moving_variance.numpy() != before).any()


@pytest.mark.parametrize("network", nets.NETWORKS)
def test_call_without_training_is_inference(network):
    """Keras' Resizing, alone among our layers, would switch the ones after it to training."""
    model = small(network, aux_head=True)
    images = np.random.default_rng(0).uniform(-1, 1, (2, 75, 75, 3)).astype("float32")
    before = model.get_weights()
    plain, inference = model(images), model(images, training=False)
    for one, other in zip(plain, inference, strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
