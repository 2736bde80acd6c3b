"""`train --init_from`: what is loaded, what is new, what stays frozen to the last bit."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from inception_tf.commands.train import main
from inception_tf.config import Config, preset
from inception_tf.errors import UsageError
from inception_tf.networks import STAGES, stage_of
from inception_tf.runs import checkpoint
from inception_tf.runs.folder import CHECKPOINTS
from inception_tf.runs.network import build_network, load_model
from inception_tf.training.init_from import start_from, with_settings_carried
from inception_tf.weights.card import Facts, read_facts, write_facts
from tests.pictures import write_image_folder
from tests.runs import write_run


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_image_folder(tmp_path_factory.mktemp("images"), {"train": 24, "validation": 5})


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    """A run on seven classes, its images cut in its own way."""
    return write_run(tmp_path_factory.mktemp("origin") / "run", [f"c{i}" for i in range(7)],
                     crop_fraction=0.9, interpolation="bicubic", aux_head=False)


def arguments(images, origin, folder, *more):
    return ["--preset=tiny", f"--init_from={origin}", "--dataset=folder", f"--data_dir={images}",
            f"--model_dir={folder}", "--max_steps=4", "--epochs=9", "--eval_every_epochs=0",
            "--freeze=stem,35x35", "--head_lr_multiplier=10", "--checkpoint_every_epochs=0.6",
            *more]


@pytest.fixture(scope="module")
def tuned(images, origin, tmp_path_factory):
    """The folder of a run of four steps from `origin`."""
    folder = tmp_path_factory.mktemp("tuned")
    main(arguments(images, origin, folder))
    return folder


def newest(folder):
    return checkpoint.load_newest(Path(folder) / CHECKPOINTS, print)


def test_frozen_stages_and_their_averages_keep_every_bit_and_others_move(origin, tuned):
    before, after = newest(origin)[0], newest(tuned)[0]
    moved = {name: not np.array_equal(after[name], array) for name, array in before.items()
             if "logits" not in name}
    frozen = {name for name in moved if stage_of(name.split("/", 1)[1]) in ("stem", "35x35")}
    assert any("moving_mean" in name for name in frozen)
    assert not any(moved[name] for name in frozen)
    assert all(moved[name] for name in moved if name not in frozen)


def test_class_names_and_preprocessing_travel_to_the_checkpoint(tuned):
    manifest = newest(tuned)[1]
    config = Config.from_json((tuned / "config.json").read_text())
    assert manifest["class_names"] == [f"class_{i}" for i in range(5)]
    assert (config.data.crop_fraction, config.data.interpolation) == (0.9, "bicubic")
    assert not config.network.aux_head and config.network.width == 0.07


def test_run_that_goes_on_ends_with_the_same_bits_without_its_origin(
        images, origin, tuned, tmp_path):
    (tmp_path / "origin").symlink_to(origin)
    words = arguments(images, tmp_path / "origin", tmp_path / "run")
    main([*words, "--max_steps=2"])
    (tmp_path / "origin").unlink()
    main(words)
    ours, whole = newest(tmp_path / "run")[0], newest(tuned)[0]
    assert ours.keys() == whole.keys()
    for name, array in whole.items():
        np.testing.assert_array_equal(ours[name], array, err_msg=name)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--freeze=stem,middle"], "--freeze=middle is not one of stem, 35x35, 17x17, 8x8, head"),
        (["--freeze=" + ",".join(STAGES)], "nothing to train"),
        (["--init_from=none.keras"], "none.keras"),
        (["--init_from=weights.txt"], "give a .keras or .weights.h5 file, or a run's folder"),
        (["--width=0.1"], r"another network.*stem_1/kernel has shape"),
    ],
)
def test_mistake_in_fine_tuning_is_one_line_that_names_it(
        images, origin, tmp_path, words, message):
    with pytest.raises(UsageError, match=message):
        main(arguments(images, origin, tmp_path / "run", *words))


@pytest.fixture(scope="module", params=[".keras", ".weights.h5"])
def file(request, origin, tmp_path_factory):
    """(path, model): the origin's network in one file, with what belongs to it."""
    model, config, manifest = load_model(origin)
    path = str(tmp_path_factory.mktemp("file") / f"x{request.param}")
    (model.save if request.param == ".keras" else model.save_weights)(path)
    # More text than fits one attribute of HDF5.
    origin = {"source": "x" * 70_000}
    write_facts(path, Facts(config, tuple(manifest["class_names"]), origin))
    assert read_facts(path).origin == origin
    return path, model


def test_file_brings_its_classifier_where_classes_are_the_same(file):
    path, model = file
    facts = read_facts(path)
    new = build_network(facts.config.network, 7)
    table = start_from(path, new, facts.class_names)
    for one, other in zip(model.weights, new.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    assert "new:" not in table


def test_file_brings_no_classifier_to_other_classes(file):
    path, model = file
    new = build_network(read_facts(path).config.network, 7)
    drawn = new.get_layer("logits").kernel.numpy()
    table = start_from(path, new, [f"d{i}" for i in range(7)])
    np.testing.assert_array_equal(new.get_layer("logits").kernel.numpy(), drawn)
    np.testing.assert_array_equal(
        new.get_layer("stem_2").kernel.numpy(), model.get_layer("stem_2").kernel.numpy())
    assert "new: logits/kernel (class 'd0', there 'c0')" in table


def test_settings_of_a_file_give_way_to_flags_alone(file):
    config = preset("demo").replace(init_from=file[0])
    carried = with_settings_carried(config, {"crop_fraction": 1.0, "image_size": 96})
    assert carried.network.net == "inception_resnet_v1"
    assert carried.data.interpolation == "bicubic"
    assert carried.data.crop_fraction == config.data.crop_fraction  # flags are in it already
    assert carried.network.image_size == config.network.image_size


def test_file_without_facts_leaves_every_setting_to_flags_and_preset(origin, tmp_path, caplog):
    path = str(tmp_path / "plain.weights.h5")
    load_model(origin)[0].save_weights(path)
    config = preset("demo").replace(init_from=path, crop_fraction=0.5)
    assert config.network != Config().replace(init_from=path).network
    assert with_settings_carried(config, {"crop_fraction": 0.5}) == config
    assert "flags and presets decide" in caplog.text


def test_damaged_facts_of_a_file_are_refused_in_one_line(tmp_path):
    path = tmp_path / "x.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("inception_tf.json", '{"config": 3, "class_names": [], "origin": {}}')
    with pytest.raises(UsageError, match="x.keras: what it says of itself is damaged"):
        read_facts(str(path))
