"""The scripts as somebody starts them who has installed nothing yet."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("words", [("train.py",), ("eval.py", "--help"),
                                   ("-m", "inception_tf", "predict", "cat.jpg")])
def test_script_without_the_dependencies_says_what_to_run(words):
    # -S: without the packages of the environment.
    done = subprocess.run([sys.executable, "-S", *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: ") and "pip install ." in done.stderr
    assert len(done.stderr.splitlines()) == 1
