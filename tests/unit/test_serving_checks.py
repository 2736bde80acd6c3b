"""What an export refuses, without a network."""

import typing

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from inception_tf.commands.export import OWN
from inception_tf.errors import StorageError, UsageError
from inception_tf.serving import comparison, runtimes
from inception_tf.serving.formats import FORMATS
from inception_tf.serving.manifest import ExportManifest

MODELS = {"savedmodel": ("saved_model.pb", "tensorflow"), "keras": ("model.keras", "keras"),
          "onnx": ("model.onnx", "onnxruntime"), "litert": ("model.tflite", "ai_edge_litert"),
          "openvino": ("model.xml", "openvino")}


@pytest.mark.parametrize("content", [None, b"", b"garbage\nin lines\n", bytes(5000)],
                         ids=["absent", "empty", "text", "zeros"])
@pytest.mark.parametrize("kind", MODELS)
def test_damaged_model_is_one_line_whatever_its_runtime_raises(tmp_path, kind, content):
    name, runtime = MODELS[kind]
    pytest.importorskip(runtime)
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError) as caught:
        runtimes.load(tmp_path, kind)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def write_onnx(path, location, wide=3):
    """images [n, wide] times a matrix [wide, 2] of the file at `location`."""
    onnx = pytest.importorskip("onnx")
    matrix = onnx.TensorProto(name="matrix", data_type=onnx.TensorProto.FLOAT, dims=[wide, 2],
                              data_location=onnx.TensorProto.EXTERNAL)
    matrix.external_data.add(key="location", value=location)
    shapes = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None, columns])
              for name, columns in (("images", wide), ("y", 2))]
    node = onnx.helper.make_node("MatMul", ["images", "matrix"], ["y"])
    graph = onnx.helper.make_graph([node], "g", shapes[:1], shapes[1:], [matrix])
    model = onnx.helper.make_model(graph, ir_version=8, opset_imports=[
        onnx.helper.make_opsetid("", 13)])
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize("location", ["../outside", "{}/outside", "link", "a/../../outside",
                                      "/etc/passwd", "absent", "", "."])
def test_onnx_data_outside_its_folder_is_one_line(tmp_path, location):
    pytest.importorskip("onnxruntime")
    folder = tmp_path / "1"
    (folder / "a").mkdir(parents=True)
    np.ones([3, 2], np.float32).tofile(tmp_path / "outside")
    (folder / "link").symlink_to(tmp_path / "outside")
    write_onnx(folder / "model.onnx", location.format(tmp_path))
    with pytest.raises(UsageError) as caught:
        runtimes.load(folder, "onnx")
    message = str(caught.value)
    assert f"{folder} is damaged, export it again" in message and "\n" not in message


@pytest.mark.parametrize("weights", [None, b"", b"x" * 7], ids=["absent", "empty", "short"])
def test_openvino_weights_of_another_model_are_one_line(tmp_path, weights):
    openvino = pytest.importorskip("openvino")
    image = openvino.opset13.parameter([-1, 4], name="images")
    matrix = openvino.opset13.constant(np.random.default_rng(0).normal(size=(4, 2)), np.float32)
    model = openvino.Model([openvino.opset13.matmul(image, matrix, False, False)], [image])
    openvino.save_model(model, tmp_path / "model.xml")
    (tmp_path / "model.bin").unlink()
    if weights is not None:
        (tmp_path / "model.bin").write_bytes(weights)
    with pytest.raises(UsageError, match="is damaged"):
        runtimes.load(tmp_path, "openvino")


def test_a_difference_that_is_no_number_is_refused():
    nothing = np.full((1, 2), np.nan, np.float32)
    assert comparison.largest_difference(nothing, np.zeros((1, 2))) == float("inf")
    assert comparison.largest_difference(np.zeros((1, 3)), np.zeros((1, 2))) == float("inf")
    with pytest.raises(StorageError, match="differ by"):
        comparison.checked(float("nan"), "x", 1.0)


def test_the_flag_offers_every_format():
    (choices,) = (flag.choices for flag in OWN if flag.name == "format")
    kinds = typing.get_args(ExportManifest.__annotations__["kind"])
    assert choices == tuple(FORMATS) == kinds


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
    """TensorFlow calls the function that is made for the device it runs on."""
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
