"""Every command of the pages is one that works, and is run by a test or listed with a reason."""

import argparse
import ast
import configparser
import importlib
import importlib.util
import os
import re
import sys
import textwrap
from pathlib import Path
from unittest import mock

import pytest

from inception_tf import flags
from inception_tf.__main__ import COMMANDS
from inception_tf.commands import launch
from tests import docs_commands
from tests.docs_commands import ROOT, ROWS, SECTION, Command, row_of

FOUND = docs_commands.commands()
# Of a module that reads flags.
PARSERS = re.compile(r"\b(ArgumentParser|harness\.arguments|flags\.parse|run_experiment)\(")


class Parsed(Exception):
    """Raised where a command would begin to work."""


def begins(*_, **__):
    raise Parsed


def cases(pattern, ours=False):
    """The commands that begin like this, as parameters."""
    return [pytest.param(command, id=f"{command.page}: {command.text}") for command in FOUND
            if bool(command.ours) == ours and re.match(pattern, command.text)]


def start(words, monkeypatch):
    """Lets a command of ours run until it would import TensorFlow."""
    assert words[0] in COMMANDS
    module = importlib.import_module(f"inception_tf.commands.{words[0]}")
    if module is launch:
        monkeypatch.setattr(launch, "run_group",
                            lambda words, _: begins(start(words, monkeypatch)))
    else:
        monkeypatch.setattr(module, "import_tensorflow", begins)
    with mock.patch.dict(os.environ), pytest.raises(Parsed):  # serve sets a variable
        module.main(list(words[1:]))


@pytest.mark.parametrize("command", cases("", ours=True))
def test_command_of_ours_is_accepted_up_to_its_work(command, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("cat.jpg").touch()
    start(command.ours, monkeypatch)


@pytest.mark.parametrize("words", [
    "train --epoch=3", "train --preset=papers", "train --net=vgg", "eval --protocol=11",
    "launch -- train --preset=papers", "export --export_dir=x --formt=onnx",
    "inspect --block=inception_a_1", "eval --search"])
def test_stale_command_is_refused(words, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(flags.UsageError):
        start(words.split(), monkeypatch)


def check_module(words, monkeypatch):
    """A module of the repository that is there and knows these words."""
    name, *words = words
    found = importlib.util.find_spec(name)
    assert found, name
    source = Path(found.origin).read_text()
    assert '__name__ == "__main__"' in source
    if not words or not PARSERS.search(source):
        assert not [word for word in words if word.startswith("-")]
        return
    parse_args, parse_flags = argparse.ArgumentParser.parse_args, flags.parse
    monkeypatch.setattr(sys, "argv", [name, *words])
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args",
                        lambda self: begins(parse_args(self)))
    monkeypatch.setattr(flags, "parse", lambda *a, **kw: begins(parse_flags(*a, **kw)))
    main = importlib.import_module(name).main
    with pytest.raises(Parsed):
        main(*[words] * main.__code__.co_argcount)


@pytest.mark.parametrize("command", cases("python -m (benchmarks|experiments|tests|examples)[.]"))
def test_module_of_command_exists_and_knows_its_flags(command, monkeypatch):
    check_module(command.words[2:], monkeypatch)


@pytest.mark.parametrize("words", [
    "benchmarks.input --quik", "experiments.digits --folders=x", "benchmarks.tables --quick",
    "benchmarks.none", "tests.golden.inventory wrote", "experiments.night --jobs=none"])
def test_stale_module_is_refused(words, monkeypatch):
    with pytest.raises((AssertionError, SystemExit, flags.UsageError)):
        check_module(words.split(), monkeypatch)


@pytest.mark.parametrize("command", cases("make "))
def test_make_has_the_target_and_the_variables_of_the_command(command):
    text = (ROOT / "Makefile").read_text().replace("$(VENV)/ready:", ".venv/ready:")
    for word in command.words[1:]:
        name, is_variable, _ = word.partition("=")
        expected = rf"\$\({name}\)" if is_variable else rf"^{re.escape(name)}:"
        assert word == "..." or re.search(expected, text, re.MULTILINE), word


@pytest.mark.parametrize("command", cases("(env/bin/)?pip "))
def test_extras_that_are_installed_exist(command):
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    named = re.findall(r"\.\[(\w+)\]", " ".join(command.words))
    assert set(named) <= set(setup["options.extras_require"])


@pytest.mark.parametrize("command", cases("pytest |.ci/run"))
def test_tests_that_are_run_exist(command):
    named = [word for word in command.words if word.startswith(("tests/", ".ci/"))]
    assert all((ROOT / word).exists() for word in named)


def test_every_command_has_a_row_and_every_row_a_command():
    rows = {command: row_of(command) for command in FOUND}
    assert [command for command, row in rows.items() if row is None] == []
    assert [row for row in ROWS if row not in rows.values()] == []


@pytest.mark.parametrize("where", sorted({row[1] for row in ROWS}))
def test_what_runs_a_command_exists(where):
    if where.startswith(".ci/run: "):
        assert where.partition(": ")[2] in (ROOT / ".ci" / "run").read_text()
    elif not where.startswith("not run: "):
        file, name = where.split("::")
        tree = ast.parse((ROOT / file).read_text())
        assert name.startswith("test_")
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_page_lists_the_commands_that_no_test_runs():
    page = (ROOT / "docs" / "README.md").read_text()
    assert page.partition(SECTION)[2].endswith(f"\n\n{listed()}\n"), f"write this:\n{listed()}"


def listed():
    """A line for each reason, with the heads of its commands."""
    reasons = {}
    for command in FOUND:
        pattern, where = row_of(command)
        if where.startswith("not run: "):
            named = "".join(f" {flag}" for flag in re.findall(r"--\w+(?:=\w+)?", pattern))
            heads = reasons.setdefault(where.removeprefix("not run: "), {})
            # Joined so that no line breaks within a command.
            heads[f"`{command.head}{named}`".replace(" ", "\0")] = True
    lines = [f"* {reason}: {', '.join(sorted(heads))}" for reason, heads in sorted(reasons.items())]
    return "\n".join(textwrap.fill(line, 110, subsequent_indent="  ", break_on_hyphens=False)
                     for line in lines).replace("\0", " ")


def test_commands_are_found_in_blocks_and_sentences_and_loops_are_run_through():
    text = ("Of `make demo`, not of `inception-tf eval`:\n\n"
            "    for net in a b; do\n"
            "      until python train.py --net=$net \\\n"
            "          --preset=tiny; do   # again\n"
            "    $ make one && pip install x\n"
            "```python\nmake = 3\n```\n")
    found = [*docs_commands.in_blocks(text), *docs_commands.in_sentences(text)]
    assert found == [("python", "train.py", "--net=a", "--preset=tiny"),
                     ("python", "train.py", "--net=b", "--preset=tiny"),
                     ("make", "one"), ("pip", "install", "x"), ("make", "demo")]
    assert Command("x", found[0]).ours == ("train", "--net=a", "--preset=tiny")
