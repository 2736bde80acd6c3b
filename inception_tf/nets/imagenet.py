"""Class names for the answers of a network trained on ImageNet, without a download."""

import functools
import importlib.resources
import json
from typing import Any

import keras


def decode_predictions(preds: Any, top: int = 5) -> list[list[tuple[str, str, float]]]:
    """The `top` likeliest ImageNet classes per image, as in keras.applications.

    Args:
        preds: scores of a batch, higher is likelier: an array or a tensor.
        top: classes per image, 1 to 1000.

    Returns: per image a list of (WordNet id, name, score), best first. Equal scores
        come in class order. Of 1001 columns the first is background (TF-slim): it is
        left out, and the other scores stay as they are.

    Shape: [N, 1000] or [N, 1001].

    Raises: ValueError for another shape, or `top` out of range.
    """
    scores = keras.ops.convert_to_numpy(preds)
    if scores.ndim != 2 or scores.shape[1] not in (1000, 1001):
        raise ValueError(
            "decode_predictions takes scores of shape [N, 1000], or [N, 1001] with background "
            f"first, got {list(scores.shape)}"
        )
    classes = imagenet_classes()
    if not 1 <= top <= len(classes):
        raise ValueError(f"top is 1 to {len(classes)}, got {top!r}")
    scores = scores[:, -len(classes):]
    best = (-scores).argsort(axis=1, kind="stable")[:, :top]
    return [
        [(*classes[i], float(row[i])) for i in indices]
        for indices, row in zip(best, scores, strict=True)
    ]


@functools.cache
def imagenet_classes() -> tuple[tuple[str, str], ...]:
    """The 1000 (WordNet id, name) in the order of ILSVRC-2012's labels.

    Ids and order: TFDS' `imagenet2012`. A name is the first lemma of the id's synset
    in WordNet 3.0 (Princeton University, see NOTICE), underscores for spaces.
    """
    text = importlib.resources.files(__package__).joinpath("imagenet_classes.json").read_text()
    return tuple((wordnet_id, name) for wordnet_id, name in json.loads(text))
