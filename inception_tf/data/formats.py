"""The picture formats that are read: how each is known, measured, checked and decoded.

What a format's `check` lets through costs memory and time in proportion to its pixels, whatever
the bytes say: the header that it reads is the one that the decoder obeys. All of it is graph
operations, so that an exported model refuses what training refuses.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from inception_tf.data.gif import first_frame

# 50 million pixels are 150 MB decoded; the largest ImageNet photograph has 38.
MAX_PIXELS = 50_000_000

# Scans of the largest image; a smaller one may have more. Encoders make about 10. The margin, on
# each side, is for what a scan costs beyond its pixels: sides are padded to whole blocks.
_MAX_SCANS = 20
_SCAN_MARGIN = 128
# Of a PNG: unpacking each can take 45 ms, to 8 MB out of 8 kB.
_MAX_TEXTS = 20

# All headers below lie in these.
_HEAD_BYTES = 66


class Checked(NamedTuple):
    """What is known of an image before it is decoded: tensors.

    encoded: string, the bytes to decode. size: [2] int32, height and width. fault: string,
    why it is not to be decoded, or empty.
    """

    encoded: tf.Tensor
    size: tf.Tensor
    fault: tf.Tensor


class Format(NamedTuple):
    """How one format is known and read.

    signatures: (offset, bytes) that all must be there. check: (encoded, max_pixels) -> Checked.
    decode: encoded -> [h, w, 3] uint8.
    """

    name: str
    signatures: tuple[tuple[int, bytes], ...]
    check: Callable
    decode: Callable

    def describes(self, encoded: bytes) -> bool:
        """Whether `encoded` begins as this format does."""
        return all(encoded[at:].startswith(mark) for at, mark in self.signatures)


def check(encoded: tf.Tensor, max_pixels: int) -> Checked:
    """The Checked of an image; its size is 0 where the format is unknown or finds a fault."""
    found = tf.cond(tf.io.is_jpeg(encoded), lambda: _check_jpeg(encoded, max_pixels),
                    lambda: _check_other(encoded, max_pixels))
    size = tf.where(tf.equal(found.fault, ""), found.size, 0)
    height, width = tf.unstack(tf.cast(size, tf.int64))
    of_size = _first_true({
        "no pixels": (height < 1) | (width < 1),
        f"more than --max_image_pixels={max_pixels}": height * width > max_pixels})
    fault = tf.where(tf.equal(found.fault, ""), of_size, found.fault)
    return Checked(found.encoded, size, fault)


def unknown_format() -> str:
    """What is said of bytes that begin as no format that is read."""
    *names, last = (form.name for form in FORMATS)
    return f"not a {', '.join(names)} or {last} image"


def decode(encoded: tf.Tensor) -> tf.Tensor:
    """All pixels of an image that `check` found no fault in, [h, w, 3] uint8."""
    return tf.cond(tf.io.is_jpeg(encoded), lambda: _decoded(encoded),
                   lambda: _decode_other(encoded))


# Not inlined: a JPEG would wait for each of their operations to be passed over, 0.1 ms.
_apart = functools.partial(tf.function, autograph=False,
                           experimental_attributes={"_noinline": True})


@_apart
def _check_other(encoded, max_pixels):
    return _by_format(
        encoded, lambda form: form.check(encoded, max_pixels),
        lambda: Checked(encoded, tf.zeros([2], tf.int32), tf.constant(unknown_format())))


@_apart
def _decode_other(encoded):
    return _by_format(encoded, lambda form: form.decode(encoded), lambda: _decoded(encoded))


def _by_format(encoded, of, unknown):
    """of(the Format of the image, which is no JPEG), or unknown()."""
    head, others = _head(encoded), FORMATS[1:]
    number = len(others)
    for i, form in enumerate(others):
        found = tf.reduce_all([_has(head, *mark) for mark in form.signatures])
        number = tf.where(found, i, number)
    return tf.switch_case(number, [*(lambda f=f: of(f) for f in others), unknown])


def _head(encoded):
    """The first bytes as int32 [_HEAD_BYTES], zeros where there are none."""
    start = tf.strings.substr(encoded, 0, _HEAD_BYTES)
    return tf.cast(tf.io.decode_raw(start, tf.uint8, fixed_length=_HEAD_BYTES), tf.int32)


def _has(head, at, mark):
    return tf.reduce_all(head[at:at + len(mark)] == list(mark))


def _first_true(faults):
    """The text of the first condition that holds, or nothing."""
    text = tf.constant("")
    for fault, holds in reversed(faults.items()):
        text = tf.where(holds, fault, text)
    return text


def _occurrences(encoded, mark, most):
    """How often `mark` is there, at most `most` times; 30 us for a JPEG of 120 kB."""
    # Half the time of tf.strings.split, or of comparing the decoded bytes.
    parts = tf.raw_ops.StringSplitV2(input=[encoded], sep=mark, maxsplit=most).values
    return tf.shape(parts)[0] - 1


def _decoded(encoded, channels=3):
    return tf.io.decode_image(encoded, channels=channels, expand_animations=False)


def _check_jpeg(encoded, max_pixels):
    """A decoder goes through all pixels for each scan, and a scan can be ten bytes.

    Its marker is FF DA and two bytes of length, below 256. Compressed pixels never look so;
    thumbnails hold a few, and other bytes one in 16 MB.
    """
    size = tf.io.extract_jpeg_shape(encoded)[:2]
    sides = tf.cast(size, tf.int64)
    limit = _MAX_SCANS * max(max_pixels, MAX_PIXELS)
    scans = _occurrences(encoded, b"\xff\xda\0", limit // _SCAN_MARGIN**2)
    work = tf.reduce_prod(sides + _SCAN_MARGIN) * tf.cast(scans, tf.int64)
    return Checked(encoded, size, _first_true({
        "": tf.reduce_prod(sides) > max_pixels,
        "too many scans for its size: save it as a baseline JPEG": work > limit}))


def _check_png(encoded, _):
    """The decoder passes over unknown chunks before the header: it must come first."""
    head = _head(encoded)
    texts = sum(_occurrences(encoded, mark, _MAX_TEXTS + 1) for mark in (b"zTXt", b"iTXt"))
    return Checked(encoded, tf.stack([_big(head, 20), _big(head, 16)]), _first_true({
        "no header at its start": ~_has(head, 8, b"\0\0\0\rIHDR"),
        f"more than {_MAX_TEXTS} compressed texts: save it without": texts > _MAX_TEXTS}))


def _check_gif(encoded, _):
    return Checked(*first_frame(encoded))


def _check_bmp(encoded, _):
    """Bottom-up rows, or top-down where the height is negative. Source: BITMAPINFOHEADER."""
    head = _head(encoded)
    bits, compression = _little(head, 28, 2), _little(head, 30, 4)
    # With compression 3 the header says which bits are red, green and blue: these.
    usual = _has(head, 54, b"\0\0\xff\0" b"\0\xff\0\0" b"\xff\0\0\0")
    bgr = (bits == 24) | (bits == 32)
    read = tf.where(compression == 3, (bits == 32) & usual,
                    (compression == 0) & (bgr | (bits == 8)))
    size = tf.stack([tf.abs(_little(head, 22, 4)), _little(head, 18, 4)])
    return Checked(encoded, size, _first_true({
        "only 24 or 32 bits a pixel or a palette of 256, uncompressed, are read: save it as PNG":
            ~read | (_little(head, 14, 4) < 40)}))


def _decode_bmp(encoded):
    """TensorFlow takes the indices of a palette for grey values: look them up."""
    def with_palette(pixels):
        colours = _little(head, 46, 4)
        colours = tf.where((colours < 1) | (colours > 256), 256, colours)
        entries = tf.strings.substr(encoded, 14 + _little(head, 14, 4), 4 * colours)
        palette = tf.reshape(tf.io.decode_raw(entries, tf.uint8), [-1, 4])[:, 2::-1]
        return tf.gather(palette, tf.cast(pixels[..., 0], tf.int32))

    head, pixels = _head(encoded), _decoded(encoded)
    return tf.cond(_little(head, 28, 2) == 8, lambda: with_palette(pixels), lambda: pixels)


def _check_webp(encoded, _):
    """Source: RFC 9649, sections 2.5 to 2.7, and RFC 6386, section 9.1."""
    head = _head(encoded)
    lossy, lossless, extended = (_has(head, 12, mark) for mark in (b"VP8 ", b"VP8L", b"VP8X"))
    width = _first_of([(lossy, _little(head, 26, 2) % 2**14),
                       (lossless, 1 + _little(head, 21, 2) % 2**14),
                       (extended, 1 + _little(head, 24, 3))])
    height = _first_of([(lossy, _little(head, 28, 2) % 2**14),
                        (lossless, 1 + _little(head, 22, 3) // 2**6 % 2**14),
                        (extended, 1 + _little(head, 27, 3))])
    # TensorFlow 2.21 ends the process at an animation.
    animated = extended & (head[20] // 2 % 2 == 1)
    return Checked(encoded, tf.stack([height, width]), _first_true({
        "an animation, only still WebP is read": animated}))


def _first_of(choices):
    value = 0
    for holds, other in choices:
        value = tf.where(holds, other, value)
    return value


def _little(head, at, count):
    return sum(head[at + i] * 256**i for i in range(count))


def _big(head, at):
    return sum(head[at + i] * 256 ** (3 - i) for i in range(4))


FORMATS = (
    Format("JPEG", ((0, b"\xff\xd8\xff"),), _check_jpeg, _decoded),
    Format("PNG", ((0, b"\x89PNG"),), _check_png, _decoded),
    Format("GIF", ((0, b"GIF8"),), _check_gif, _decoded),
    Format("BMP", ((0, b"BM"),), _check_bmp, _decode_bmp),
    # As many channels as it has, 3 or 4: this decoder refuses to leave one out.
    Format("WebP", ((0, b"RIFF"), (8, b"WEBP")), _check_webp,
           lambda encoded: _decoded(encoded, channels=0)[..., :3]),
)
