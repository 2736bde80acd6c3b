"""The drawings of docs/figures: of today's networks, complete, and marked where the paper errs."""

import re
import xml.etree.ElementTree as xml

import keras
import pytest

from inception_tf.figures.paper import FIGURES, MISPRINTS
from inception_tf.figures.picture import draw, rendered
from inception_tf.nets import build
from tests import figures

PAGE = figures.FOLDER.parent / "figures.md"
SVG = "{http://www.w3.org/2000/svg}"
SMALL = {"width": 0.1, "repeats": (1, 1, 1), "input_shape": (75, 75, 3)}


def content(svg):
    """(size, texts with places, number of paths) of an SVG; its bytes differ with matplotlib's."""
    root = xml.fromstring(svg)
    texts = [(text.text, round(float(text.get("x"))), round(float(text.get("y"))))
             for text in root.iter(f"{SVG}text")]
    return root.get("viewBox"), texts, len(list(root.iter(f"{SVG}path")))


def test_drawings_are_those_of_the_networks():
    drawn = dict(figures.drawings())
    committed = {path.name: path.read_bytes() for path in figures.FOLDER.iterdir()}
    assert drawn.keys() == committed.keys()
    for name, svg in drawn.items():
        assert content(svg) == content(committed[name]), (
            f"{name} is stale: python -m tests.figures draws it again")


def test_every_figure_of_the_paper_with_a_network_is_drawn_and_shown():
    numbers = {int(path.name[len("figure_"):][:2]) for path in figures.FOLDER.iterdir()}
    assert numbers == set(range(3, 20))
    shown = re.findall(r'src="figures/(\w+\.svg)"', PAGE.read_text())
    assert sorted(shown) == sorted(path.name for path in figures.FOLDER.iterdir())


def test_section_of_a_figure_names_its_misprints():
    page = PAGE.read_text()
    for network, blocks in MISPRINTS.items():
        for block, misprints in blocks.items():
            number = FIGURES[network][block]
            section = page.split(f"### Figure {number}\n")[1].split("\n#")[0]
            assert [m.point for m in misprints if m.point not in section] == [], number


def texts_of(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_misprint_is_marked_at_its_box_and_said_below():
    texts = texts_of(draw(build("inception_resnet_v2", **SMALL), "inception_resnet_b_1"))
    assert texts[0] == "Figure 17: Inception-ResNet-B"
    assert texts.count("a") == 1
    assert "a: Figure 17 prints 1154 filters (docs/errata.md, C1)" in texts


def test_step_of_a_stem_has_the_marks_of_its_own_boxes_alone():
    model = build("inception_v4", **SMALL)
    texts = texts_of(draw(model, "stem_5"))
    assert texts[0] == "Part of Figure 3: Stem"
    assert texts.count("a") == 2 and not [text for text in texts if "stride (" in text]


def test_network_that_the_paper_does_not_draw_has_no_number():
    texts = texts_of(draw(build("inception_v3", **SMALL)))
    assert texts[:2] == ["inception_v3", "the whole network"]
    assert not [text for text in texts if "Figure" in text]


def test_network_of_unknown_size_is_drawn_without_its_sides():
    model = build("inception_resnet_v1", include_top=False, width=0.1, repeats=(1, 1, 1))
    assert "?x?x90" in texts_of(draw(model, "reduction_a"))


def test_text_of_an_svg_is_text_and_its_bytes_are_the_same_each_time():
    model = build("inception_v4", **SMALL)
    first, second = (rendered(draw(model, "inception_c_1"), "svg") for _ in range(2))
    assert first == second
    assert ("Filter concat" in [text for text, _, _ in content(first)[1]]
            and b"<image" not in first)


def test_other_model_is_refused():
    image = keras.Input((8, 8, 3))
    with pytest.raises(ValueError, match="expected a network of inception_tf"):
        draw(keras.Model(image, keras.layers.Flatten()(image)))
