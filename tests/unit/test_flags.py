"""Flags of every command: paths, bounds, and what the user reads after a mistake."""

import dataclasses
import importlib
import os
import re
import subprocess
import sys

import pytest

from inception_tf import flags
from inception_tf.__main__ import COMMANDS
from inception_tf.bounds import MAX_FLOAT, MAX_INT
from inception_tf.config import GROUPS
from inception_tf.errors import UsageError
from tests.runs import write_run

FIELDS = [field for group in GROUPS.values() for field in dataclasses.fields(group)]
# Flags that name no path though they end like one, or end otherwise though they name one.
OTHER_PATHS = {"init_from", "predictions", "from_predictions", "exclude", "labels", "submission",
               "report", "output", "explain", "model", "input", "check", "class_ids", "draw"}


def own_flags():
    for command in COMMANDS:
        module = importlib.import_module(f"inception_tf.commands.{command}")
        yield from ((command, flag) for flag in getattr(module, "OWN", ()))


def parse(*words, own=()):
    return flags.parse("try", "", words, own)


def test_f51_every_flag_that_names_a_path_is_marked_as_one():
    found = [(flag.name, flag.path, type(flag.default)) for _, flag in own_flags()]
    found += [(field.name, field.metadata["path"], field.type) for field in FIELDS]
    for name, is_path, kind in found:
        named = name.endswith("_dir") or name in OTHER_PATHS
        assert is_path == (named and kind in (str, tuple)), name


@pytest.mark.parametrize("value, words", [
    ("", "is empty: is a shell variable unset"), (" ", "is empty"),
    ("gs://bucket/runs", "is an address"), ("~nobody_of_that_name/runs", "no such user"),
])
def test_f51_path_that_cannot_be_meant_is_refused_for_every_path_flag(value, words):
    paths = [(flag.name, {"own": (flag,), "fields": ()}) for _, flag in own_flags() if flag.path]
    paths += [(field.name, {}) for field in FIELDS if field.metadata["path"]]
    assert len(paths) > 15
    for name, settings in paths:
        with pytest.raises(UsageError, match=f"--{name}.* {words}|--{name} {words}"):
            flags.parse("try", "", [f"--{name}={value}"], **settings)


def test_f51_home_is_expanded_in_single_paths_and_in_lists(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    own = (flags.Flag("files", (), "", path=True),)
    given = parse("--model_dir=~/a", "--data_dir=~", "--files=~/a,b,./c/", own=own)
    assert given.given == {"model_dir": "/home/me/a", "data_dir": "/home/me"}
    assert given.own["files"] == ("/home/me/a", "b", "./c/")
    assert flags.path_list("model_dir", "~/a,~/b") == ("/home/me/a", "/home/me/b")


@pytest.mark.parametrize("value", ["a,,b", ",a", "a,"])
def test_f51_list_of_paths_with_an_empty_one_is_refused(value):
    with pytest.raises(UsageError, match="--model_dir is empty"):
        flags.path_list("model_dir", value)


@pytest.mark.parametrize("field", [f for f in FIELDS if "int" in str(f.type) or "float" in str(
    f.type)], ids=lambda field: field.name)
def test_number_that_is_absurd_is_refused_by_every_flag(field):
    values = ["1" + "0" * 31, "-1" + "0" * 31, "many", "²"]
    if "float" in str(field.type):
        values += ["nan", "inf", "-inf", "1e308"]
    for value in values:
        with pytest.raises(UsageError, match=f"--{field.name}="):
            parse(f"--{field.name}={value}")


def test_number_that_is_absurd_is_refused_by_the_flags_of_one_command_too():
    for _, flag in own_flags():
        if type(flag.default) in (int, float):
            for value in (MAX_INT + 1, -MAX_INT - 1):
                if type(flag.default) is float:
                    value *= MAX_FLOAT
                with pytest.raises(UsageError, match=f"--{flag.name}="):
                    # A command's own flag may stand for a field that it leaves out.
                    flags.parse("try", "", [f"--{flag.name}={value}"], (flag,), fields=())


@pytest.mark.parametrize("word, near", [
    ("lr", "learning_rate"), ("wd", "weight_decay"), ("epoch", "epochs"), ("model", "model_dir"),
    ("batch_size", "global_batch"), ("learning-rate", "learning_rate"),
    ("img_size", "image_size"), ("no-aux-head", "aux_head"), ("gpus", "strategy"),
])
def test_unknown_flag_is_answered_with_the_nearest(word, near):
    with pytest.raises(UsageError, match=rf"no flag --{word}: did you mean --{near}\?"):
        parse(f"--{word}=1")


def test_unknown_flag_like_none_is_answered_with_help_and_one_of_others_with_that():
    with pytest.raises(UsageError, match="try has no flag --xyzzy: see `inception-tf try --help`"):
        parse("--xyzzy")
    with pytest.raises(UsageError, match=r"--epochs \(a flag of other commands\)"):
        flags.parse("export", "", ["--epochs=3"], fields=())


def help_of(parse_words, capsys):
    """Flag -> default, as the help has them; and its first line."""
    with pytest.raises(SystemExit) as caught:
        parse_words()
    text = capsys.readouterr().out
    assert caught.value.code == 0
    return dict(re.findall(r"--(?:\[no\])?(\w+):(?:.|\n(?!  --))*?\(default: (.*)\)", text)), text


@pytest.mark.parametrize("words, name", [
    (["--help"], "demo"), (["--preset=tiny", "--help"], "tiny"), (["--helpfull"], "demo"),
    (["--seed", "3", "--nope", "--preset", "paper", "-h"], "paper"),
])
def test_help_shows_the_defaults_of_the_preset_that_applies(words, name, capsys):
    from inception_tf.config import preset

    shown, text = help_of(lambda: flags.parse_run("train", "Trains.", words), capsys)
    config = preset(name)
    assert text.startswith(f"Trains. The defaults below are those of --preset={name}.")
    assert shown["net"] == f"'{config.network.net}'"
    assert shown["epochs"] == f"'{config.optimization.epochs}'"
    assert shown["image_size"] == f"'{config.network.image_size}'"
    assert shown["aux_head"] == f"'{str(config.network.aux_head).lower()}'"


def test_help_with_a_preset_that_is_none_names_those_there_are():
    with pytest.raises(UsageError, match="--preset=x: value should be one of <demo.paper"):
        flags.parse_run("train", "", ["--preset=x", "--help"])


@pytest.mark.parametrize("command", ["eval", "average", "export"])
def test_help_of_a_command_on_a_run_says_what_comes_from_the_run(command, capsys):
    module = importlib.import_module(f"inception_tf.commands.{command}")
    shown, _ = help_of(lambda: module.main(["--help"]), capsys)
    assert shown["data_dir"] == "the run's"
    assert shown["model_dir"] == "'runs/demo'"
    if command == "eval":
        assert shown["crop_fraction"] == "the run's" and shown["stall_timeout_s"] == "'600.0'"
        assert shown["batch_size"] == "'32'"


def test_version_is_printed_by_every_command(capsys):
    with pytest.raises(SystemExit) as caught:
        parse("--version")
    assert caught.value.code == 0
    assert re.fullmatch(r"inception_tf \d+\.\d+\.\d+\n", capsys.readouterr().out)


def _run(*words, cwd=None):
    return subprocess.run([sys.executable, "-m", "inception_tf", *words], cwd=cwd, timeout=120,
                          capture_output=True, text=True)


def test_command_that_is_unknown_is_answered_with_the_nearest():
    done = _run("trian")
    assert done.returncode == 2 and "did you mean train?" in done.stderr


@pytest.mark.parametrize("scales", ["²", "0,1,2,3", "1e3", "10000000000000", "", "1,"])
def test_scales_that_are_no_pixels_are_refused(scales):
    from inception_tf.commands.eval import _scales

    with pytest.raises(UsageError, match="nor pixels"):
        _scales(scales)


def test_model_dir_and_model_one_folder_too_high_are_answered_with_the_one_below(tmp_path):
    from inception_tf.runs.folder import read_config
    from inception_tf.serving.predictor import open_predictor

    write_run(tmp_path / "runs" / "a", ["ant", "bee"])
    with pytest.raises(UsageError, match=r"did you mean .*runs/a\?"):
        read_config(tmp_path / "runs")
    for version in ("9", "10"):
        (tmp_path / "exports" / version).mkdir(parents=True)
        (tmp_path / "exports" / version / "manifest.json").write_text("{}")
    os.utime(tmp_path / "exports" / "9" / "manifest.json", (1, 1))
    with pytest.raises(UsageError, match=r"did you mean .*exports/10\?"):
        open_predictor(str(tmp_path / "exports"))
