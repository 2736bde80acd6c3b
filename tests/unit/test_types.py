"""The public surface of the package is annotated."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted([ROOT / "train.py", ROOT / "eval.py", *(ROOT / "inception_tf").rglob("*.py")])


def public_functions(body):
    """Functions of a module, and methods of its classes, whose names say that others may call."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node.body)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if not node.name.startswith("_") or node.name in ("__init__", "__call__"):
                yield node


def missing(function):
    """Names of parameters that have no type, and "return"."""
    every = function.args
    parameters = [*every.posonlyargs, *every.args, *every.kwonlyargs]
    parameters += [star for star in (every.vararg, every.kwarg) if star]
    names = [p.arg for p in parameters if p.annotation is None and p.arg not in ("self", "cls")]
    # mypy takes __init__ for one that returns None where a parameter has a type.
    return names + ["return"] * (function.returns is None and function.name != "__init__")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_public_functions_are_annotated(path):
    functions = public_functions(ast.parse(path.read_text()).body)
    bare = {f"{f.name}:{f.lineno}": missing(f) for f in functions if missing(f)}
    assert bare == {}


@pytest.mark.parametrize("source, names", [
    ("def f(a, *b, c: int, **d) -> None: ...", ["a", "b", "d"]),
    ("def f(a: int): ...", ["return"]),
    ("class A:\n def __init__(self, a): ...", ["a"]),
    ("class A:\n def f(self) -> int: ...", []),
])
def test_missing_annotation_is_found(source, names):
    (function,) = public_functions(ast.parse(source).body)
    assert missing(function) == names


def test_private_functions_need_no_annotation():
    source = "def _f(a): ...\nclass _A:\n def f(self, a): ...\nclass B:\n def _f(self, a): ..."
    assert list(public_functions(ast.parse(source).body)) == []
