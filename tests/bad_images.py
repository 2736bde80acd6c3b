"""Encoded images of every kind, good and bad, and a source that serves them from memory."""

import functools
import io
import struct
import zlib

import numpy as np
from PIL import Image

from inception_tf.data.sources import Example, Source

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


def jpeg_of_scans(count, side=400):
    """A progressive JPEG of one colour with its last scan again and again."""
    whole = encode(np.full((side, side, 3), 90, np.uint8), progressive=True)
    last = whole.rindex(b"\xff\xda\0")
    return whole[:-2] + whole[last:-2] * count + whole[-2:]


def gif(screen, *frames):
    """A GIF with a screen (width, height) and black frames (left, top, width, height)."""
    header = b"GIF89a" + struct.pack("<2H3B", *screen, 0x80, 0, 0) + bytes(6)
    return header + b"".join(_gif_frame(*place) for place in frames) + b";"


@functools.cache
def _gif_frame(left, top, width, height):
    whole = io.BytesIO()
    Image.new("P", (width, height)).save(whole, "GIF")
    descriptor = b"," + struct.pack("<4H", 0, 0, width, height)
    packed = whole.getvalue().partition(descriptor)[2].removesuffix(b";")
    return b"," + struct.pack("<4H", left, top, width, height) + packed


def chunk(kind, content):
    """A chunk of a PNG."""
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def png(before=b"", first=b"", side=8):
    """A black PNG with chunks before its pixels, or before its header."""
    header = chunk(b"IHDR", struct.pack(">2I5B", side, side, 8, 2, 0, 0, 0))
    rows = chunk(b"IDAT", zlib.compress(bytes((3 * side + 1) * side)))
    return b"\x89PNG\r\n\x1a\n" + first + header + before + rows + chunk(b"IEND", b"")


def bmp(bits, compression=0, after_header=b"", header_size=40, rows=b"", height=HEIGHT, colours=0):
    """A BMP by its header; WIDTH wide."""
    info = struct.pack("<I2i2H6I", header_size, WIDTH, height, 1, bits, compression, len(rows),
                       0, 0, colours, 0) + after_header
    info += bytes(max(0, header_size - len(info)))
    start = 14 + len(info)
    return b"BM" + struct.pack("<I2HI", start + len(rows), 0, 0, start) + info + rows


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
    "hundred_scans": jpeg_of_scans(100),
    "animation": gif((WIDTH, HEIGHT), (0, 0, WIDTH, HEIGHT), (0, 0, 3000, 3000)),
    "bmp_palette": encode(pixels(), "BMP", mode="P"),
    "webp": encode(pixels(), "WEBP"),
    "webp_lossless": encode(pixels(), "WEBP", lossless=True),
    "webp_exif": encode(pixels(), "WEBP", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"),
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
# The same, of kinds that came later; counting and resuming are tested with those above.
BAD_KINDS = {
    "scans": (jpeg_of_scans(4000), "too many scans"),
    "gif_large_frame": (gif((10, 10), (0, 0, 3000, 3000)), "first frame does not fill it"),
    "gif_small_frame": (gif((80, 60), (0, 0, 40, 30)), "first frame does not fill it"),
    "gif_frame_aside": (gif((80, 60), (1, 0, 80, 60)), "first frame does not fill it"),
    "gif_without_frame": (gif((80, 60)), "truncated"),
    "gif_truncated": (encode(pixels(), "GIF")[:900], "truncated"),
    "png_texts": (png(chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(9))) * 21), "texts"),
    "png_late_header": (png(first=chunk(b"abCd", struct.pack(">2I5B", 8, 8, 8, 2, 0, 0, 0)),
                            side=900), "no header at its start"),
    "bmp_1_bit": (encode(pixels(), "BMP", mode="1"), "only 24 or 32 bits"),
    "bmp_16_bits": (bmp(16, rows=bytes(2 * WIDTH * HEIGHT)), "only 24 or 32 bits"),
    "bmp_rle": (bmp(8, compression=1, after_header=bytes(1024), rows=bytes(99)), "uncompressed"),
    "bmp_lowest_height": (bmp(24, height=-2**31), "pixels"),
    "webp_truncated": (encode(pixels(), "WEBP")[:300], "truncated or damaged WebP"),
    "webp_animation": (encode(pixels(), "WEBP", save_all=True, append_images=[
        Image.fromarray(pixels(seed=1))]), "only still WebP"),
    "tiff": (encode(pixels(), "TIFF"), "TIFF, which is not read"),
    "avif": (encode(pixels(), "AVIF"), "AVIF, which is not read"),
}


class MemorySource(Source):
    """Records from lists; labels cycle through `num_classes` unless given."""

    def __init__(self, images, num_classes=4, labels=None):
        self.images = list(images)
        self.labels = list(labels or (i % num_classes for i in range(len(self.images))))
        super().__init__("memory", "train", len(self.images),
                         [f"class_{i}" for i in range(num_classes)], ())

    def _read(self, index):
        return Example(self.images[index], self.labels[index], f"image_{index}")
