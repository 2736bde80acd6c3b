"""Which operations a SavedModel may hold: those of the networks that this package exports.

A SavedModel is a program. Other operations could read and write files where it is loaded.
"""

import collections
from pathlib import Path

from google.protobuf import message
from tensorflow.core.protobuf import saved_model_pb2

from inception_tf.errors import UsageError

# DeviceIndex: earlier exports used it to find out where they run.
ALLOWED_OPS = frozenset("""
    Abs AddV2 All ArgMax Assert AssignVariableOp AvgPool BatchMatMulV2 BiasAdd Cast ConcatV2
    Const Conv2D DecodeAndCropJpeg DecodeImage DecodePaddedRaw DecodeRaw DeviceIndex
    DisableCopyOnRead EnsureShape Equal ExpandDims ExtractJpegShape Fill FloorDiv FloorMod
    GatherV2 Greater GreaterEqual Identity If LeftShift Less LessEqual LogicalAnd LogicalNot
    LogicalOr MatMul MaxPool Maximum Mean Minimum Mul NoOp NotEqual Pack Pad PartitionedCall
    Placeholder Prod Range ReadVariableOp RealDiv Relu Reshape ResizeBicubic ResizeBilinear
    ReverseV2 Rsqrt ScaleAndTranslate Select SelectV2 Shape ShardedFilename Softmax Split
    Squeeze StatefulPartitionedCall StatelessCase StatelessIf StatelessWhile
    StaticRegexFullMatch StridedSlice StringJoin StringLength StringSplitV2 Sub Substr
    TensorListFromTensor TensorListGetItem TensorListReserve TensorListSetItem TensorListStack
    TopKV2 Transpose Unpack VarHandleOp While
""".split())
# Of the functions that servers call to load the variables. tf.saved_model.load reads variables
# by itself, and cannot reach a function that its object graph does not name.
SAVER_OPS = frozenset({"MergeV2Checkpoints", "RestoreV2", "SaveV2"})


def refuse_unknown_ops(folder: Path) -> None:
    """Raises UsageError when the SavedModel in `folder` is damaged, or has an operation where
    none of our models has it."""
    path = folder / "saved_model.pb"
    content = saved_model_pb2.SavedModel()
    try:
        content.ParseFromString(path.read_bytes())
    except (OSError, message.DecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    # TensorFlow 2 writes one such graph. Its loader treats any other as a TF1 graph and runs it.
    if len(content.meta_graphs) != 1 or not content.meta_graphs[0].HasField("object_graph_def"):
        raise UsageError(f"{path} was not written by TensorFlow 2")
    if unknown := sorted(_foreign_ops(content.meta_graphs[0])):
        raise UsageError(f"{folder} holds operations that no exported network has there: "
                         f"{', '.join(unknown)[:200]}")


def _foreign_ops(meta):
    """Operations of a MetaGraphDef that no list allows in their place."""
    bodies = collections.defaultdict(list)
    for function in meta.graph_def.library.function:
        bodies[function.signature.name] += function.node_def
    run = list(meta.graph_def.node)
    for name in _reached(_callable(meta), bodies):
        run += bodies[name]
    kept = [node for body in bodies.values() for node in body]
    return _ops(run) - ALLOWED_OPS | _ops(kept) - ALLOWED_OPS - SAVER_OPS


def _ops(nodes):
    return {node.op for node in nodes}


def _callable(meta):
    """Names of the functions that may run when the model is loaded or asked."""
    objects = meta.object_graph_def
    names = set(objects.concrete_functions)
    for node in objects.nodes:
        names |= {node.bare_concrete_function.concrete_function_name,
                  *node.function.concrete_functions}
    # TensorFlow may put one of these in the place of another.
    return names | {function.signature.name for function in meta.graph_def.library.function
                    if "api_implements" in function.attr}


def _reached(names, bodies):
    """`names` and those of all functions that they call in turn."""
    reached, waiting = set(), set(names)
    while waiting:
        name = waiting.pop()
        reached.add(name)
        for value in (value for node in bodies[name] for value in node.attr.values()):
            called = {value.func.name, *(function.name for function in value.list.func)}
            waiting |= called - reached
    return reached
