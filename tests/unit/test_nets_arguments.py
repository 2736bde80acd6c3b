"""What the builders refuse, what is public, and how pixels are scaled."""

import keras
import numpy as np
import pytest

import inception_tf
from inception_tf import nets

REFUSED = {
    "input_shape below 75": ({"input_shape": (74, 299, 3)}, "75"),
    "input_shape channels first": ({"input_shape": (3, 299, 299)}, "channels last"),
    "input_shape without channels": ({"input_shape": (299, 299)}, "height, width, channels"),
    "input_shape of unknown channels": ({"input_shape": (299, 299, None)}, "channels"),
    "input_tensor of numbers": ({"input_tensor": np.zeros((1, 299, 299, 3))}, "Keras tensor"),
    "pooling": ({"pooling": "mean", "include_top": False}, "'mean'"),
    "classes": ({"classes": 0}, "classes"),
    "classes of floats": ({"classes": 10.0}, "10.0"),
    "dropout": ({"dropout": 1.0}, "1.0"),
    "input_shape of one number": ({"input_shape": 299}, "299"),
    "input_shape of floats": ({"input_shape": (299.0, 299, 3)}, "299.0"),
    "classes of a truth": ({"classes": True}, "True"),
    "dropout of nan": ({"dropout": float("nan")}, "nan"),
    "dropout of text": ({"dropout": "0.2"}, "'0.2'"),
    "width": ({"width": 0}, "width"),
    "negative width": ({"width": -1.0}, "-1.0"),
    "infinite width": ({"width": float("inf")}, "inf"),
    "width of nan": ({"width": np.float32("nan")}, "nan"),
    "width of text": ({"width": "1"}, "'1'"),
    "repeats of one number": ({"repeats": 3}, "3"),
    "repeats": ({"repeats": (1, 2)}, "(1, 2)"),
    "repeats of floats": ({"repeats": (1, 2, 0.5)}, "0.5"),
    "negative repeats": ({"repeats": (1, -2, 1)}, "-2"),
    "momentum": ({"batch_norm_momentum": 1.5}, "1.5"),
    "aux head without top": ({"aux_head": True, "include_top": False}, "include_top"),
    "weights of imagenet": ({"weights": "imagenet"}, "imagenet"),
    "weights that do not exist": ({"weights": "nowhere.keras"}, "nowhere.keras"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_builder_refuses_a_wrong_argument_and_names_it(case):
    arguments, words = REFUSED[case]
    settings = {"width": 0.1, "repeats": (0, 0, 0)} | arguments
    with pytest.raises(ValueError) as error:
        nets.InceptionV4(**settings)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_builder_refuses_wrong_variants_scales_and_orders():
    with pytest.raises(ValueError, match="'keras'"):
        nets.InceptionResNetV2(variant="keras")
    with pytest.raises(ValueError, match="paper's variant"):
        nets.InceptionResNetV2(variant="released", reduction_b_figure=12)
    with pytest.raises(ValueError, match="13"):
        nets.InceptionResNetV2(reduction_b_figure=13)
    with pytest.raises(ValueError, match="residual_scales"):
        nets.InceptionResNetV1(residual_scales=(0.1,))
    with pytest.raises(ValueError, match="inf"):
        nets.InceptionResNetV1(residual_scales=(0.1, float("inf"), 0.1))
    with pytest.raises(ValueError, match="kernel_order"):
        nets.InceptionV4(kernel_order="slim")


def test_builders_take_numpy_numbers_and_save_them(tmp_path):
    model = nets.InceptionResNetV1(
        classes=np.int64(3), width=np.float32(0.05), repeats=np.array([1, 0, 0]),
        dropout=np.float32(0.1), batch_norm_momentum=np.float32(0.9),
        residual_scales=(np.float32(0.1), 0, np.float64(0.2)), input_shape=(np.int64(80), 80, 3))
    model.save(tmp_path / "x.keras")
    assert keras.models.load_model(tmp_path / "x.keras").output_shape == (None, 3)
    assert nets.FacenetInceptionResNetV1(np.int64(4), width=0.05).output_shape == (None, 4)


@pytest.mark.parametrize("cut", [nets.endpoints, nets.feature_pyramid])
def test_models_of_others_have_no_endpoints_and_the_network_inside_is_named(cut):
    inner = nets.InceptionV3(include_top=False, pooling="avg", width=0.05, repeats=(0, 0, 0))
    around = keras.Sequential([inner, keras.layers.Dense(3)])
    with pytest.raises(ValueError, match=r"Sequential\).*get_layer\('inception_v3'\)"):
        cut(around)
    for other in (keras.Sequential([keras.layers.Dense(3)]), "x", None,
                  keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(3, 1)])):
        with pytest.raises(ValueError, match="expected a network of inception_tf"):
            cut(other)


def test_feature_pyramid_of_a_cut_network_is_refused():
    whole = nets.InceptionV3(include_top=False, width=0.05, repeats=(0, 0, 0))
    cut = keras.Model(whole.input, nets.endpoints(whole)["reduction_a"])
    with pytest.raises(ValueError, match="ends before reduction_b"):
        nets.feature_pyramid(cut)


def test_build_refuses_an_unknown_network_and_lists_the_known():
    with pytest.raises(ValueError, match="inception_v5.*inception_resnet_v2_released"):
        nets.build("inception_v5")


def test_builders_are_public_names_of_the_package():
    for name in ("InceptionV3", "InceptionV4", "InceptionResNetV1", "InceptionResNetV2"):
        assert getattr(inception_tf, name) is getattr(nets, name)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_preprocess_input_scales_pixels_and_leaves_its_argument_alone(dtype):
    pixels = np.array([0, 127.5 if dtype != "uint8" else 51, 255], dtype)
    copy = pixels.copy()
    expected = copy.astype("float32") / 127.5 - 1
    for given in (pixels, keras.ops.convert_to_tensor(pixels)):
        scaled = keras.ops.convert_to_numpy(inception_tf.preprocess_input(given))
        assert scaled.dtype == "float32"
        np.testing.assert_allclose(scaled, expected, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(pixels, copy)


@pytest.mark.parametrize("data_format", [None, "channels_last", "channels_first"])
def test_preprocess_input_takes_a_data_format_as_keras_does(data_format):
    pixels = np.arange(12.0).reshape(1, 2, 2, 3)
    np.testing.assert_array_equal(nets.preprocess_input(pixels, data_format=data_format),
                                  nets.preprocess_input(pixels))
    with pytest.raises(ValueError, match="'NCHW'"):
        nets.preprocess_input(pixels, data_format="NCHW")


def test_preprocess_input_equals_that_of_keras_applications():
    pixels = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3)).astype("float32")
    theirs = keras.applications.inception_resnet_v2.preprocess_input(pixels.copy())
    np.testing.assert_allclose(nets.preprocess_input(pixels), theirs, rtol=1e-6, atol=1e-7)
