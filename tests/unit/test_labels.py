"""Names of classes as people read them, and how they are drawn."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from inception_tf.labels import caption_names, plain, readable_names, short

ROOT = Path(__file__).parents[2]


def test_class_names_are_read_as_their_users_do():
    assert readable_names(["n01440764", "cat"]) == ["n01440764 tench", "cat"]
    assert caption_names(["n01440764", "n02012849", "dots"]) == [
        "tench", "crane (n02012849)", "dots"]
    assert short("a\nb" + 30 * "c", 6) == "a\ufffdbcc\u2026"


@pytest.mark.parametrize("name", ["a$_$b", "$\\frac{$", "\\$5", "x\\"])
def test_plain_names_are_drawn_as_they_stand(name):
    drawn = []
    for text, parse_math in ((plain(name), True), (name, False)):
        canvas = FigureCanvasAgg(Figure(figsize=(2, 1)))
        canvas.figure.text(0.1, 0.5, text, parse_math=parse_math)
        canvas.draw()
        drawn.append(np.asarray(canvas.buffer_rgba()))
    np.testing.assert_array_equal(*drawn)


@pytest.mark.parametrize("folder", ["inception_tf", "benchmarks", "experiments"])
def test_pictures_leave_a_notebooks_backend_alone(folder):
    for path in (ROOT / folder).rglob("*.py"):
        assert "pyplot" not in path.read_text() and "matplotlib.use" not in path.read_text(), path
