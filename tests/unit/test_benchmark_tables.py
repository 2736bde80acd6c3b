"""Tables in the documentation are those of the results that were measured."""

import pytest

from benchmarks import tables


@pytest.mark.parametrize("page", tables.PAGES, ids=lambda page: page.name)
def test_tables_are_made_from_the_results(page):
    text = page.read_text()
    assert tables.filled(text) == text, "run python -m benchmarks.tables"


def test_tables_are_found():
    text = "a\n<!-- table resume -->\nold\n<!-- end of table -->\nb\n"
    made = tables.filled(text)
    assert "old" not in made and "| array_record |" in made and made.endswith("table -->\nb\n")
