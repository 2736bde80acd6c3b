"""One network over one split: the mean softmax of every image's views, into a file."""

import dataclasses
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inception_tf.data.batches import view_batches
from inception_tf.data.sources import Source
from inception_tf.data.stream import ExampleStream
from inception_tf.data.views import Protocol, with_mirrors
from inception_tf.errors import DataError, NonFiniteError, UsageError
from inception_tf.evaluation.members import Member
from inception_tf.evaluation.predictions_file import PredictionsWriter, stored_ids
from inception_tf.evaluation.predictions_header import ID_BYTES, id_bytes_for, id_bytes_of
from inception_tf.runs.network import load_weights, require_room_for_batch
from inception_tf.runtime.devices import Devices, from_first, local, split_batch
from inception_tf.runtime.progress import bar


@dataclasses.dataclass(frozen=True)
class Passes:
    """How views are grouped: the same groups go through the network whenever a run resumes.

    protocol: which views each image has.
    images: per step, over all devices.
    views: per pass of one device; a step of one device is one or more passes.
    """

    protocol: Protocol
    images: int
    views: int


def plan_passes(batch_size: int, num_replicas: int, protocol: Protocol) -> Passes:
    """Passes of at most `batch_size` views over all devices; an image is never split up.

    Raises:
        UsageError: batch_size does not spread over the devices.
    """
    if batch_size < 1 or batch_size % num_replicas:
        raise UsageError(f"--batch_size={batch_size} is not a positive multiple of "
                         f"{num_replicas} devices")
    share, crops = batch_size // num_replicas, protocol.crops
    if share >= crops:
        return Passes(protocol, num_replicas * (share // crops), share // crops * crops)
    views = max(n for n in range(1, share + 1) if crops % n == 0)
    return Passes(protocol, num_replicas, views)


# (labels [n], example ids [n], probabilities [n, K], whether one could not be read [n]) of images.
Rows = tuple[np.ndarray, list[str], np.ndarray, np.ndarray]


def predict_split(member: Member, source: Source, writer: PredictionsWriter | None,
                  passes: Passes, on: Devices, step: "ViewStep | None" = None) -> float | None:
    """Appends what is missing in `writer`; images per second, None where nothing was missing.

    Args:
        member: the network.
        source: the split.
        writer: None on workers that are not the chief.
        passes: from `plan_passes`.
        on: the Devices.
        step: one with the member's weights; None makes one.

    Raises:
        NonFiniteError: a probability is NaN or infinite.
        DataError: more images than `member.config.data.max_bad_examples` cannot be read.
        Interrupted: a stop signal came; the rows so far are committed.
    """
    done = start = from_first(on.strategy, writer.count if writer else 0)
    num_bad = from_first(on.strategy, writer.num_bad if writer else 0)
    _require_few(num_bad, member.config.data.max_bad_examples)
    if start == source.num_examples:
        return None
    step = step or view_step(member, source, passes, on)
    total = -(-(source.num_examples - start) // passes.images)
    started = time.monotonic()
    with step.views(member, source, start) as stream:
        steps = bar(stream, total, "step", f"{member.config.network.net} {source.split}",
                    is_quiet=not on.cluster.is_chief)
        for batch in on.watchdog.over(steps):
            rows, stopped = step(batch)
            num_bad += int(rows[-1].sum())
            _require_few(num_bad, member.config.data.max_bad_examples)
            done += _commit(writer, rows, source.num_examples - done)
            if stopped and done < source.num_examples:
                on.stop.interrupt()
    return (source.num_examples - start) / (time.monotonic() - started)


def view_step(member: Member, source: Source, passes: Passes, on: Devices) -> "ViewStep":
    """The ViewStep of a network for the images of `source`."""
    on_this_host = on.number // len(on.cluster.workers)
    require_room_for_batch(member.config.network, passes.views * on_this_host, "--batch_size")
    with on.strategy.scope():
        model = member.build()
    return ViewStep(on, model, passes, int(member.config.network.background_class),
                    id_bytes_of(id_bytes_for(source)))


class ViewStep:
    """A batch of images -> the rows of all of its images, on every worker."""

    def __init__(self, on: Devices, model: keras.Model, passes: Passes, first_class: int,
                 id_bytes: int = ID_BYTES):
        self._on, self._model, self._passes = on, model, passes
        self._first_class, self._id_bytes = first_class, id_bytes
        self._rows = tf.function(self._gathered_rows, autograph=False)
        self._views: dict[int, ExampleStream] = {}
        self._source: Any = None

    def load(self, member: Member) -> None:
        """Takes the weights of another checkpoint of the same network."""
        with self._on.strategy.scope():
            load_weights(self._model, member.arrays, member.weights)

    def views(self, member: Member, source: Source, start: int) -> ExampleStream:
        """The stream of `source` from record `start` on; the same one when asked again."""
        if start not in self._views:
            self._views[start] = view_batches(
                source, member.config.data, preprocessing=member.preprocessing,
                protocol=self._passes.protocol, start=start, batch_size=self._passes.images,
                part=self._on.cluster.part(self._passes.images),
                max_bad_examples=member.config.data.max_bad_examples)
        self._source = source
        return self._views[start].rewound()

    def __call__(self, batch: dict[str, tf.Tensor]) -> tuple[Rows, bool]:
        """(rows, whether a worker was asked to stop)."""
        labels, names, bad = self._named(batch)
        ids = stored_ids(names, self._id_bytes)
        extras = np.column_stack([
            labels, bad, np.full(len(ids), self._on.stop.requested),
            ids.view(np.uint8).reshape(len(ids), self._id_bytes)])
        parts = split_batch(self._on.strategy, {
            "image": batch["image"], "extras": tf.constant(extras, tf.float32)})
        rows = local(self._on.strategy, self._rows(parts)).numpy()
        probabilities, extras = np.split(rows, [rows.shape[1] - extras.shape[1]], axis=1)
        ids = extras[:, 3:].astype(np.uint8).copy().view(f"S{self._id_bytes}")[:, 0]
        names = [name.decode() for name in ids]
        rows = extras[:, 0].astype(np.int32), names, probabilities, extras[:, 1].astype(bool)
        return rows, bool(extras[:, 2].any())

    def _named(self, batch):
        """(labels, ids, which are bad); of a bad example a batch has nothing but the index."""
        labels, ids = np.array(batch["label"]), np.array(batch["example_id"])
        index = batch["index"].numpy()
        bad = (batch["weight"].numpy() == 0) & (index >= 0)
        for place in np.flatnonzero(bad):
            example = self._source.read(int(index[place]))
            labels[place], ids[place] = example.label, example.example_id.encode()
        return labels, ids, bad

    def _gathered_rows(self, parts):
        return self._on.strategy.run(self._replica_rows, args=(parts,))

    def _replica_rows(self, part):
        probabilities = self._mean_softmax(part["image"])
        rows = tf.concat([probabilities, part["extras"]], axis=1)
        # One collective for all that the chief writes; bytes and labels are exact in float32.
        return tf.distribute.get_replica_context().all_gather(rows, axis=0)

    def _mean_softmax(self, images):
        """Shape: [n, plain views, S, S, 3] -> [n, K]."""
        views = with_mirrors(images, self._passes.protocol)
        passes = tf.reshape(views, [-1, self._passes.views, *views.shape[2:]])
        if passes.shape[0] == 1:
            logits = self._model(passes[0], training=False)
        else:
            logits = tf.map_fn(lambda views: self._model(views, training=False), passes,
                               parallel_iterations=1)
        probabilities = tf.nn.softmax(tf.cast(logits, tf.float32))
        probabilities = tf.reshape(probabilities, [*views.shape[:2], logits.shape[-1]])
        return tf.reduce_mean(probabilities, axis=1)[:, self._first_class:]


def _require_few(num_bad, limit):
    """On every worker: each sees only its own bad examples, and none those of a run it resumes."""
    if num_bad > limit:
        raise DataError(f"{num_bad} bad examples in all, more than --max_bad_examples={limit}")


def _commit(writer, rows, room):
    """Appends a step's rows but for the padding beyond `room`; returns how many.

    The probabilities of a bad example are NaN.
    """
    labels, names, probabilities, bad = (part[:room] for part in rows)
    wrong = np.flatnonzero(~np.isfinite(probabilities).all(axis=1) & ~bad)
    if len(wrong):
        raise NonFiniteError(f"{names[wrong[0]]} has logits that are not finite; images before its "
                             "step are kept")
    probabilities[bad] = np.nan
    if writer:
        writer.append(labels, names, probabilities)
    return len(labels)
