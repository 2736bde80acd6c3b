"""Miniature ILSVRC-2012 archives, in the exact form that the real ones have."""

import io
import tarfile

import numpy as np
from PIL import Image
from tensorflow_datasets.core.utils import resource_utils

# Every fiftieth of the thousand, so that labels test the order over all of them.
LABEL_STRIDE = 50
NUM_SYNSETS = 20
IMAGES_PER_SYNSET = 5


def write_archives(folder, train=True, validation=True, test=False, seed=0):
    """Writes ILSVRC2012_img_train.tar, _val.tar and _test.tar into `folder`, those asked for.

    Returns: {file name: label} of the training images.
    """
    random = np.random.default_rng(seed)
    labels = {}
    if train:
        with tarfile.open(folder / "ILSVRC2012_img_train.tar", "w") as archive:
            for synset, label in synsets():
                names = [f"{synset}_{i}.JPEG" for i in range(IMAGES_PER_SYNSET)]
                labels.update(dict.fromkeys(names, label))
                _add(archive, f"{synset}.tar", _synset_tar(random, names))
    for split in ("val",) * validation + ("test",) * test:
        with tarfile.open(folder / f"ILSVRC2012_img_{split}.tar", "w") as archive:
            for number in range(1, NUM_SYNSETS + 1):
                _add(archive, f"ILSVRC2012_{split}_{number:08d}.JPEG", photograph(random))
    return labels


def synsets():
    """(synset, label) of the twenty that the miniature has."""
    names = tfds_file("labels.txt").split()
    return [(names[label], label) for label in range(0, 1000, LABEL_STRIDE)][:NUM_SYNSETS]


def validation_labels():
    """{file name: label} of all 50,000 validation images, from TFDS' own list."""
    order = {name: label for label, name in enumerate(tfds_file("labels.txt").split())}
    listed = tfds_file("validation_labels.txt").split()
    return {f"ILSVRC2012_val_{i:08d}.JPEG": order[name] for i, name in enumerate(listed, 1)}


def tfds_file(name):
    """Text of a file that TFDS keeps beside its imagenet2012 builder."""
    return resource_utils.tfds_path("datasets/imagenet2012/" + name).read_text()


def photograph(random, height=None, width=None):
    """A JPEG with smooth and fine structure, by default of ImageNet-like proportions."""
    height = height or int(random.integers(240, 400))
    width = width or int(random.integers(240, 400))
    pixels = np.zeros((height, width, 3))
    for cells in (3, 12, 48):
        coarse = random.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
        pixels += np.asarray(Image.fromarray(coarse).resize((width, height), Image.BICUBIC)) / 3
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def _synset_tar(random, names):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name in names:
            _add(archive, name, photograph(random))
    return file.getvalue()


def _add(archive, name, content):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))
