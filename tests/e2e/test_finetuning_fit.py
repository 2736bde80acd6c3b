"""The recipes for model.fit in docs/finetuning.md, run as they stand on a narrow network."""

import re
from pathlib import Path

import keras
import pytest

import inception_tf
from tests.pictures import write_image_folder

PAGE = Path(__file__).parents[2] / "docs" / "finetuning.md"
NARROW = "width=0.05, repeats=(1, 1, 1), "
# What the page says -> what it is here.
SMALLER = {
    "SIZE, BATCH = 299, 32": "SIZE, BATCH = 75, 8",
    "InceptionV4(weights": f"InceptionV4({NARROW}weights",
    "epochs=5": "epochs=1", "epochs=10": "epochs=1", "EPOCHS = 10": "EPOCHS = 1",
}


@pytest.fixture(scope="module")
def code():
    """The page's blocks of Python, made smaller."""
    text = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL))
    for said, here in SMALLER.items():
        assert said in text, said
        text = text.replace(said, here)
    return text


def assert_tuned(body, whole):
    """Kernels moved from those of the file; what batch norm has did not."""
    before = {variable.path: variable.numpy() for variable in whole.weights}
    moved = {v.path: (v.numpy() != before[v.path]).any() for v in body.weights}
    assert {path for path in moved if "_bn/" not in path and not moved[path]} == set()
    assert {path for path in moved if "_bn/" in path and moved[path]} == set()


def test_recipes_for_fit_run_as_they_stand(code, tmp_path, monkeypatch):
    write_image_folder(tmp_path / "pictures", {"train": 16, "validation": 5})
    monkeypatch.chdir(tmp_path)
    whole = inception_tf.InceptionV4(width=0.05, repeats=(1, 1, 1), classes=7,
                                     input_shape=(75, 75, 3))
    whole.save("inception_v4.keras")
    names = {}
    exec(compile(code, str(PAGE), "exec"), names)
    assert_tuned(names["body"], whole)
    images, labels = next(iter(names["train"].map(names["mixed"])))
    assert images.shape == (8, 75, 75, 3) and labels.shape == (8, 5)
    assert not set(labels.numpy().ravel()) <= {0.0, 1.0}
    assert keras.saving.load_model("mine.keras").output_shape == (None, 5)
