"""Every picture format in every mode: the pixels that Pillow reads, or a refusal that says why."""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from inception_tf.data import images
from tests.bad_images import HEIGHT, WIDTH, bmp, chunk, encode, pixels

# Pillow decodes JPEG with another cosine transform: levels of 255, the largest anywhere.
JPEG_LEVELS = 8
BGR = pixels()[::-1, :, ::-1]
SHADES = np.tile(np.linspace(0, 255, WIDTH, dtype=np.uint8), (HEIGHT, 1))
TRANSPARENT = Image.fromarray(np.dstack([pixels(), SHADES]))
SIXTEEN = (pixels().astype(np.uint16) * 256 + SHADES[..., None]).astype(">u2")
ROTATED = Image.Exif()
ROTATED[0x0112] = 6
MASKS = struct.pack("<3I", 0xFF0000, 0xFF00, 0xFF)
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2),
         (1, 0, 2, 1))


def _save(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _raw_png(bits, colour, passes, interlace=0):
    """A PNG of arrays [h, w, ...], one a pass."""
    rows = b"".join(b"\0" + row.tobytes() for part in passes for row in part)
    header = struct.pack(">2I5B", WIDTH, HEIGHT, bits, colour, 0, 0, interlace)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows))
            + chunk(b"IEND", b""))


def _ycck(cmyk):
    """The same bytes with Adobe's word that they are YCCK."""
    at = cmyk.index(b"Adobe") + 11
    return cmyk[:at] + b"\2" + cmyk[at + 1:]


def _os2(rows):
    return (b"BM" + struct.pack("<I2HI", 26 + len(rows), 0, 0, 26)
            + struct.pack("<I4H", 12, WIDTH, HEIGHT, 1, 24) + rows)


BGRA = np.dstack([BGR, SHADES])
EQUAL = {
    **{f"png_{mode}": encode(pixels(), "PNG", mode=mode) for mode in ("1", "L", "P", "RGB")},
    **{f"png_{mode}": _save(TRANSPARENT.convert(mode), "PNG") for mode in ("LA", "RGBA")},
    **{f"png_palette_{bits}": _save(Image.fromarray(pixels()).quantize(2**bits), "PNG", bits=bits)
       for bits in (1, 2, 4)},
    "png_palette_transparent": encode(pixels(), "PNG", mode="P", transparency=bytes(range(256))),
    "png_grey_transparent": encode(pixels(), "PNG", mode="L", transparency=3),
    "png_rgb_transparent": encode(pixels(), "PNG", transparency=(1, 2, 3)),
    "png_16_bits": _raw_png(16, 2, [SIXTEEN]),
    "png_16_bits_alpha": _raw_png(16, 6, [np.dstack([SIXTEEN, SIXTEEN[..., :1]])]),
    "png_interlaced": _raw_png(8, 2, [pixels()[y::dy, x::dx] for y, x, dy, dx in ADAM7], 1),
    "apng": encode(pixels(), "PNG", save_all=True, append_images=[TRANSPARENT.convert("RGB")]),
    **{f"gif_{mode}": encode(pixels(), "GIF", mode=mode) for mode in ("1", "L", "P", "RGB")},
    "gif_interlaced": encode(pixels(), "GIF", interlace=1),
    "gif_transparent": encode(pixels(), "GIF", mode="P", transparency=3),
    "gif_animation": encode(pixels(), "GIF", save_all=True, append_images=[
        Image.fromarray(pixels(seed=1))], comment=b"a" * 1000),
    **{f"bmp_{mode}": encode(pixels(), "BMP", mode=mode) for mode in ("L", "P", "RGB")},
    "bmp_RGBA": _save(TRANSPARENT, "BMP"),
    "bmp_top_down": bmp(24, rows=BGR[::-1].tobytes(), height=-HEIGHT),
    "bmp_32": bmp(32, rows=BGRA.tobytes()),
    "bmp_usual_masks": bmp(32, 3, MASKS, rows=BGRA.tobytes()),
    "bmp_v5": bmp(32, 3, MASKS + b"\0\0\0\xff", 124, BGRA.tobytes()),
    "bmp_short_palette": bmp(8, 0, bytes(range(200)), 40, (SHADES // 8).tobytes(), colours=50),
    **{f"webp_{mode}_{lossless}": _save(TRANSPARENT.convert(mode), "WEBP", lossless=lossless)
       for mode in ("L", "RGB", "RGBA") for lossless in (False, True)},
    "webp_exif": encode(pixels(), "WEBP", exif=ROTATED),
}
CLOSE = {
    **{f"jpeg_{mode}_{progressive}": encode(pixels(), mode=mode, progressive=progressive)
       for mode in ("L", "RGB", "CMYK", "YCbCr") for progressive in (False, True)},
    **{f"jpeg_subsampling_{number}": encode(pixels(), subsampling=number) for number in (0, 1, 2)},
    "jpeg_rgb_adobe": encode(pixels(), keep_rgb=True),
    "jpeg_ycck": _ycck(encode(pixels(), mode="CMYK")),
    "jpeg_restarts": encode(pixels(), restart_marker_blocks=2),
    "jpeg_orientation_is_ignored": encode(pixels(), exif=ROTATED),
}
REFUSED = {
    "bmp_1": (encode(pixels(), "BMP", mode="1"), "24 or 32 bits"),
    "bmp_4": (bmp(4, 0, bytes(64), rows=bytes(WIDTH // 2 * HEIGHT)), "24 or 32 bits"),
    "bmp_16": (bmp(16, rows=bytes(2 * WIDTH * HEIGHT)), "24 or 32 bits"),
    "bmp_rle": (bmp(8, 1, bytes(1024), rows=bytes([WIDTH, 5, 0, 0]) * HEIGHT), "uncompressed"),
    "bmp_other_masks": (bmp(32, 3, MASKS[::-1], rows=BGRA.tobytes()), "24 or 32 bits"),
    "bmp_os2": (_os2(BGR.tobytes()), "24 or 32 bits"),
    "bmp_index_beyond_palette": (bmp(8, 0, bytes(200), 40, SHADES.tobytes(), colours=50),
                                 "damaged BMP"),
    "webp_animation": (encode(pixels(), "WEBP", save_all=True, append_images=[
        Image.fromarray(pixels(seed=1))]), "still WebP"),
    **{kind: (encode(pixels(), kind), f"{name}, which is not read")
       for kind, name in (("TIFF", "TIFF"), ("AVIF", "AVIF"), ("JPEG2000", "JPEG 2000"))},
    **{kind: (encode(pixels(), kind), "not a JPEG") for kind in ("ICO", "PPM", "TGA", "DDS")},
}


@tf.function(input_signature=[tf.TensorSpec([], tf.string)])
def _decoded(encoded):
    encoded, size = images.checked_size(encoded)
    return images.decode_window(encoded, size, tf.concat([[0, 0], size], axis=0))


def _levels_apart(encoded):
    with Image.open(io.BytesIO(encoded)) as image:
        expected = np.asarray(image.convert("RGB")).astype(int)
    return np.abs(_decoded(tf.constant(encoded)).numpy() - expected).max()


@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
@pytest.mark.parametrize("name", EQUAL)
def test_f65_pixels_are_those_of_pillow(name):
    assert _levels_apart(EQUAL[name]) == 0


@pytest.mark.parametrize("name", CLOSE)
def test_f65_pixels_of_a_jpeg_are_near_those_of_pillow(name):
    assert _levels_apart(CLOSE[name]) <= JPEG_LEVELS


def test_f65_grey_of_16_bits_keeps_its_high_byte():
    encoded = _save(Image.fromarray(SIXTEEN[..., 0].astype(np.uint16)), "PNG")
    np.testing.assert_array_equal(_decoded(tf.constant(encoded))[..., 1], SIXTEEN[..., 0] >> 8)


@pytest.mark.parametrize("name", REFUSED)
def test_f65_another_kind_is_refused_with_its_name(name):
    encoded, cause = REFUSED[name]
    with pytest.raises(tf.errors.OpError):
        _decoded(tf.constant(encoded))
    assert cause in images.cause_of_failure(encoded, images.MAX_PIXELS)
