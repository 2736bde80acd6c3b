"""Commands under settings of Keras that are not ours: one line, or the same numbers."""

import os
import subprocess
import sys

import pytest


def inspect(tmp_path, text=None, **environment):
    """`inception-tf inspect` with this keras.json; the finished process."""
    if text is not None:
        (tmp_path / "keras.json").write_text(text)
        environment["KERAS_HOME"] = str(tmp_path)
    ours = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    return subprocess.run(
        [sys.executable, "-m", "inception_tf", "inspect", "--net=inception_v3", "--width=0.05"],
        env={**ours, **environment}, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize(("text", "environment", "word"), [
    (None, {"KERAS_BACKEND": "torch"}, "KERAS_BACKEND is 'torch'"),
    (None, {"KERAS_BACKEND": "banana"}, "KERAS_BACKEND is 'banana'"),
    ('{"backend": "jax"}', {}, "keras.json is 'jax'"),
    ('{"backend": 3}', {}, "keras.json is 3"),
])
def test_another_backend_is_one_line_before_anything_heavy_is_imported(
        tmp_path, text, environment, word):
    (tmp_path / "numpy.py").write_text("raise SystemExit(9)")  # what all that is heavy imports
    done = inspect(tmp_path, text, PYTHONPATH=str(tmp_path), **environment)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    assert word in done.stderr and "KERAS_BACKEND=tensorflow" in done.stderr


@pytest.mark.parametrize("text", ["[1]", '{"floatx": "float8"}', '{"epsilon": "x"}'])
def test_settings_that_keras_refuses_are_one_line(tmp_path, text):
    done = inspect(tmp_path, text)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    assert str(tmp_path / "keras.json") in done.stderr


def test_backend_of_the_environment_wins_over_the_file(tmp_path):
    done = inspect(tmp_path, '{"backend": "jax", "floatx": "float16"}',
                   KERAS_BACKEND="tensorflow")
    assert done.returncode == 0, done.stderr
