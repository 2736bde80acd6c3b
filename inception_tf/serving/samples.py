"""Pictures to compare an exported network with the original on."""

import io
from pathlib import Path

import numpy as np
from matplotlib import cbook
from PIL import Image

from inception_tf.data.sources import open_source
from inception_tf.errors import DataError, UsageError

# Two photographs that come with matplotlib: 600x512 and 721x720 pixels.
PHOTOGRAPHS = ("grace_hopper.jpg", "Minduka_Present_Blue_Pack.png")
NOISE_SIZES = ((75, 75), (300, 200), (181, 402))


def encoded_images():
    """Encoded noise and photographs of mixed sizes, as PNG and JPEG: a list of bytes."""
    generator = np.random.default_rng(0)
    noise = [_png(generator.integers(0, 256, (*size, 3), np.uint8)) for size in NOISE_SIZES]
    return noise + [Path(cbook.get_sample_data(name, asfileobj=False)).read_bytes()
                    for name in PHOTOGRAPHS]


def examples(data, split, class_names, count):
    """(records, why there are none) of up to `count` examples spread over a split.

    The data set may not be on the machine that exports; one of other classes is not used.
    """
    try:
        source = open_source(data, split)
    except (UsageError, DataError) as error:
        return [], str(error)
    if source.class_names != tuple(class_names):
        return [], f"{source.name}/{split} has other classes than the network"
    count = min(count, source.num_examples)
    return [source.read(i * source.num_examples // count) for i in range(count)], ""


def _png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()
