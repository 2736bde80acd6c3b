"""The embedded data set: a TFDS builder that draws its pictures itself."""

import io

import tensorflow_datasets as tfds
from PIL import Image

from inception_tf.data import drawing

# Pictures per split; labels cycle, so classes are equally frequent.
SPLITS = {"train": 6000, "validation": 1200, "test": 1200}
JPEG_QUALITY = 90


class Shapes(tfds.core.GeneratorBasedBuilder):
    """Textured, turned, partly covered shapes on cluttered ground, 20 classes."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First form."}
    pkg_dir_path = None

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description="Drawn pictures of 5 shapes in 4 textures; nothing is downloaded.",
            features=tfds.features.FeaturesDict({
                "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
                "label": tfds.features.ClassLabel(names=drawing.CLASS_NAMES),
            }),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager):
        del dl_manager  # nothing to download
        return {split: self._generate_examples(split) for split in SPLITS}

    def _generate_examples(self, split):
        for index in range(SPLITS[split]):
            label = index % len(drawing.CLASS_NAMES)
            pixels = drawing.draw(label, (list(SPLITS).index(split), index))
            yield index, {"image": _jpeg(pixels), "label": label}


def _jpeg(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    file.seek(0)
    return file
