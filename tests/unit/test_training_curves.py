"""The picture of a run's curves, and the paper's beside them."""

import pytest
from matplotlib.figure import Figure

from inception_tf.runs.metrics import MetricsWriter
from inception_tf.training.curves import draw_curves
from inception_tf.training.paper_curves import curve_of


@pytest.fixture
def run(tmp_path):
    """The folder of a run on imagenet2012 after its 40th epoch."""
    train, validation = (MetricsWriter(tmp_path / name, 0) for name in ("train", "validation"))
    for epoch in (20, 40):
        train.write(epoch, {"epoch": float(epoch), "loss": 3.0, "cross_entropy": 3.0, "error": 0.5,
                            "learning_rate": 0.045, "grad_norm": 1.0, "images_per_second": 1.0,
                            "bad_examples": 0, "skipped_steps": 0})
        scores = {f"{kind}_{name}": 0.5 / epoch for kind in ("raw", "ema")
                  for name in ("top1_error", "top5_error", "cross_entropy")}
        validation.write(epoch, {"epoch": float(epoch), "num_examples": 50_000, **scores})
    train.close(), validation.close()
    return tmp_path


def test_papers_curve_is_drawn_as_shares_at_its_epochs(run, monkeypatch):
    drawn, save = [], Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *args, **kwargs: (
        drawn.append(self), save(self, *args, **kwargs))[1])
    path = draw_curves(run, "inception_v4", curve_of("inception_v4", "imagenet2012:5.1.0"))
    assert path.read_bytes().startswith(b"\x89PNG")
    lines = {line.get_label(): line.get_xydata().tolist() for line in drawn[0].axes[0].lines}
    paper = lines["top-1, the paper's run"]
    assert paper[0] == [20, pytest.approx(0.318)] and paper[-1] == [160, pytest.approx(0.199)]
    assert lines["validation, averaged weights"][0] == [20, pytest.approx(0.025)]
    draw_curves(run, "inception_v4")
    assert "top-1, the paper's run" not in [line.get_label() for line in drawn[1].axes[0].lines]


@pytest.mark.parametrize("net, dataset, last", [
    ("inception_resnet_v2_released", "imagenet2012", 19.7), ("inception_v3", "imagenet2012", 21.3),
])
def test_curve_is_that_of_the_network(net, dataset, last):
    assert list(curve_of(net, dataset).values())[-1] == last


def test_there_is_none_on_other_data():
    assert curve_of("inception_v4", "shapes") == {}
