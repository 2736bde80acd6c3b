"""Forms of convolutions: each computes what TensorFlow's own does; totals are sums."""

import sys

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import convolutions
from benchmarks.convolutions import BEST, FORMS, OWN, Shape

SHAPES = [Shape((9, 9), 3, 4, (1, 1), 1, "SAME"), Shape((9, 9), 3, 4, (3, 3), 1, "SAME"),
          Shape((9, 8), 3, 4, (1, 7), 1, "SAME"), Shape((9, 9), 3, 4, (3, 3), 1, "VALID"),
          Shape((9, 9), 3, 4, (3, 3), 2, "VALID")]
APPLY = [(name, shape) for shape in SHAPES for name, (_, applies) in FORMS.items()
         if applies(shape)]


@pytest.mark.parametrize(("name", "shape"), APPLY, ids=str)
def test_a_form_gives_outputs_and_gradients_of_the_convolution(name, shape):
    images = tf.random.stateless_normal([2, *shape.size, shape.channels], [1, 2])
    kernel = tf.random.stateless_normal([*shape.kernel, shape.channels, shape.filters], [3, 4])
    with tf.GradientTape() as tape:
        tape.watch([images, kernel])
        outputs = tf.nn.conv2d(images, kernel, shape.stride, shape.padding)
    gradients = tf.random.stateless_normal(outputs.shape, [5, 6])
    expected = [outputs, *tape.gradient(outputs, [images, kernel], output_gradients=gradients)]
    found = FORMS[name][0](images, kernel, gradients, shape)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_totals_count_every_convolution_and_take_its_own_form_where_another_does_not_apply():
    one, halves = "1x1 as matrix products", "two halves of the batch side by side"
    rows = convolutions.totals([(2, {OWN: 4.0, one: 1.0, halves: 5.0}),
                                (1, {OWN: 2.0, halves: 2.5})])
    assert rows[OWN] == {"seconds": 10.0, "ratio": 1.0, "convolutions": 3}
    assert rows[one] == {"seconds": 4.0, "ratio": 2.5, "convolutions": 2}
    assert rows[halves]["seconds"] == 12.5 and rows[halves]["convolutions"] == 3
    assert rows[BEST] == {"seconds": 4.0, "ratio": 2.5, "convolutions": 2}


def test_quick_form_has_a_row_for_every_form_and_keeps_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(convolutions.harness, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(sys, "argv", ["convolutions", "--quick"])
    found = convolutions.main()["precisions"]
    assert not (tmp_path / "results").exists()
    assert found.keys() == {"float32", "bfloat16"}
    for rows in found.values():
        assert rows.keys() == {*FORMS, BEST}
        assert rows[BEST]["seconds"] == min(row["seconds"] for row in rows.values()) > 0


def test_network_has_244_convolutions():
    shapes = convolutions.shapes_of(quick=False)
    assert shapes.total() == 244
    assert shapes[Shape((35, 35), 320, 32, (1, 1), 1, "SAME")] == 30
