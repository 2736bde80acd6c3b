"""What the rows of benchmarks/input.py do: each gives a function that makes a number of images."""

import functools
import io
import resource
import time

import tensorflow as tf

from inception_tf.config import Data
from inception_tf.data.augment import random_crop, random_window
from inception_tf.data.color import colored
from inception_tf.data.stream import PARALLELISM
from inception_tf.data.views import Preprocessing, scoring_crop
from inception_tf.runtime.memory import keep_freed_memory

SIZE, BATCH, CORES = 299, 32, 2


def answers(name, folder, warmup):
    """A row's answers for harness.answer_questions, after it has made `warmup` images."""
    make = ROWS[name]([path.read_bytes() for path in sorted(folder.iterdir())])
    make(warmup)
    return {"measure": functools.partial(measured, make)}


def measured(make, count):
    """Images per second, CPU milliseconds an image and peak memory of make(count)."""
    started, cpu = time.perf_counter(), _cpu_seconds()
    make(count)
    seconds = time.perf_counter() - started
    own, child = (usage.ru_maxrss for usage in _usages())
    return {"images_per_second": count / seconds, "cpu_ms": 1e3 * (_cpu_seconds() - cpu) / count,
            "peak_mib": (own + CORES * child) / 1024}


def _cpu_seconds():
    return sum(usage.ru_utime + usage.ru_stime for usage in _usages())


def _usages():
    """Of this process and of the children that have ended."""
    return [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]


def mapped(function, encoded, own_memory=False):
    """A row: `function` (encoded, index) -> tensor under tf.data, parallel, in order, batched.

    own_memory: with the allocator settings of this package's commands.
    """
    if own_memory:
        keep_freed_memory()
    images = tf.constant(encoded)
    options = tf.data.Options()
    options.autotune.enabled = False

    # As long as the turn: what an endless one reads ahead would be measured and thrown away.
    @functools.cache
    def dataset(count):
        mapped = tf.data.Dataset.range(count).map(
            lambda i: function(images[i % len(encoded)], i), PARALLELISM, deterministic=True)
        return mapped.batch(BATCH, drop_remainder=True).prefetch(2).with_options(options)

    def make(count):
        for _ in dataset(count):
            pass
    return make


def decode(encoded, index):
    """The whole photograph's pixels; one is passed on."""
    return tf.io.decode_jpeg(encoded, channels=3)[0, 0]


def decode_crop(encoded, index):
    """The random crop's pixels; one is passed on."""
    size = tf.io.extract_jpeg_shape(encoded)[:2]
    window = random_window(size, tf.stack([0, index]), 0.05)
    return tf.io.decode_and_crop_jpeg(encoded, window, channels=3)[0, 0]


def ours(color):
    """A row: what training maps over its records."""
    def function(encoded, index):
        key = tf.stack([tf.constant(0, tf.int64), index])
        return colored(*random_crop(encoded, key, Data(color=color), SIZE), color)
    return functools.partial(mapped, function, own_memory=True)


def scoring(encoded, index):
    """The central crop of scoring."""
    return scoring_crop(encoded, Preprocessing(SIZE))


def slim(color, own_memory=False):
    """A row: TF-slim's distortion as published."""
    def function(encoded, index):
        draws = tf.unstack(tf.random.stateless_uniform([7], [0, index]))
        image = tf.image.convert_image_dtype(tf.io.decode_jpeg(encoded, channels=3), tf.float32)
        begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
            tf.shape(image), tf.constant([[[0.0, 0.0, 1.0, 1.0]]]), [1, index],
            min_object_covered=0.1, aspect_ratio_range=(0.75, 1.33), area_range=(0.05, 1.0),
            max_attempts=100, use_image_if_no_bounding_boxes=True)
        image = _slim_resize(tf.slice(image, begin, size), draws[0], color)
        image = tf.ensure_shape(image, [SIZE, SIZE, 3])
        image = tf.cond(draws[1] < 0.5, lambda: tf.reverse(image, [1]), lambda: image)
        return (tf.clip_by_value(_slim_colors(image, draws[2:], color), 0.0, 1.0) - 0.5) * 2.0
    return functools.partial(mapped, function, own_memory=own_memory)


def _slim_resize(image, draw, color):
    """By the drawn one of four methods in the full form."""
    methods = ("bilinear", "nearest", "bicubic", "area") if color == "full" else ("bilinear",)
    return tf.switch_case(tf.cast(draw * len(methods), tf.int32), [
        functools.partial(tf.image.resize, image, [SIZE, SIZE], method) for method in methods])


def _slim_colors(image, draws, color):
    adjust = {
        "b": lambda x: tf.image.adjust_brightness(x, (2 * draws[1] - 1) * 32 / 255),
        "s": lambda x: tf.image.adjust_saturation(x, 0.5 + draws[2]),
        "h": lambda x: tf.image.adjust_hue(x, (2 * draws[3] - 1) * 0.2),
        "c": lambda x: tf.image.adjust_contrast(x, 0.5 + draws[4]),
    }
    orders = ("bshc", "sbch", "chbs", "hscb") if color == "full" else ("bs",)
    return tf.switch_case(tf.cast(draws[0] * len(orders), tf.int32), [
        functools.partial(functools.reduce, lambda x, name: adjust[name](x), order, image)
        for order in orders])


def torchvision(encoded):
    """A row: crop, flip and scaling in worker processes, one per core."""
    import torch
    from PIL import Image
    from torchvision import transforms

    transform = transforms.Compose([
        transforms.RandomResizedCrop(SIZE, scale=(0.05, 1.0)), transforms.RandomHorizontalFlip(),
        transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)])

    class Photographs(torch.utils.data.Dataset):
        def __init__(self, count):
            self.count = count

        def __len__(self):
            return self.count

        def __getitem__(self, index):
            image = Image.open(io.BytesIO(encoded[index % len(encoded)]))
            return transform(image.convert("RGB"))

    def make(count):
        for _ in torch.utils.data.DataLoader(Photographs(count), BATCH, num_workers=CORES):
            pass
    return make


ROWS = {
    "decode alone": functools.partial(mapped, decode),
    "decode of the random crop alone": functools.partial(mapped, decode_crop),
    "ours, no colour": ours("none"),
    "ours, fast": ours("fast"),
    "ours, full": ours("full"),
    "TF-slim, fast": slim("fast"),
    "TF-slim, full": slim("full"),
    "TF-slim, fast, with our memory setting": slim("fast", own_memory=True),
    "TF-slim, full, with our memory setting": slim("full", own_memory=True),
    "torchvision crop and flip": torchvision,
    "scoring crop": functools.partial(mapped, scoring, own_memory=True),
}
