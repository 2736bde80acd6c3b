"""Top-1 and top-5 error over a split, every image exactly once, on any number of devices."""

from collections.abc import Callable, Iterable, Mapping

import keras
import numpy as np
import tensorflow as tf

from inception_tf.errors import DataError, NonFiniteError
from inception_tf.runtime.devices import same_on_replicas, split_batch
from inception_tf.runtime.signals import StopSignals
from inception_tf.training.replica import Batch
from inception_tf.training.state import TrainState, is_seed

# Images [n, S, S, 3] -> logits [n, K].
Logits = Callable[[tf.Tensor], tf.Tensor]


class Scorer:
    """Scores one or more sets of weights in one pass over the images.

    Args:
        strategy: of the devices.
        predict: name -> function of float32 images [n, S, S, 3] giving logits [n, K];
            called in replica context.
    """

    def __init__(self, strategy: tf.distribute.Strategy,
                 predict: Mapping[str, Logits]) -> None:
        self.strategy, self.predict = strategy, predict
        self._sums = tf.function(self._batch_sums, autograph=False)

    def score(self, stream: Iterable[Batch], num_examples: int,
              stop: StopSignals | None = None) -> dict[str, dict[str, float]]:
        """Error rates over `stream`, which holds `num_examples` images and padding.

        Args:
            stream: batches of image, label, weight; weight 0 marks padding.
            num_examples: images that must be counted.
            stop: a signal to any worker stops all of them.

        Returns:
            name -> {"top1_error", "top5_error", "cross_entropy": shares and nats,
            "num_examples": int}.

        Raises:
            DataError: another number of images was counted.
            NonFiniteError: a logit is NaN or infinite.
            Interrupted: `stop` was asked for.
        """
        totals = {name: np.zeros(5) for name in self.predict}
        for batch in stream:
            part = split_batch(self.strategy, {k: batch[k] for k in ("image", "label", "weight")})
            asked = tf.constant(float(stop.requested)) if stop else tf.constant(0.0)
            sums, stopped = self._sums(part, same_on_replicas(self.strategy, asked))
            if stop and stopped:
                stop.interrupt()
            for name, values in sums.items():
                totals[name] += values.numpy()
        return {name: _rates(name, sums, num_examples) for name, sums in totals.items()}

    def _batch_sums(self, batch, asked):
        per_replica = self.strategy.run(self._replica_sums, args=(batch,))
        sums = {name: self.strategy.reduce("SUM", values, axis=None)
                for name, values in per_replica.items()}
        return sums, self.strategy.reduce("SUM", asked, axis=None) > 0

    def _replica_sums(self, batch):
        return {name: _score_sums(predict(batch["image"]), batch["label"], batch["weight"])
                for name, predict in self.predict.items()}


def _score_sums(logits, labels, weights):
    """Weighted [count, top-1 errors, top-5 errors, cross-entropy, non-finite examples].

    A tie is ranked by class index, so a dead network's equal logits are no hit.

    Shape: logits [n, K], labels int32 [n], weights [n] -> float32 [5].
    """
    logits = tf.cast(logits, tf.float32)
    best = tf.math.top_k(logits, k=min(5, logits.shape[-1])).indices
    hits = tf.equal(best, labels[:, tf.newaxis])
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    finite = tf.reduce_all(tf.math.is_finite(logits), axis=1)
    columns = [
        tf.ones_like(weights),
        1.0 - tf.cast(hits[:, 0], tf.float32),
        1.0 - tf.cast(tf.reduce_any(hits, axis=1), tf.float32),
        tf.where(finite, losses, 0.0),
        1.0 - tf.cast(finite, tf.float32),
    ]
    return tf.reduce_sum(tf.stack(columns) * weights, axis=1)


def _rates(name, sums, num_examples):
    if round(sums[0]) != num_examples:
        raise DataError(f"scored {round(sums[0])} images of a split of {num_examples}")
    if sums[4]:
        raise NonFiniteError(f"{name} weights give logits that are not finite on "
                             f"{round(sums[4])} of {num_examples} images")
    return {
        "top1_error": sums[1] / num_examples,
        "top5_error": sums[2] / num_examples,
        "cross_entropy": sums[3] / num_examples,
        "num_examples": num_examples,
    }


def logits_of(model: keras.Model, state: TrainState) -> dict[str, Logits]:
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
