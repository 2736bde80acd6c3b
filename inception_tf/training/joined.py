"""ReLUs that only feed a concatenation, computed after it: one tensor is kept, not two.

A gradient of ReLU reads its outputs and the next convolution's reads the concatenation, which is
the same numbers again: in the released Inception-ResNet-v2 an eighth of what an update keeps. The
bits of values and gradients stay the same. The model keeps its stock Keras layers: only the pass of
a training step, inside `relu_after_concat`, computes them so.
"""

import collections
import functools
from contextlib import AbstractContextManager

import keras
import tensorflow as tf

from inception_tf.runtime.devices import has_accelerator
from inception_tf.training.layer_calls import replaced


def relu_after_concat(model: keras.Model) -> AbstractContextManager[None]:
    """Context in which `model`'s concatenations of nothing but ReLUs compute them, on a CPU."""
    calls = {}
    if not has_accelerator():
        for layer, relus in _joins(model):
            calls |= dict.fromkeys(relus, _unchanged)
            calls[layer] = functools.partial(_call, layer)
    return replaced(calls)


def _joins(model):
    """(concatenation, the ReLUs that are all its inputs and that nothing else reads)."""
    uses = collections.Counter(map(id, model.outputs))
    for layer in model.layers:
        uses.update(map(id, keras.tree.flatten(layer.input)))
    made_by = {id(layer.output): layer for layer in model.layers}
    for layer in model.layers:
        if isinstance(layer, keras.layers.Concatenate):
            before = [made_by[id(tensor)] for tensor in layer.input]
            if all(_is_relu(one) and uses[id(one.output)] == 1 for one in before):
                yield layer, before


def _is_relu(layer):
    return (isinstance(layer, keras.layers.ReLU) and layer.max_value is None
            and not layer.negative_slope and not layer.threshold)


def _unchanged(inputs):
    return inputs


def _call(layer, inputs):
    """As layer.call of the ReLUs' outputs: theirs is applied here."""
    return tf.nn.relu(type(layer).call(layer, inputs))
