"""The embedded data sets: a TFDS builder that draws its pictures itself."""

import concurrent.futures
import io
import multiprocessing
import os
import signal
from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds
from PIL import Image

from inception_tf.data import drawing
from inception_tf.runtime.signals import PARENT, end_with_parent

# Pictures per split; labels cycle, so classes are equally frequent.
SPLITS = {"train": 6000, "validation": 1200, "test": 1200}
LARGE_SPLITS = {"train": 50_000, "validation": 5000, "test": 5000}
JPEG_QUALITY = 90
# Drawn by a process at a time: some 0.1 s of work.
CHUNK = 32


class Shapes(tfds.core.GeneratorBasedBuilder):
    """Textured, turned, partly covered shapes on cluttered ground: 20 classes, or 50 (`large`)."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First form."}
    # Not BUILDER_CONFIGS, of which one is the default: `shapes` is the set without a
    # configuration, in the folder it always had.
    builder_configs = {"large": tfds.core.BuilderConfig(
        name="large", description="50 classes, some of which overlap, at 128x128.")}
    pkg_dir_path = None

    def _info(self):
        kind = self._kind_and_splits()[0]
        return tfds.core.DatasetInfo(
            builder=self,
            description=f"Drawn pictures of {len(kind.shapes)} shapes in {len(kind.textures)} "
                        "textures; nothing is downloaded.",
            features=tfds.features.FeaturesDict({
                "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
                "label": tfds.features.ClassLabel(names=kind.class_names),
            }),
            supervised_keys=("image", "label"),
        )

    def _kind_and_splits(self):
        return (drawing.LARGE, LARGE_SPLITS) if self.builder_config else (drawing.SMALL, SPLITS)

    def _split_generators(self, dl_manager):
        del dl_manager  # nothing to download
        return {split: self._generate_examples(split) for split in SPLITS}

    def _generate_examples(self, split):
        kind, splits = self._kind_and_splits()
        number = list(splits).index(split)
        labels = [index % len(kind.class_names) for index in range(splits[split])]
        wanted = [(label, (number, index), kind) for index, label in enumerate(labels)]
        encoded = _drawn_by_processes(wanted) if self.builder_config else map(_jpeg, wanted)
        for index, (label, data) in enumerate(zip(labels, encoded, strict=True)):
            yield index, {"image": io.BytesIO(data), "label": label}


def _jpeg(wanted):
    """The encoded picture of (label, seed, kind)."""
    file = io.BytesIO()
    Image.fromarray(drawing.draw(*wanted)).save(file, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return file.getvalue()


def _drawn_by_processes(wanted: list[Any]) -> Iterator[bytes]:
    """`_jpeg` of each, in order, drawn by as many processes as there are cores."""
    pool = concurrent.futures.ProcessPoolExecutor(
        len(os.sched_getaffinity(0)), multiprocessing.get_context("spawn"), _be_quiet,
        (str(os.getpid()),))
    try:
        yield from pool.map(_jpeg, wanted, chunksize=CHUNK)
    finally:
        pool.shutdown(cancel_futures=True)


def _be_quiet(parent):
    """A process that draws leaves what to do about signals to its parent, and ends with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent({PARENT: parent})
