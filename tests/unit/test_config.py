"""Config and flags: bounds, round trips, and one clear line for a mistake."""

import json

import pytest

from inception_tf import flags
from inception_tf.config import PRESETS, Config, preset
from inception_tf.errors import UsageError


@pytest.mark.parametrize("name", PRESETS)
def test_preset_round_trips_through_json(name):
    assert Config.from_json(preset(name).to_json()) == preset(name)


@pytest.mark.parametrize("written, meant", [("false", "auto"), ("true", "on"), ('"off"', "off")])
def test_xla_of_an_earlier_config_is_understood(written, meant):
    assert Config.from_json(f'{{"execution": {{"xla": {written}}}}}').execution.xla == meant


def test_paper_preset_has_the_papers_numbers():
    o = preset("paper").optimization
    assert (o.learning_rate, o.decay_rate, o.decay_epochs) == (0.045, 0.94, 2.0)
    assert (o.optimizer, o.rmsprop_decay, o.epsilon, o.momentum) == ("rmsprop", 0.9, 1.0, 0.9)
    assert (o.global_batch, o.replica_batch) == (20 * 32, 32)
    assert preset("paper").network.dropout == 0.2
    assert preset("paper").network.image_size == 299


@pytest.mark.parametrize("text, message", [
    ("{", "config.json is damaged: "),
    ("\ufeff{}", "config.json is damaged: Unexpected UTF-8 BOM"),
    ('{"network": {"width": 1, "width": 2}}', "a key is there twice"),
    ('{"optimization": {"learning_rate": 1e999}}', "1e999 is no finite number"),
    ('{"optimization": {"learning_rate": 1%s}}' % ("0" * 400), "--learning_rate=inf"),
    ("[]", "Expected `object`"),
    ('{"nets": {}}', "unknown group 'nets'"),
    ('{"network": {"depth": 3}}', "unknown key network.depth"),
    ('{"network": {"width": "wide"}}', "network.width must be float, got 'wide'"),
    ('{"network": {"repeats": [1, 2.5, 3]}}', "network.repeats must be int, got 2.5"),
    ('{"network": {"aux_head": 1}}', "network.aux_head must be bool"),
    ('{"optimization": {"learning_rate": NaN}}', "NaN is no JSON"),
    ('{"network": {"image_size": 74}}', "--image_size=74 is below 75"),
])
def test_config_from_bad_json_names_the_key(text, message):
    with pytest.raises(UsageError, match=message.replace("[", r"\[")):
        Config.from_json(text, "config.json")


def test_config_from_json_of_part_takes_defaults_for_the_rest():
    config = Config.from_json(json.dumps({"network": {"width": 2}}))
    assert config.network.width == 2.0
    assert config.optimization == Config().optimization


def test_flags_override_the_preset_and_nothing_else():
    _, config = flags.parse_run("train", "", ["--preset=paper", "--repeats=1,2,3",
                                              "--noaux_head", "--learning_rate=0.1"])
    expected = preset("paper").replace(repeats=(1, 2, 3), aux_head=False, learning_rate=0.1)
    assert config == expected


def test_flags_absent_train_is_the_demo():
    assert flags.parse_run("train", "", [])[1] == preset("demo")


@pytest.mark.parametrize("argv, message", [
    (["--learning_rat=1"], "learning_rat"),
    (["--learning_rate=fast"], "--learning_rate=fast"),
    (["--net=resnet50"], "inception_v3"),
    (["--preset=huge"], "demo"),
    (["--repeats=1,2"], "three values"),
    (["--width=-1"], "--width=-1.0 is below"),
    (["train"], "flags only, got 'train'"),
])
def test_flags_of_a_mistake_raise_one_line_with_the_value(argv, message):
    with pytest.raises(UsageError, match=message) as caught:
        flags.parse_run("train", "", argv)
    assert "Traceback" not in str(caught.value)


def test_help_lists_every_flag_by_group(capsys):
    with pytest.raises(SystemExit) as caught:
        flags.parse_run("train", "Trains.", ["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for part in ("network:", "optimization:", "--net", "--[no]aux_head", "--model_dir", "--preset"):
        assert part in text
