"""Converting weights of torchvision, GluonCV and facenet-pytorch, on narrow networks."""

import h5py
import keras
import numpy as np
import pytest

from inception_tf import nets
from inception_tf.commands.convert import main
from inception_tf.config import Config
from inception_tf.errors import UsageError
from inception_tf.runs.network import build_network, load_model
from inception_tf.training.init_from import with_settings_carried
from tests.parity.arrays import images
from tests.weight_files import WIDTH, arrays, matched

NET = "inception_v3"
SHAPE = {"input_shape": (75, 75, 3), "width": WIDTH}
NARROW = [f"--width={WIDTH}", "--image_size=75"]


@pytest.fixture(scope="module")
def state():
    """Arrays of torchvision's file, auxiliary head included."""
    return arrays(NET, "torchvision")


@pytest.mark.parametrize("source, crop", [("torchvision", 299 / 342), ("timm", 0.875)])
def test_converted_folder_keeps_the_pools_and_the_crop_of_its_source(
        source, crop, state, write_state, tmp_path):
    main([f"--net={NET}", f"--from={source}", f"--input={write_state(state)}", *NARROW,
          f"--output={tmp_path / 'run'}"])
    model, config, facts = load_model(tmp_path / "run")
    assert config.network.pool_counts_padding and not config.network.batch_norm_gamma
    assert (config.data.crop_fraction, config.data.antialias) == (crop, True)
    assert facts["origin"]["source"] == source
    assert model.get_layer("inception_a_1_pool_padding")
    np.testing.assert_array_equal(model.get_layer("logits").bias.numpy(), state["fc.bias"])
    carried = with_settings_carried(
        Config().replace(init_from=str(tmp_path / "run"), model_dir=str(tmp_path / "new")), {})
    assert carried.network.pool_counts_padding


@pytest.mark.parametrize("counts", [False, True])
@pytest.mark.parametrize("ending", [".keras", ".weights.h5"])
def test_builder_with_other_pools_than_the_file_is_refused(tmp_path, ending, counts):
    """No array says it: the answers would be wrong without a word."""
    small = {**SHAPE, "repeats": (1, 1, 1), "classes": 5}
    path = tmp_path / f"out{ending}"
    saved = nets.build(NET, pool_counts_padding=counts, **small)
    saved.save(path) if ending == ".keras" else saved.save_weights(path)
    with pytest.raises(ValueError, match=f"pool_counts_padding={counts} there and {not counts}"):
        nets.build(NET, weights=path, pool_counts_padding=not counts, **small)
    again = nets.build(NET, weights=path, pool_counts_padding=counts, **small)
    np.testing.assert_array_equal(
        again.get_layer("logits").kernel.numpy(), saved.get_layer("logits").kernel.numpy())


def test_auxiliary_head_is_converted_where_asked_for_and_ignored_else(state, write_state):
    path = write_state(state)
    both = matched(NET, "torchvision", path, aux_head=True, **SHAPE)
    assert {row.state for row in both.rows if "AuxLogits" in row.name} == {"used", "ignored"}
    unit = {row.note for row in both.rows if row.state == "ignored"}
    assert unit == {"scale of batch norm, equal to 1: left out"}
    np.testing.assert_array_equal(
        both.model().get_layer("aux_logits").bias.numpy(), state["AuxLogits.fc.bias"])
    one = matched(NET, "torchvision", path, **SHAPE)
    assert {row.state for row in one.rows if "AuxLogits" in row.name} == {"ignored"}


def test_auxiliary_head_that_the_file_lacks_is_named(state, write_state):
    named = {name: array for name, array in state.items() if "AuxLogits" not in name}
    with pytest.raises(UsageError, match=r"missing.*AuxLogits\.conv0\.conv\.weight"):
        matched(NET, "timm", write_state(named), aux_head=True, **SHAPE).model()


def test_gluon_first_layer_takes_pixels_from_minus_one_to_one(state, write_state):
    named = {name: array for name, array in state.items() if "AuxLogits" not in name}
    path = write_state(named)
    ours, theirs = (matched(NET, source, path, **SHAPE).model() for source in ("gluon", "timm"))
    pictures = images(1, 75)
    normalized = ((pictures + 1) / 2 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]

    answer, expected = (
        np.asarray(keras.Model(model.input, model.get_layer("stem_1_relu").output)(x))
        for model, x in ((ours, pictures), (theirs, normalized.astype("float32"))))

    np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(
        ours.get_layer("stem_2").kernel.numpy(), theirs.get_layer("stem_2").kernel.numpy())


def test_other_networks_refuse_to_count_padding():
    network = Config().replace(net="inception_v4", pool_counts_padding=True).network
    with pytest.raises(UsageError, match="--pool_counts_padding is for inception_v3 alone"):
        build_network(network, 10)


def test_facenet_pytorch_becomes_an_embedding_with_its_learned_scales(
        write_state, tmp_path, capsys):
    named = arrays("inception_resnet_v1", "facenet_pytorch", 16)
    named["last_bn.weight"][:] = 0.5
    people = {"logits.weight": np.zeros((9, 16), "f4"), "logits.bias": np.zeros(9, "f4")}
    output = tmp_path / "face.weights.h5"
    main(["--from=facenet_pytorch", "--net=inception_resnet_v1", *NARROW,
          f"--input={write_state(named | people)}", f"--output={output}"])
    lines = capsys.readouterr().out.splitlines()
    assert "16 numbers per face and a learned scale in batch norm (batch_norm_gamma" in lines[-1]
    assert sum("classifier of the people" in line for line in lines) == 2
    model = nets.FacenetInceptionResNetV1(16, weights=output, batch_norm_gamma=True, **SHAPE)
    np.testing.assert_array_equal(
        model.get_layer("bottleneck").kernel.numpy(), named["last_linear.weight"].T)
    np.testing.assert_array_equal(model.get_layer("bottleneck_bn").gamma.numpy(), 0.5)
    with h5py.File(output) as file:  # it says nothing of classes
        assert not [name for name in file.attrs if name.startswith("inception_tf")]
