"""What an export refuses, without a network."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from inception_tf.commands.export import OWN
from inception_tf.errors import StorageError, UsageError
from inception_tf.serving import comparison, runtimes
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


def harmless(path):
    return tf.strings.join([path, "x"])


def writer(path):
    saved = tf.raw_ops.SaveV2(
        prefix=path, tensor_names=["x"], shape_and_slices=[""], tensors=[[1.0]])
    # Nothing else asks for it.
    with tf.control_dependencies([saved]):
        return tf.identity(path)


def reader(path):
    return tf.raw_ops.RestoreV2(prefix=path, tensor_names=["x"], shape_and_slices=[""],
                                dtypes=[tf.string])[0]


def behind_a_call(path):
    return tf.function(writer)(path)


def in_a_branch(path):
    return tf.cond(tf.equal(path, ""), lambda: path, lambda: writer(path))


def in_the_place_of_another(path):
    """TensorFlow calls the function that is made for the device at hand."""
    spec = tf.TensorSpec([], tf.string)
    for device, call in (("CPU", writer), ("GPU", harmless)):
        attributes = {"api_implements": "call", "api_preferred_device": device}
        call = tf.function(call, input_signature=[spec], experimental_attributes=attributes)
        call.get_concrete_function().add_to_graph()
    return call(path)


def write_saved_model(folder, body, change=None):
    """A SavedModel with one variable, and `body` with a constant path as signature `images`.

    change: is called with the MetaGraphDef.
    """
    module = tf.Module()
    module.variable = tf.Variable(2.0)
    path = str(folder.parent / "written")
    module.images = tf.function(
        lambda images: {"probabilities": images * module.variable, "path": body(
            tf.constant(path))},
        input_signature=[tf.TensorSpec([None], tf.float32, "images")])
    tf.saved_model.save(module, str(folder), signatures={"images": module.images})
    if change:
        file = folder / "saved_model.pb"
        content = saved_model_pb2.SavedModel.FromString(file.read_bytes())
        change(content.meta_graphs[0])
        file.write_bytes(content.SerializeToString())
    return folder


def test_saved_model_that_only_its_own_saver_writes_is_run(tmp_path):
    run = runtimes.load(write_saved_model(tmp_path / "1", harmless), "savedmodel")
    np.testing.assert_array_equal(run(np.ones(3, np.float32)), [2, 2, 2])


@pytest.mark.parametrize(("body", "op"), [
    (writer, "SaveV2"), (reader, "RestoreV2"), (behind_a_call, "SaveV2"),
    (in_a_branch, "SaveV2"), (in_the_place_of_another, "SaveV2"),
])
def test_saved_model_that_reads_or_writes_files_when_asked_is_refused(tmp_path, body, op):
    folder = write_saved_model(tmp_path / "1", body)
    with pytest.raises(UsageError, match=f"no exported network has there: .*{op}"):
        runtimes.load(folder, "savedmodel")


def save_as_a_function_to_call(meta):
    (name,) = (function.signature.name for function in meta.graph_def.library.function
               if "traced_save" in function.signature.name)
    meta.object_graph_def.nodes.add().bare_concrete_function.concrete_function_name = name


def save_in_the_graph(meta):
    meta.graph_def.node.add(name="save", op="SaveV2")


def without_objects(meta):
    """TensorFlow's loader then runs what the graph calls its initializer."""
    meta.ClearField("object_graph_def")


@pytest.mark.parametrize(("change", "words"), [
    (save_as_a_function_to_call, "SaveV2"), (save_in_the_graph, "SaveV2"),
    (without_objects, "not written by TensorFlow 2"),
])
def test_saved_model_with_a_way_to_its_saver_is_refused(tmp_path, change, words):
    folder = write_saved_model(tmp_path / "1", harmless, change)
    with pytest.raises(UsageError, match=words):
        runtimes.load(folder, "savedmodel")
