"""What an export refuses, without a network."""

import numpy as np
import pytest

from inception_tf.commands.export import OWN
from inception_tf.errors import StorageError, UsageError
from inception_tf.serving import comparison
from inception_tf.serving.export import read_manifest
from inception_tf.serving.formats import FORMATS


@pytest.mark.parametrize("text", ["{}", "[]", "null", '{"format": 1, "files": {"../x": "0"}, '
                                  '"kind": "onnx"}', '{"format": 1, "files": 3, "kind": "onnx"}'])
def test_damaged_manifests_are_refused(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(UsageError, match="damaged"):
        read_manifest(tmp_path)


def test_a_difference_that_is_no_number_is_refused():
    nothing = np.full((1, 2), np.nan, np.float32)
    assert comparison.largest_difference(nothing, np.zeros((1, 2))) == float("inf")
    assert comparison.largest_difference(np.zeros((1, 3)), np.zeros((1, 2))) == float("inf")
    with pytest.raises(StorageError, match="differ by"):
        comparison.checked(float("nan"), "x")


def test_the_flag_offers_every_format():
    (choices,) = (flag.choices for flag in OWN if flag.name == "format")
    assert choices == ("savedmodel", *FORMATS)
