"""The error rates that the paper prints, to show next to ours, and what it leaves open.

Source: arXiv 1602.07261, Tables 2 to 5; docs/errata.md says where they contradict
other prints of the paper.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple


class PrintedError(NamedTuple):
    """Error in percent, as printed."""

    top1: float
    top5: float
    source: str


# What the paper leaves open and how it is read here, by number of crops.
ASSUMPTIONS = {
    1: "the central crop of the released code; the paper names no geometry",
    10: "corners and middle of the central square and their mirror images, at one scale",
    12: "the ten crops and the whole central square, mirrored; the paper cites GoogLeNet, "
        "which has no 12 crops",
    144: "GoogLeNet's 4 scales x 3 squares x 6 views x 2; how it was carried over to 299 pixels "
         "is not stated",
}
# Top-1 and top-5 by network and number of crops.
_SINGLE = {
    "inception_v3": {1: (21.2, 5.6), 12: (19.8, 4.6), 144: (18.9, 4.3)},
    "inception_resnet_v1": {1: (21.3, 5.5), 12: (19.8, 4.6), 144: (18.8, 4.3)},
    "inception_v4": {1: (20.0, 5.0), 12: (18.7, 4.2), 144: (17.7, 3.8)},
    "inception_resnet_v2": {1: (19.9, 4.9), 12: (18.7, 4.1), 144: (17.8, 3.7)},
}
_SOURCES = {1: "Table 2, 48238 images", 12: "Table 3, 50000 images", 144: "Table 4, 50000 images"}
# Of 144 crops.
_ENSEMBLES: dict[tuple[str, ...], tuple[float, float]] = {
    ("inception_v3",) * 4: (17.3, 3.6),
    ("inception_resnet_v2",) * 3 + ("inception_v4",): (16.5, 3.1),
}


def printed_error(networks: Sequence[str], crops: int) -> PrintedError | None:
    """The paper's own for an ensemble of these networks, None where it has none.

    One crop is of the images outside its blacklist, the others are of all.
    """
    if len(networks) == 1:
        found, source = _SINGLE.get(networks[0], {}).get(crops), _SOURCES.get(crops, "")
    else:
        found = _ENSEMBLES.get(tuple(sorted(networks))) if crops == 144 else None
        source = "Table 5, 50000 images"
    return PrintedError(*found, source) if found else None


def is_papers_task(header: dict[str, Any]) -> bool:
    """Whether a predictions file is of ImageNet's validation split by a full network."""
    network = header["about"].get("config", {}).get("network", {})
    full = network.get("image_size") == 299 and network.get("width") == 1.0 and \
        not network.get("repeats")
    names = header["class_names"]
    return full and len(names) == 1000 and names[0] == "n01440764" and \
        header["split"] == "validation" and header["dataset"].partition(":")[0] in (
            "imagenet2012", "folder")
