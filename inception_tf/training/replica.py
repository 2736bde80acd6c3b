"""What one replica computes of an update: loss and gradients of its share of one pass.

The model is called without side effects (`stateless_call`): batch statistics come back as
values, and dropout's seed is given in, a function of (seed, step, pass, replica): no state to
save, and replicas draw different masks (under MirroredStrategy Keras gives all the same).
"""

from collections.abc import Sequence

import keras
import tensorflow as tf

from inception_tf.config import Optimization
from inception_tf.data.color import finished
from inception_tf.training.batch_norm import fused
from inception_tf.training.joined import relu_after_concat
from inception_tf.training.losses import cross_entropy
from inception_tf.training.pointwise import as_products
from inception_tf.training.remat import Rematerialized
from inception_tf.training.state import TrainState, is_seed

# What a replica takes of a batch (data/batches.py).
PARTS = ("image", "label", "weight", "draws")
Batch = dict[str, tf.Tensor]


class ReplicaPass:
    """Callable in replica context: (batch, seed, statistics, loss_scale) -> gradients and sums.

    Args:
        model: network giving logits, or [logits, aux_logits].
        state: of that model.
        optimization: has the losses' constants.
        seed: of dropout.
        num_replicas: of all workers.
        remat: compute activations twice instead of keeping them.
        is_compiled: loss and gradients, by XLA.
        color: form of the distortion of images that come as bytes.
    """

    def __init__(self, model: keras.Model, state: TrainState, optimization: Optimization,
                 seed: int, num_replicas: int, remat: bool = False, is_compiled: bool = False,
                 color: str = "none") -> None:
        self.model, self.state, self.optimization = model, state, optimization
        self.seed, self.num_replicas, self.color = seed, num_replicas, color
        self._network = Rematerialized(model) if remat else model
        self._compute = self._gradients
        if is_compiled:
            self._compute = tf.function(self._gradients, jit_compile=True, autograph=False)

    def __call__(self, batch: Batch, seed: tf.Tensor, statistics: Sequence[tf.Tensor],
                 loss_scale: float | tf.Tensor = 1.0,
                 ) -> tuple[list[tf.Tensor], list[tf.Tensor], dict[str, tf.Tensor]]:
        """(gradients, statistics after the pass, sums) of this replica's examples.

        Args:
            batch: image [n, S, S, 3], label [n], weight [n]; draws [n, 5] of images as bytes.
            seed: of dropout, from `seed_of`.
            statistics: values of state.statistics before the pass.
            loss_scale: the loss is multiplied by it, and so are the gradients.
        """
        weights = [tf.convert_to_tensor(v.value) for v in self.state.trainable]
        gradients, changed, per_example = self._compute(
            weights, self._others(seed, statistics), finished(batch, self.color), batch["label"],
            batch["weight"], tf.convert_to_tensor(loss_scale))
        sums = {name: tf.reduce_sum(v * batch["weight"]) for name, v in per_example.items()}
        return gradients, self._statistics_of(changed), sums

    def finite(self, batch: Batch, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """(per example [n], per gradient and statistic [m]): whether each is finite."""
        weights = [tf.convert_to_tensor(v.value) for v in self.state.trainable]
        statistics = [tf.convert_to_tensor(v.value) for v in self.state.statistics]
        gradients, changed, values = self._compute(
            weights, self._others(seed, statistics), finished(batch, self.color), batch["label"],
            batch["weight"], tf.constant(1.0))
        tensors = [*gradients, *self._statistics_of(changed)]
        return (tf.math.is_finite(values["loss"] * batch["weight"]),
                tf.stack([tf.reduce_all(tf.math.is_finite(t)) for t in tensors]))

    def seed_of(self, step: int | tf.Tensor, index: int | tf.Tensor) -> tf.Tensor:
        """int64 [2] of dropout, for pass `index` of the update of `step`, on this replica.

        Computed on the host, where the keys of random numbers are wanted: from numbers that
        the host has, or it would wait for the device.
        """
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        fold = tf.random.experimental.stateless_fold_in
        with tf.device("CPU:0"):
            place = tf.cast(index, tf.int64) * self.num_replicas + tf.cast(replica, tf.int64)
            seed = tf.constant([self.seed, 0], tf.int64)
            return fold(fold(seed, tf.cast(step, tf.int64)), place)

    def _gradients(self, weights, others, images, labels, example_weights, loss_scale):
        # The gradients too: `remat` calls layers again for them.
        with fused(self.model), as_products(self.model), relu_after_concat(self.model):
            with tf.GradientTape() as tape:
                tape.watch(weights)
                outputs, changed = self._network.stateless_call(
                    weights, others, images, training=True)
                values = self._per_example(outputs, labels)
                total = tf.reduce_sum(values["loss"] * example_weights)
                loss = total / self.optimization.global_batch * loss_scale
            return tape.gradient(loss, weights), changed, values

    def _per_example(self, outputs, labels):
        """loss (with the auxiliary head's), cross_entropy, error, and a one to count: [n] each."""
        heads = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
        logits = tf.cast(heads[0], tf.float32)
        smoothing = self.optimization.label_smoothing
        main = cross_entropy(logits, labels, smoothing)
        aux = [cross_entropy(head, labels, smoothing) for head in heads[1:]]
        wrong = tf.not_equal(tf.argmax(logits, axis=1, output_type=tf.int32), labels)
        return {
            "loss": main + self.optimization.aux_weight * sum(aux),
            "cross_entropy": main,
            "error": tf.cast(wrong, tf.float32),
            "examples": tf.ones_like(main),
        }

    def _others(self, seed, statistics):
        """Values for the model's non-trainable variables, seeds included, in its order."""
        remaining = iter(statistics)
        return [tf.cast(seed, v.dtype) if is_seed(v) else next(remaining)
                for v in self.model.non_trainable_variables]

    def _statistics_of(self, values):
        pairs = zip(self.model.non_trainable_variables, values, strict=True)
        return [value for variable, value in pairs if not is_seed(variable)]
