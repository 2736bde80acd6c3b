"""A network that is added by one file and one line: all that runs over networks takes it."""

import importlib
import sys

import numpy as np
import pytest

from inception_tf import nets
from inception_tf.commands import export, inspect
from inception_tf.config import preset
from inception_tf.networks import NETWORKS
from inception_tf.runs.network import load_model
from inception_tf.training.loop import train
from tests.pictures import write_image_folder
from tests.unit import (
    test_figures_boxes,
    test_nets_anatomy,
    test_nets_counts,
    test_nets_options,
    test_nets_shapes,
    test_nets_sizes,
    test_serving_folding,
)

FILE = '''
"""A stem and 1x1 convolutions, on the grids of the paper's networks."""

from inception_tf.nets.assembly import Initializers, Spec, Top, assemble, triple
from inception_tf.nets.layers import LayerOptions, conv_bn, max_pool
from inception_tf.nets.modules import stem_v3

SPECS = {"toy": Spec(
    repeats=(1, 1, 1),
    initializers=Initializers(),
    weights_of_blocks=(37_440, 37_440, 37_440),
    other_weights=173_072,
    features=192,
)}


def Toy(include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None,
        classes=1000, classifier_activation="softmax", name="toy", *, aux_head=False,
        dropout=0.2, repeats=None, **layers):
    spec = SPECS["toy"]
    repeats = triple(repeats, spec.repeats, "repeats")
    top = Top(include_top, pooling, classes, classifier_activation, dropout, aux_head,
              spec.initializers)
    return assemble(lambda image: body(image, repeats), LayerOptions(**layers), top,
                    input_tensor=input_tensor, input_shape=input_shape, weights=weights, name=name)


def body(x, repeats):
    num_a, num_b, num_c = repeats
    x = stem_v3(x)
    for i in range(num_a):
        x = conv_bn(x, 192, 1, name=f"inception_a_{i + 1}")
    x = max_pool(x, name="reduction_a")
    for i in range(num_b):
        x = conv_bn(x, 192, 1, name=f"inception_b_{i + 1}")
    grid17 = x
    x = max_pool(x, name="reduction_b")
    for i in range(num_c):
        x = conv_bn(x, 192, 1, name=f"inception_c_{i + 1}")
    return x, grid17
'''


@pytest.fixture(autouse=True)
def toy(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("nets")
    (folder / "toy.py").write_text(FILE)
    monkeypatch.setattr(nets, "__path__", [*nets.__path__, str(folder)])
    monkeypatch.setitem(NETWORKS, "toy", "toy:Toy")
    importlib.invalidate_caches()
    yield
    sys.modules.pop("inception_tf.nets.toy", None)


@pytest.mark.parametrize("test", [
    test_nets_anatomy.test_parts_share_out_every_layer_and_end_at_stride_32,
    test_nets_counts.test_layers_without_top_or_head_are_those_with_it_less_the_classifiers,
    test_nets_options.test_network_is_made_of_stock_layers_named_by_us,
    test_nets_options.test_width_scales_every_convolution_but_not_the_classifier,
    test_nets_options.test_repeats_set_the_blocks_of_each_stage,
    test_nets_options.test_without_top_pooling_decides_between_grid_and_vector,
    test_nets_options.test_call_without_training_is_inference,
    test_nets_shapes.test_network_of_unknown_size_gives_probabilities_at_every_size,
    test_nets_shapes.test_auxiliary_head_has_the_same_weights_at_every_size,
    test_nets_options.test_every_layer_with_weights_has_a_stage,
    test_nets_shapes.test_feature_pyramid_gives_one_grid_per_stride,
    test_figures_boxes.test_drawings_put_branches_in_order_and_nothing_on_top_of_another,
    test_serving_folding.test_served_networks_answer_the_same_from_kernels_alone,
], ids=lambda test: test.__name__.removeprefix("test_"))
def test_new_network_passes_the_test_of_all_networks(test):
    test("toy")


def test_new_network_is_as_large_as_its_file_says():
    test_nets_sizes.test_num_parameters_is_near_those_of_the_built_network(
        "toy", {"repeats": (2, 1, 1), "classes": 7})


def test_new_network_is_inspected_by_its_name(capsys):
    inspect.main(["--net=toy", "--image_size=75", "--diff=inception_v3", "--repeats=1,1,1"])
    assert "inception_a_1" in capsys.readouterr().out


def test_weights_of_a_new_network_are_saved_and_loaded(tmp_path):
    model = nets.build("toy", classes=5, aux_head=True)
    model.save(tmp_path / "toy.keras")
    body = nets.build("toy", include_top=False, weights=tmp_path / "toy.keras")
    for weight in body.weights:
        layer, variable = weight.path.split("/")
        np.testing.assert_array_equal(
            weight.numpy(), getattr(model.get_layer(layer), variable).numpy())


def test_new_network_is_trained_and_exported(tmp_path):
    write_image_folder(tmp_path / "images", {"train": 8, "validation": 4})
    run = tmp_path / "run"
    train(preset("tiny").replace(
        net="toy", dataset="folder", data_dir=str(tmp_path / "images"), model_dir=str(run),
        max_steps=1, freeze=("stem",)))
    model, config, _ = load_model(str(run))
    assert config.network.net == model.name == "toy"
    export.main([f"--model_dir={run}", f"--export_dir={tmp_path / 'exported'}"])
    assert (tmp_path / "exported" / "saved_model.pb").exists()
