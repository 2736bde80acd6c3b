"""Names of classes for people: as commands print them, and as pictures show them.

They are untrusted text: matplotlib gets to see only what `plain` or `short` made of them.
"""

import collections
from collections.abc import Iterable

from inception_tf.nets.imagenet import imagenet_classes


def readable_names(class_names: Iterable[str]) -> list[str]:
    """Class names; ImageNet's ids with the words they stand for."""
    words = dict(imagenet_classes())
    return [f"{name} {words[name]}" if name in words else name for name in class_names]


def caption_names(class_names: Iterable[str]) -> list[str]:
    """What pictures call the classes: ImageNet's by word, with the id where two share a word."""
    words = dict(imagenet_classes())
    shared = collections.Counter(words.values())
    return [name if name not in words else words[name].replace("_", " ") + (
        f" ({name})" if shared[words[name]] > 1 else "") for name in class_names]


def plain(name: str) -> str:
    """`name` for matplotlib to draw as it stands: printable, and no formula between `$`."""
    name = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)
    return name.replace("$", r"\$")


def short(name: str, length: int = 24) -> str:
    """At most `length` characters of `name`, `plain`."""
    return plain(name if len(name) <= length else f"{name[:length - 1]}\N{HORIZONTAL ELLIPSIS}")
