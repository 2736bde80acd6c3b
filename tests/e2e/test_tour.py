"""The notebook of the tour, run as it stands on few pictures, and held against its source."""

import json
import logging
import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from inception_tf.data import shapes

TOUR = Path(__file__).parents[2] / "examples" / "tour.ipynb"


@pytest.fixture(scope="module")
def cells():
    return json.loads(TOUR.read_text())["cells"]


def source_of(cell):
    return "".join(cell["source"])


def test_notebook_has_the_cells_of_its_source(cells):
    """Else `python -m examples.make_tour` makes it again."""
    blocks = re.split(r"^# %%(.*)\n", TOUR.with_suffix(".py").read_text(), flags=re.MULTILINE)[1:]
    kinds, texts = blocks[::2], blocks[1::2]
    expected = [re.sub(r"^# ?", "", text, flags=re.MULTILINE) if "markdown" in kind else text
                for kind, text in zip(kinds, texts, strict=True)]
    assert [source_of(cell) for cell in cells] == [text.strip() for text in expected]


def test_notebook_was_run_in_order_with_pictures_and_without_errors(cells):
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} <= {
        "stream", "display_data", "execute_result"}
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) >= 4
    assert TOUR.stat().st_size < 2**20


def test_notebook_names_no_path_of_the_machine_that_ran_it(cells):
    text = "".join(
        "".join(output.get("text", "")) + "".join(output.get("data", {}).get("text/plain", ""))
        for cell in cells for output in cell.get("outputs", ()))
    assert re.findall(r"(?<![\w.])/\w+/[\w./]*", text) == []


@pytest.fixture
def loggers(monkeypatch):
    """What the tour does to loggers ends with it."""
    monkeypatch.setattr(logging.getLogger("inception_tf"), "handlers", [])
    for name, setting in (("inception_tf", "propagate"), ("inception_tf", "level"),
                          ("tensorflow", "level")):
        logger = logging.getLogger(name)
        monkeypatch.setattr(logger, setting, getattr(logger, setting))


def test_tour_runs_on_few_pictures(cells, loggers, tmp_path, monkeypatch):
    monkeypatch.setattr(shapes, "SPLITS", {"train": 64, "validation": 40, "test": 1})
    monkeypatch.chdir(tmp_path)
    names = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec(compile(source_of(cell), str(TOUR), "exec"), names)
    plt.close("all")
    assert names["scores"]["epoch"] == names["config"].optimization.epochs
    assert (tmp_path / "tour" / "explained.png").exists()
    assert (tmp_path / "tour" / "export" / "1" / "saved_model.pb").exists()
