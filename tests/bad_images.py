"""Encoded images of every kind, good and bad, and a source that serves them from memory."""

import io

import numpy as np
from PIL import Image

from inception_tf.data.sources import Record, Source

HEIGHT, WIDTH = 60, 80


def pixels(height=HEIGHT, width=WIDTH, seed=0):
    """Smooth random pixels, so that JPEG keeps them nearly."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.BICUBIC))


def encode(array, kind="JPEG", mode="RGB", **options):
    """Bytes of `array` [h, w, 3] in a format of Pillow's and one of its modes."""
    file = io.BytesIO()
    Image.fromarray(array).convert(mode).save(file, kind, **options)
    return file.getvalue()


def jpeg(seed=0, height=HEIGHT, width=WIDTH, **options):
    """A good JPEG."""
    return encode(pixels(height, width, seed), **options)


def bomb(side=13_000, progressive=False):
    """A JPEG of some 600 bytes whose header claims side x side pixels."""
    small = encode(pixels(8, 8), progressive=progressive)
    marker = b"\xff\xc2" if progressive else b"\xff\xc0"
    at = small.index(marker) + 5
    return small[:at] + side.to_bytes(2, "big") * 2 + small[at + 4 :]


GOOD = {
    "jpeg": jpeg(),
    "progressive": jpeg(progressive=True),
    "cmyk": encode(pixels(), mode="CMYK"),
    "grey": encode(pixels(), mode="L"),
    "png": encode(pixels(), "PNG"),
    "png_rgba": encode(pixels(), "PNG", mode="RGBA"),
    "png_palette": encode(pixels(), "PNG", mode="P"),
    "gif": encode(pixels(), "GIF"),
    "bmp": encode(pixels(), "BMP"),
    "one_pixel": jpeg(height=1, width=1),
    "one_row": jpeg(height=1, width=3000),
    "trailing_zeros": jpeg() + bytes(7),
}

# name -> (bytes, what the cause must say)
BAD = {
    "empty": (b"", "empty"),
    "random": (np.random.default_rng(1).bytes(500), "not a JPEG"),
    "text": (b"<html>404</html>", "not a JPEG"),
    "truncated": (jpeg()[:-300], "truncated or damaged JPEG"),
    "truncated_progressive": (jpeg(progressive=True)[:-300], "truncated or damaged JPEG"),
    "header_only": (jpeg()[:20], "unreadable header"),
    "truncated_png": (encode(pixels(), "PNG")[:900], "truncated or damaged PNG"),
    "short_png": (encode(pixels(), "PNG")[:20], "PNG"),
    "bomb": (bomb(), "13000x13000"),
    "bomb_progressive": (bomb(progressive=True), "13000x13000"),
}


class MemorySource(Source):
    """Records from lists; labels cycle through `num_classes` unless given."""

    def __init__(self, images, num_classes=4, labels=None):
        self.images = list(images)
        self.labels = list(labels or (i % num_classes for i in range(len(self.images))))
        super().__init__("memory", "train", len(self.images),
                         [f"class_{i}" for i in range(num_classes)], ())

    def _read(self, index):
        return Record(self.images[index], self.labels[index], f"image_{index}")
