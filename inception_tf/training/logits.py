"""The two sets of weights a run is scored with, as functions of images."""

import tensorflow as tf

from inception_tf.training.state import is_seed


def logits_of(model, state):
    """{"raw", "ema"} -> function of images [n, S, S, 3] giving the main head's logits [n, K]."""
    def raw(images):
        return _main_head(model(images, training=False))

    def ema(images):
        values = [tf.convert_to_tensor(v) for v in state.ema]
        trainable, statistics = values[:len(state.trainable)], iter(values[len(state.trainable):])
        others = [tf.convert_to_tensor(v.value) if is_seed(v) else next(statistics)
                  for v in model.non_trainable_variables]
        outputs, _ = model.stateless_call(trainable, others, images, training=False)
        return _main_head(outputs)

    return {"raw": raw, "ema": ema}


def _main_head(outputs):
    return outputs[0] if isinstance(outputs, (list, tuple)) else outputs
