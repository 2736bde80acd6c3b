"""What docs/ says of flags, functions and files is so."""

import dataclasses
import re
from pathlib import Path

import pytest

from inception_tf.config import GROUPS, Optimization, preset

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("README.md"), *ROOT.glob("docs/*.md")])


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
    """Code of a page that names flags of ours, line by line; other tools have their own."""
    code = " ".join(page.read_text().split("\\\n"))
    for span in re.findall(r"`([^`]+)`", code):
        for line in span.splitlines():
            if line.strip().startswith(("--", "inception-tf ", "python ", "train.py", "eval.py")):
                yield line
