"""A TFDS set of a dozen pictures in two shards, prepared in a second."""

import io

import numpy as np
import tensorflow_datasets as tfds

from tests.bad_images import jpeg


class Small(tfds.core.GeneratorBasedBuilder):
    """Twelve training and five validation JPEGs of four classes."""

    VERSION = tfds.core.Version("1.2.3")
    RELEASE_NOTES = {"1.2.3": "For tests."}
    pkg_dir_path = None

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description="For tests.",
            features=tfds.features.FeaturesDict({
                "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
                "label": tfds.features.ClassLabel(names=["ant", "bee", "cat", "dog"]),
            }),
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(12), "validation": self._generate_examples(5)}

    def _generate_examples(self, count):
        for i in range(count):
            yield i, {"image": io.BytesIO(jpeg(seed=i)), "label": i % 4}


class Unlabelled(Small):
    """Images with an angle in place of a class."""

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description="For tests.",
            features=tfds.features.FeaturesDict({
                "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
                "angle": tfds.features.Scalar(np.float32),
            }),
        )


def write_small_set(folder, file_format):
    """Prepares it under `folder` as "tfrecord" or "array_record"."""
    builder = Small(data_dir=folder, file_format=file_format)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(num_shards=2))
