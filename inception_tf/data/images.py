"""Encoded bytes to pixels: checks, decoding of one window, resizing; why an image is bad.

Graph operations only, so that the same functions serve training, scoring and
the exported model.
"""

import functools

import tensorflow as tf

from inception_tf.data import formats
from inception_tf.data.formats import MAX_PIXELS

# Endings of the files that are read, in lower case. What a file is, its bytes say.
EXTENSIONS = (".jpg", ".jpeg", ".jfif", ".png", ".gif", ".bmp", ".webp")

# Pixels that one chroma sample of a subsampled JPEG covers.
_CHROMA_REACH = 2

# Parts of its size that a JPEG can be decoded at.
_REDUCTIONS = (2, 4, 8)

# Formats that are not read, but are common enough to be named.
_NOT_READ = {
    "TIFF": (b"II*\0", b"MM\0*"),
    "AVIF": (b"ftypavi",),
    "HEIC": (b"ftypheic", b"ftypmif1"),
    "JPEG XL": (b"\xff\x0a", b"JXL "),
    "JPEG 2000": (b"jP  ", b"\xff\x4f\xff\x51"),
}


def checked_size(encoded: tf.Tensor,
                 max_pixels: int = MAX_PIXELS) -> tuple[tf.Tensor, tf.Tensor]:
    """(encoded, [height, width]) read from the header, before anything is decoded.

    Shape: string scalar -> string scalar, [2] int32.
    Raises: InvalidArgumentError where formats.check finds a fault: another format, no pixels or
        more than `max_pixels`, more work than so many pixels should be. The returned bytes
        depend on that check: decode these.
    """
    encoded, size, fault = formats.check(encoded, max_pixels)
    check = tf.debugging.Assert(tf.equal(fault, ""), ["image:", fault, "height and width", size])
    with tf.control_dependencies([check] if check is not None else []):
        return tf.identity(encoded), tf.identity(size)


def decode_window(encoded: tf.Tensor, size: tf.Tensor, window: tf.Tensor,
                  least: int | None = None) -> tf.Tensor:
    """The pixels of `window` (y, x, height, width), equal to decoding all and slicing.

    Only the window of a JPEG is decoded, unless the file does not end with its
    end marker: then all of it, so that whether a truncated file is an error
    depends on the file and not on the window.

    Args:
        encoded, size: as `checked_size` returns them.
        window: in pixels of the whole image.
        least: a JPEG is decoded at 1/2, 1/4 or 1/8 of its size if the window's sides keep so
            many pixels. A pixel is then about the mean of those it replaces, and the window
            is off by at most half a pixel.

    Shape: string scalar, [2] int32, [4] int32 -> [h, w, 3] uint8.
    """
    is_jpeg = tf.io.is_jpeg(encoded)

    def at_full_size():
        return tf.cond(is_jpeg & _is_whole(encoded),
                       lambda: _jpeg_window(encoded, size, window),
                       lambda: _slice(formats.decode(encoded), window))

    if least is None:
        return tf.ensure_shape(at_full_size(), [None, None, 3])
    times = tf.where(is_jpeg, tf.reduce_min(window[2:]) // least, 1)
    number = tf.reduce_sum(tf.cast(times >= _REDUCTIONS, tf.int32))
    reduced = [functools.partial(_reduced_window, encoded, size, window, r) for r in _REDUCTIONS]
    return tf.ensure_shape(tf.switch_case(number, [at_full_size, *reduced]), [None, None, 3])


def resize(pixels: tf.Tensor, size: int | list, method: str = "bilinear",
           pixel_centers: str = "half", antialias: bool = False) -> tf.Tensor:
    """Resized, whatever the aspect was.

    Args:
        pixels: an image.
        size: a side, or [height, width].
        method: of tf.image.resize; "bilinear" and "bicubic" have both geometries.
        pixel_centers: "corner" is TF1's geometry, in which the released weights were trained;
            tf.image.resize has no way to ask for it.
        antialias: low-pass before shrinking.

    Shape: [h, w, 3] uint8 or float32 -> [S, S, 3] float32, same range.
    """
    size = [size, size] if isinstance(size, int) else size
    # To the same bits as the kernels' own conversion, in three quarters of the time.
    pixels = tf.cast(pixels, tf.float32)
    if pixel_centers == "half":
        return tf.image.resize(pixels, size, method=method, antialias=antialias)
    kernels = {
        "bilinear": tf.compat.v1.image.resize_bilinear,
        "bicubic": tf.compat.v1.image.resize_bicubic,
    }
    return kernels[method](pixels[tf.newaxis], size, half_pixel_centers=False)[0]


def cause_of_failure(encoded: bytes, max_pixels: int) -> str:
    """Why these bytes could not be decoded, in a few words."""
    if not encoded:
        return "empty"
    kind = next((f.name for f in formats.FORMATS if f.describes(encoded)), None)
    if kind is None:
        return _foreign(encoded)
    try:
        _, size, fault = formats.check(tf.constant(encoded), max_pixels)
    except tf.errors.OpError:
        return f"{kind} with an unreadable header"
    height, width = size.numpy()
    of_size = f" of {width}x{height} pixels" if size.numpy().any() else ""
    if fault := fault.numpy().decode():
        return f"{kind}{of_size}: {fault}"
    return f"truncated or damaged {kind} of {len(encoded)} bytes"


def _foreign(encoded):
    for kind, marks in _NOT_READ.items():
        if any(encoded.startswith(mark) or encoded[4:].startswith(mark) for mark in marks):
            return f"{kind}, which is not read: save it as JPEG or PNG"
    return f"{formats.unknown_format()} (starts with {encoded[:4].hex()})"


def _slice(pixels, window):
    y, x, height, width = tf.unstack(window)
    return pixels[y : y + height, x : x + width]


def _is_whole(jpeg):
    """Whether the file ends with the marker of its end."""
    start = tf.maximum(tf.strings.length(jpeg) - 2, 0)
    return tf.equal(tf.strings.substr(jpeg, start, 2), b"\xff\xd9")


def _jpeg_window(encoded, size, window, ratio=1):
    # Chroma at an edge is interpolated from the columns outside: decode those too.
    y, x, height, width = tf.unstack(window)
    left = tf.maximum(x - _CHROMA_REACH, 0)
    right = tf.minimum(x + width + _CHROMA_REACH, size[1])
    wider = tf.stack([y, left, height, right - left])
    pixels = tf.io.decode_and_crop_jpeg(encoded, wider, channels=3, ratio=ratio)
    return pixels[:, x - left : x - left + width]


def _reduced_window(jpeg, size, window, ratio):
    """`window` of a JPEG of `size`, both counted before the reduction."""
    size = (size + ratio - 1) // ratio
    first, last = ((edge + ratio // 2) // ratio for edge in (window[:2], window[:2] + window[2:]))
    window = tf.concat([first, last - first], axis=0)
    return tf.cond(_is_whole(jpeg), lambda: _jpeg_window(jpeg, size, window, ratio),
                   lambda: _slice(tf.io.decode_jpeg(jpeg, channels=3, ratio=ratio), window))
