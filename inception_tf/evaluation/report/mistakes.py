"""The images of the most confident mistakes, as the network saw them."""

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from inception_tf.config import Config
from inception_tf.data import images
from inception_tf.data.open import open_source
from inception_tf.data.views import preprocessing_of, scoring_crop
from inception_tf.errors import UsageError

# Longer side of an image that was scored in many views, pixels.
THUMBNAIL = 200


def read_pixels(rows: Iterable[int], header: dict[str, Any],
                given: dict[str, Any]) -> list[np.ndarray]:
    """The pictures of the images `rows` of a split: uint8 [h, w, 3] each.

    The crop that was scored; of an image scored in many views, the whole of it, small.

    Args:
        rows: their places in the split.
        header: of the predictions file of the split.
        given: config fields that say where the data is now.

    Raises:
        UsageError, DataError: the images are not there, or are others than those scored.
    """
    config, source = _open_images(header, given)
    preprocessing = preprocessing_of(config.network, config.data)
    limit = config.data.max_image_pixels
    found = []
    for row in rows:
        encoded = tf.constant(source.read(row).encoded)
        if header["protocol"]["crops"] == 1:
            pixels = (scoring_crop(encoded, preprocessing, limit) + 1.0) * 127.5
        else:
            pixels = _thumbnail(encoded, limit)
        found.append(np.clip(np.rint(pixels.numpy()), 0, 255).astype(np.uint8))
    return found


def _open_images(header, given):
    """(Config of the scoring, Source of its images)."""
    stored = Config.from_json(json.dumps(header["about"].get("config", {})), "predictions file")
    config = stored.replace(**{"dataset": header["dataset"], "eval_split": header["split"],
                               "manual_dir": "", **given})
    source = open_source(config.data, config.data.eval_split)
    if source.fingerprint != header["data_fingerprint"]:
        raise UsageError(f"--dataset={source.name}: the images there now are not those that were "
                         "scored; name their folder with --data_dir")
    return config, source


def _thumbnail(encoded, max_pixels):
    encoded, size = images.checked_size(encoded, max_pixels)
    pixels = images.decode_window(encoded, size, tf.concat([[0, 0], size], axis=0))
    scale = min(1.0, THUMBNAIL / int(tf.reduce_max(size)))
    sides = [max(1, round(int(side) * scale)) for side in size]
    return images.resize(pixels, sides, antialias=True)
