"""Small image folders for tests that run the real commands."""

import numpy as np
from PIL import Image


def write_image_folder(folder, splits, num_classes=5, size=80, seed=0):
    """Writes FOLDER/SPLIT/class_K/NNN.jpg with `splits` = {name: number of images}.

    A class is a colour and a stripe direction, so that a network can learn it.
    """
    rng = np.random.default_rng(seed)
    for split, count in splits.items():
        for i in range(count):
            label = i % num_classes
            path = folder / split / f"class_{label}" / f"{i:03d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(_picture(rng, label, size)).save(path, quality=90)
    return folder


def _picture(rng, label, size):
    rows, columns = np.mgrid[:size, :size]
    stripes = np.sin((rows * np.cos(label) + columns * np.sin(label)) / 4.0)
    color = np.array([np.cos(label), np.sin(label), np.cos(2 * label)])
    image = 128 + 60 * stripes[..., None] * color + rng.normal(0, 20, (size, size, 3))
    return np.clip(image, 0, 255).astype(np.uint8)
