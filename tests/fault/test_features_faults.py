"""`inception-tf features` that is killed or stopped for real."""

import json
import signal
import subprocess
import sys

import pytest

from inception_tf.commands.features import main
from inception_tf.commands.shell import exit_code_of
from tests.fault.runs import ROOT
from tests.pictures import write_image_folder
from tests.runs import write_run

pytestmark = pytest.mark.faults
ADD = "inception_tf.serving.feature_file:FeatureFile.add"
# tests.hooked, with a part for each batch.
SCRIPT = """
from tests import hooked
from inception_tf.commands.shell import import_tensorflow
import_tensorflow()
from inception_tf.serving import feature_file
feature_file.PART_SECONDS = 0.0
hooked.main()
"""


@pytest.mark.parametrize("number, code", [(signal.SIGKILL, -9), (signal.SIGTERM, 143)])
def test_features_ended_by_a_signal_resume_to_the_same_bytes(tmp_path, number, code):
    pictures = write_image_folder(tmp_path / "pictures", {"x": 11})
    run = write_run(tmp_path / "run", ["a", "b"])
    output, whole = tmp_path / "o.npz", tmp_path / "whole.npz"
    words = [str(pictures), f"--model={run}", "--batch_size=3"]
    hooks = json.dumps({"kill": [ADD, 3, number]})
    ended = subprocess.run([sys.executable, "-c", SCRIPT, hooks, "features", *words,
                            f"--output={output}"], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == code, ended.stderr
    parts = sorted((tmp_path / "o.npz.parts").glob("*.npz"))
    assert [int(part.stem) for part in parts] == [0, 3] and not output.exists()
    for path in (output, whole):
        assert exit_code_of(main, [*words, f"--output={path}"]) == 0
    assert output.read_bytes() == whole.read_bytes()
    assert not list(tmp_path.glob("*.parts"))
