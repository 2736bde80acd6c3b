"""One update of the global batch on any number of replicas.

    pass    each replica: forward, backward, gradients of its examples' summed loss
    ...     repeated and added up when the batch is accumulated
    update  sum over replicas, weight decay, one clip by global norm, look for
            non-finite numbers, then optimizer, averages and statistics at once

The model is called without side effects (`stateless_call`): batch statistics come
back as values, so an update is applied as a whole or not at all, and dropout's seed
is given in, a function of (seed, step, replica): no state to save, and replicas
draw different masks (traps: under MirroredStrategy Keras gives all the same).
"""

import tensorflow as tf

from inception_tf.runtime.strategy import local, same_on_replicas, split_batch
from inception_tf.training.losses import cross_entropy, is_decayed, weight_decay_loss
from inception_tf.training.optimizer import apply_average, apply_update, clip_scale
from inception_tf.training.state import is_seed


class TrainStep:
    """Callable that turns the state of step t into that of t + 1.

    Args:
        strategy: tf.distribute strategy the state lives in.
        model: network giving logits, or [logits, aux_logits].
        state: TrainState of that model.
        schedule: Schedule of learning rate and averaging.
        seed: int, of dropout.
    """

    def __init__(self, strategy, model, state, schedule, seed):
        self.strategy, self.model, self.state = strategy, model, state
        self.schedule, self.seed = schedule, seed
        self.optimization = schedule.optimization
        self._one_pass = tf.function(self._pass)
        self._accumulate = tf.function(self._pass_and_add)
        self._finish = tf.function(self._update)
        self._whole = tf.function(lambda batch, stop: self._update(self._pass(batch, 0), stop))

    def __call__(self, batches, stop=False):
        """One update from a list of batches that together are the global batch.

        Args:
            batches: dicts of this worker's image, label, weight (data/batches.py), each
                divisible by its replicas.
            stop: this worker was asked to stop; all workers hear of it in the same step.

        Returns:
            dict of scalars: loss (with auxiliary loss and weight decay), cross_entropy,
            error (top-1 share on the distorted images), grad_norm (before clipping),
            learning_rate, is_finite (False: nothing was applied), stop (of any worker).
        """
        stop = same_on_replicas(self.strategy, tf.constant(float(stop)))
        parts = [split_batch(self.strategy, _used(batch)) for batch in batches]
        if len(parts) == 1:
            return self._whole(parts[0], stop)
        totals = self._one_pass(parts[0], 0)
        for index, part in enumerate(parts[1:], start=1):
            totals = self._accumulate(part, tf.constant(index), totals)
        return self._finish(totals, stop)

    def _pass(self, batch, index):
        values = self.strategy.run(
            self._replica_pass, args=(batch, index, [v.value for v in self.state.statistics])
        )
        return values

    def _pass_and_add(self, batch, index, totals):
        gradients, statistics, sums = totals
        new = self.strategy.run(self._replica_pass, args=(batch, index, statistics))
        add = lambda a, b: tf.nest.map_structure(tf.add, a, b)  # noqa: E731
        return (
            self.strategy.run(add, args=(gradients, new[0])),
            new[1],
            self.strategy.run(add, args=(sums, new[2])),
        )

    def _replica_pass(self, batch, index, statistics):
        """(gradients, statistics after the pass, sums) of this replica's examples."""
        weights = [tf.convert_to_tensor(v.value) for v in self.state.trainable]
        with tf.GradientTape() as tape:
            tape.watch(weights)
            outputs, changed = self.model.stateless_call(
                weights, self._inputs_state(index, statistics), batch["image"], training=True
            )
            losses, logits = self._losses(outputs, batch["label"])
            total = tf.reduce_sum(losses["loss"] * batch["weight"])
            loss = total / self.optimization.global_batch
        gradients = tape.gradient(loss, weights)
        return gradients, self._statistics_of(changed), self._sums(losses, logits, batch)

    def _losses(self, outputs, labels):
        heads = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
        logits = tf.cast(heads[0], tf.float32)
        smoothing = self.optimization.label_smoothing
        main = cross_entropy(logits, labels, smoothing)
        aux = [cross_entropy(head, labels, smoothing) for head in heads[1:]]
        return {
            "loss": main + self.optimization.aux_weight * sum(aux),
            "cross_entropy": main,
        }, logits

    def _sums(self, losses, logits, batch):
        wrong = tf.not_equal(tf.argmax(logits, axis=1, output_type=tf.int32), batch["label"])
        per_example = {**losses, "error": tf.cast(wrong, tf.float32),
                       "examples": tf.ones_like(batch["weight"])}
        return {name: tf.reduce_sum(v * batch["weight"]) for name, v in per_example.items()}

    def _inputs_state(self, index, statistics):
        """Values for the model's non-trainable variables, seeds included, in its order."""
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        replicas = self.strategy.num_replicas_in_sync
        place = tf.cast(index, tf.int64) * replicas + tf.cast(replica, tf.int64)
        seed = tf.random.experimental.stateless_fold_in(
            tf.random.experimental.stateless_fold_in(
                tf.constant([self.seed, 0], tf.int64), tf.convert_to_tensor(self.state.step)),
            place)
        remaining = iter(statistics)
        return [tf.cast(seed, v.dtype) if is_seed(v) else next(remaining)
                for v in self.model.non_trainable_variables]

    def _statistics_of(self, values):
        pairs = zip(self.model.non_trainable_variables, values, strict=True)
        return [value for variable, value in pairs if not is_seed(variable)]

    def _update(self, totals, stop):
        gradients, statistics, metrics = self.strategy.run(
            self._replica_sum, args=(*totals, stop))
        metrics = {name: local(self.strategy, v) for name, v in metrics.items()}
        rate = tf.cast(self.schedule.learning_rate(self.state.step), tf.float32)
        tf.cond(
            metrics["is_finite"],
            lambda: self._apply(gradients, statistics, rate),
            lambda: tf.constant(False),
        )
        return {**metrics, "learning_rate": rate}

    def _replica_sum(self, gradients, statistics, sums, stop):
        """Global gradients (decayed and clipped), mean statistics and metrics, on each replica."""
        context = tf.distribute.get_replica_context()
        # Arguments of a tf.function have no device; all_reduce takes its destination from it.
        gradients, statistics, sums = tf.nest.map_structure(
            tf.identity, (gradients, statistics, {**sums, "stop": stop}))
        gradients = context.all_reduce("SUM", gradients)
        statistics = context.all_reduce("MEAN", statistics)
        sums = context.all_reduce("SUM", sums)
        gradients, decay_loss = self._with_weight_decay(gradients)
        norm = tf.linalg.global_norm(gradients)
        scale = clip_scale(norm, self.optimization.clip_norm)
        stop, count = sums.pop("stop"), tf.maximum(sums.pop("examples"), 1.0)
        metrics = {name: value / count for name, value in sums.items()}
        metrics["stop"] = stop > 0
        metrics["loss"] += decay_loss
        metrics["grad_norm"] = norm
        is_finite = [tf.math.is_finite(metrics["loss"]), tf.math.is_finite(norm)]
        is_finite.append(tf.math.is_finite(tf.linalg.global_norm(statistics)))
        metrics["is_finite"] = tf.reduce_all(is_finite)
        return [g * scale for g in gradients], statistics, metrics

    def _with_weight_decay(self, gradients):
        decay = self.optimization.weight_decay
        if not decay:
            return gradients, 0.0
        decayed = [is_decayed(v.path) for v in self.state.trainable]
        values = [tf.convert_to_tensor(v.value) for v in self.state.trainable]
        loss = weight_decay_loss([v for v, d in zip(values, decayed, strict=True) if d], decay)
        triples = zip(gradients, values, decayed, strict=True)
        return [g + decay * v if d else g for g, v, d in triples], loss

    def _apply(self, gradients, statistics, rate):
        """Optimizer, statistics, averages, step: once per replica's copy of each variable."""
        update = self.strategy.extended.update
        slots = [dict(zip(self.state.slots, group, strict=True))
                 for group in zip(*self.state.slots.values(), strict=True)]
        for variable, own, gradient in zip(self.state.trainable, slots, gradients, strict=True):
            update(variable.value, self._apply_one, args=(own, gradient, rate), group=False)
        for variable, value in zip(self.state.statistics, statistics, strict=True):
            update(variable.value, lambda v, new: v.assign(new), args=(value,), group=False)
        decay = self.schedule.ema_decay(self.state.step)
        for shadow, variable in zip(self.state.ema, self.state.weights, strict=True):
            update(shadow, apply_average, args=(variable.value, decay), group=False)
        self.state.step.assign_add(1)
        return tf.constant(True)

    def _apply_one(self, variable, slots, gradient, rate):
        apply_update(self.optimization, variable, slots, gradient, rate)


def _used(batch):
    return {name: batch[name] for name in ("image", "label", "weight")}
