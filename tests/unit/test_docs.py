"""What docs/ says of flags, functions and files is so."""

import ast
import dataclasses
import re
from pathlib import Path

import pytest

from inception_tf.config import GROUPS, Optimization, preset
from tests import architecture

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")])
CODE = [path for folder in ("inception_tf", "tests", "benchmarks", "experiments")
        for path in (ROOT / folder).rglob("*.py")] + list(ROOT.glob("*.py"))
# How a line begins that names our flags.
OURS = ("--", "inception-tf ", "train.py", "eval.py", "python train.py", "python eval.py",
        *(f"python -m {name}" for name in ("inception_tf", "benchmarks", "experiments", "tests")))
# Files of an example.
INVENTED = {"nets/my_network.py", "weights/my_format.py"}


def recipe():
    """Flag -> value of the table in docs/training.md."""
    text = (ROOT / "docs" / "training.md").read_text()
    return dict(re.findall(r"^\| `--(\w+)` \| ([^ |]+) \|", text, re.MULTILINE))


def text_of(value):
    return str(value).lower() if isinstance(value, bool) else f"{value}".removesuffix(".0")


def test_recipe_in_docs_equals_the_paper_preset():
    config = preset("paper")
    values = {}
    for group in GROUPS:
        values |= dataclasses.asdict(getattr(config, group))
    for flag, value in recipe().items():
        # 1.0 keeps its point in the table, 2.0 does not: compare what is said.
        assert value.removesuffix(".0") == text_of(values[flag]), flag


def test_recipe_in_docs_has_every_number_of_the_optimization():
    assert {field.name for field in dataclasses.fields(Optimization)} <= recipe().keys()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_flags_named_in_pages_exist(page):
    known = {field.name for kind in GROUPS.values() for field in dataclasses.fields(kind)}
    sources = [*(ROOT / "inception_tf").rglob("*.py"), ROOT / "experiments" / "runner.py"]
    for source in sources:
        known |= set(re.findall(r'Flag\("(\w+)"', source.read_text()))
    named = {flag for line in commands_in(page) for flag in re.findall(r"--(\w+)", line)}
    assert named - known - {"help"} == set()


def commands_in(page):
    """Code of a page that names our flags, line by line; other tools have their own."""
    code = " ".join(page.read_text().split("\\\n"))
    for span in re.findall(r"`([^`]+)`", code):
        for line in span.splitlines():
            if line.strip().startswith(OURS):
                yield line


def names_in(source):
    """Functions, classes and constants of a file, and methods as Class.method."""
    for node in ast.parse(source).body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (ast.unparse(target) for target in targets)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
            yield from (f"{node.name}.{child.name}" for child in node.body
                        if isinstance(child, ast.FunctionDef))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_named_in_pages_exist_and_define_what_is_named(page):
    for file, _, name in re.findall(r"`([\w/]+\.py)(:([\w.]+))?`", page.read_text()):
        found = [path for path in CODE if str(path).endswith(f"/{file}")]
        assert found or file in INVENTED, file
        assert not name or any(name in names_in(path.read_text()) for path in found), (file, name)


def test_picture_of_the_floors_is_that_of_the_imports():
    page = architecture.PAGE.read_text()
    assert page == architecture.with_floors(page, architecture.picture()), (
        "python -m tests.architecture draws it again")
