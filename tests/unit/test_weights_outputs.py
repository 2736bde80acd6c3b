"""What `convert` writes: a run's folder, files that know their preprocessing, averages."""

import numpy as np
import pytest

from inception_tf import nets
from inception_tf.commands.convert import main
from inception_tf.commands.export import main as export
from inception_tf.errors import UsageError
from inception_tf.runs import checkpoint
from inception_tf.runs.folder import CHECKPOINTS, read_config
from inception_tf.runs.network import load_model
from inception_tf.serving.manifest import read_export_manifest
from inception_tf.training import averaging, resume
from inception_tf.training.init_from import start_from
from inception_tf.weights.card import read_facts
from tests.parity.arrays import images
from tests.unit.test_nets_files import OPEN_WITHOUT_US, run_python
from tests.weight_files import WIDTH, arrays, write_checkpoint

NET = "inception_v3"
KERNEL = "InceptionV3/Conv2d_2a_3x3/weights"


@pytest.fixture(scope="module")
def named():
    return arrays(NET, "slim", 1001)


@pytest.fixture(scope="module")
def source(named, tmp_path_factory):
    """slim's checkpoint with an average of every array, each half of its weight."""
    shadows = {f"{name}/ExponentialMovingAverage": array / 2 for name, array in named.items()}
    path = tmp_path_factory.mktemp("slim") / "model.ckpt"
    return write_checkpoint(path, named | shadows | {"global_step": np.int64(9)})


def convert(source, output, *more):
    main([f"--net={NET}", "--from=slim", f"--input={source}", f"--output={output}",
          f"--width={WIDTH}", "--image_size=75", "--classes=1001", *more])
    return output


@pytest.fixture(scope="module")
def folder(source, tmp_path_factory):
    return convert(source, tmp_path_factory.mktemp("out") / "run")


def test_folder_is_read_like_a_run_with_its_averages_preprocessing_and_classes(folder, named):
    averaged, config, facts = load_model(folder)
    raw, _, _ = load_model(folder, weights="raw")
    np.testing.assert_array_equal(raw.get_layer("stem_2").kernel.numpy(), named[KERNEL])
    np.testing.assert_array_equal(averaged.get_layer("stem_2").kernel.numpy(), named[KERNEL] / 2)
    assert config.network.background_class and averaged.output.shape == (None, 1001)
    assert (config.data.crop_fraction, config.data.pixel_centers) == (0.875, "corner")
    assert len(facts["class_names"]) == 1000
    assert facts["class_names"][0] == "n01440764"
    assert facts["origin"]["source"] == "slim"
    (name, digest), = facts["origin"]["files"].items()
    assert name.startswith("model.ckpt.data-") and len(digest) == 64


def test_folder_is_no_run_to_go_on_with(folder):
    _, config, facts = load_model(folder)
    with pytest.raises(UsageError, match="weights converted.*--init_from"):
        resume.check(facts, config, source=None)


@pytest.mark.parametrize(("weights", "share"), [("ema", 0.5), ("raw", 1.0)])
def test_file_carries_preprocessing_and_the_weights_asked_for(
        source, named, tmp_path, capsys, weights, share):
    output = convert(source, tmp_path / "x.weights.h5", f"--weights={weights}")
    facts = read_facts(str(output))
    assert facts.config.data.pixel_centers == "corner"
    assert facts.config.network.width == WIDTH and len(facts.class_names) == 1000
    model = nets.build(NET, classes=1001, width=WIDTH, input_shape=(75, 75, 3), weights=output)
    np.testing.assert_array_equal(
        model.get_layer("stem_2").kernel.numpy(), named[KERNEL] * np.float32(share))
    text = capsys.readouterr().out
    assert (f"{KERNEL}/ExponentialMovingAverage [3, 3, 2, 2]: average of stem_2/kernel" in text) \
        == (weights == "ema")


@pytest.fixture(scope="module")
def five_classes(tmp_path_factory):
    """A run's folder converted from slim's checkpoint of five classes, without averages."""
    folder = tmp_path_factory.mktemp("five")
    path = write_checkpoint(folder / "model.ckpt", arrays(NET, "slim", 5))
    return convert(path, folder / "run", "--classes=as_found")


def exported(folder, export_dir):
    """(manifest, model card) of an export."""
    export([f"--model_dir={folder}", f"--export_dir={export_dir}", "--format=keras",
            "--check_images=0"])
    return read_export_manifest(export_dir), (export_dir / "model_card.md").read_text()


def test_export_of_converted_weights_names_their_file_and_no_data(five_classes, tmp_path):
    facts, card = exported(five_classes, tmp_path / "1")
    (name, digest), = facts["origin"]["origin"]["files"].items()
    assert facts["data"] is None and read_config(five_classes).data.dataset == "folder"
    assert f"ema; converted from slim's {name} (sha256 {digest[:16]}...), weights as they" in card
    assert "trained on**: what the converted file does not say\n" in card
    assert "step 0" not in card and "arXiv 1512.00567" in card


def test_average_of_converted_weights_is_still_of_their_file(five_classes, tmp_path):
    loaded, newest = checkpoint.load(five_classes / CHECKPOINTS, 0)
    averaging.write(tmp_path / "run", read_config(five_classes), loaded, [newest], 64)
    facts, card = exported(tmp_path / "run", tmp_path / "1")
    assert facts["data"] is None and "converted from slim's model.ckpt" in card
    assert "weights as they are; batch statistics of 64 images\n" in card


def test_converted_file_starts_a_run_with_a_new_classifier(source, tmp_path, named):
    output = convert(source, tmp_path / "x.keras", "--weights=raw")
    model = nets.build(NET, classes=3, width=WIDTH, input_shape=(96, 96, 3), aux_head=True)
    table = start_from(str(output), model, ["a", "b", "c"])
    np.testing.assert_array_equal(model.get_layer("stem_2").kernel.numpy(), named[KERNEL])
    assert "new: logits/kernel (3 classes, there 1000)" in table
    assert "new: aux_1x1/kernel (no auxiliary head there)" in table


def test_converted_file_opens_in_plain_keras_of_another_backend_without_this_package(
        source, tmp_path):
    pytest.importorskip("torch", reason="torch is not installed")
    path = convert(source, tmp_path / "x.keras")
    pictures = images(size=75)
    model = nets.build(NET, classes=1001, width=WIDTH, input_shape=(75, 75, 3), weights=path)
    answer = model(pictures, training=False).numpy()
    np.save(tmp_path / "images.npy", pictures)
    np.save(f"{path}.0.npy", answer[0])
    printed = run_python(OPEN_WITHOUT_US, tmp_path, path, KERAS_BACKEND="torch")
    assert printed.strip() == "torch"
