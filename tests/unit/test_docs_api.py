"""docs/api.md: its examples run, its signatures are those of the code, and no name is missing."""

import ast
import importlib
import inspect
import re
import textwrap
from pathlib import Path

import pytest

import inception_tf
from inception_tf import errors, nets
from tests.pictures import write_image_folder

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


def blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def stubs():
    """(module, node) of each definition in the page's blocks of signatures."""
    for block in blocks("python signatures"):
        for module, text in re.findall(r"^# (\S+)\n(.*?)(?=^# |\Z)", block,
                                       re.DOTALL | re.MULTILINE):
            for node in ast.parse(text).body:
                yield module, node


def described(node):
    """Signature of a function, or fields and methods of a class, however they are laid out."""
    if isinstance(node, ast.ClassDef):
        return {described(child) for child in node.body
                if isinstance(child, (ast.AnnAssign, ast.FunctionDef))}
    if isinstance(node, ast.AnnAssign):
        return ast.unparse(node)
    decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
    result = node.returns and ast.unparse(node.returns)
    return f"{decorators} {node.name}({ast.unparse(node.args)}) -> {result}"


def in_code(module, name):
    source = inspect.getsource(getattr(importlib.import_module(module), name))
    return described(ast.parse(textwrap.dedent(source)).body[0])


@pytest.mark.parametrize("module, node", [
    pytest.param(module, node, id=f"{module}.{node.name}") for module, node in stubs()])
def test_signature_on_the_page_is_that_of_the_code(module, node):
    here, there = described(node), in_code(module, node.name)
    assert (here <= there if isinstance(here, set) else here == there), (here, there)


def test_every_public_name_is_on_the_page():
    on_page = {node.name for _, node in stubs()} | set(re.findall(
        r"`inception_tf\.(?:nets\.)?(\w+)`", PAGE.read_text()))
    assert {*inception_tf.__all__, *nets.__all__} - on_page == set()


def test_exit_codes_on_the_page_are_those_of_the_code():
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \|", PAGE.read_text(), re.MULTILINE)
    assert rows
    assert {name: getattr(errors, name).exit_code for name, _ in rows} == {
        name: int(code) for name, code in rows}


def test_examples_run_in_order(tmp_path, monkeypatch):
    write_image_folder(tmp_path / "pictures", {"train": 16, "validation": 10})
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks("python"):
        exec(compile(block, str(PAGE), "exec"), names)
    assert (tmp_path / "why.png").stat().st_size > 0
    assert names["heat"].shape[0] == 2


def test_examples_that_are_not_run_are_code():
    (block,) = blocks("python not run")
    ast.parse(block)
