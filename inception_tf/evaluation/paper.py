"""The error rates that the paper prints, to stand beside ours.

Source: arXiv 1602.07261, Tables 2 to 5; docs/errata.md says where they contradict
other prints of the paper.
"""

from typing import NamedTuple


class Figures(NamedTuple):
    """Error in percent, as printed."""

    top1: float
    top5: float
    source: str


# (network, crops). One crop is of the 48,238 images outside the blacklist, the others
# of all 50,000.
SINGLE = {
    ("inception_v3", 1): Figures(21.2, 5.6, "Table 2, 48238 images"),
    ("inception_resnet_v1", 1): Figures(21.3, 5.5, "Table 2, 48238 images"),
    ("inception_v4", 1): Figures(20.0, 5.0, "Table 2, 48238 images"),
    ("inception_resnet_v2", 1): Figures(19.9, 4.9, "Table 2, 48238 images"),
    ("inception_v3", 12): Figures(19.8, 4.6, "Table 3, 50000 images"),
    ("inception_resnet_v1", 12): Figures(19.8, 4.6, "Table 3, 50000 images"),
    ("inception_v4", 12): Figures(18.7, 4.2, "Table 3, 50000 images"),
    ("inception_resnet_v2", 12): Figures(18.7, 4.1, "Table 3, 50000 images"),
    ("inception_v3", 144): Figures(18.9, 4.3, "Table 4, 50000 images"),
    ("inception_resnet_v1", 144): Figures(18.8, 4.3, "Table 4, 50000 images"),
    ("inception_v4", 144): Figures(17.7, 3.8, "Table 4, 50000 images"),
    ("inception_resnet_v2", 144): Figures(17.8, 3.7, "Table 4, 50000 images"),
}
ENSEMBLES = {
    (("inception_v3",) * 4, 144): Figures(17.3, 3.6, "Table 5, 50000 images"),
    (("inception_resnet_v2",) * 3 + ("inception_v4",), 144):
        Figures(16.5, 3.1, "Table 5, 50000 images"),
}


def figures_of(networks, crops):
    """The paper's Figures for an ensemble of these networks, None where it has none."""
    if len(networks) == 1:
        return SINGLE.get((networks[0], crops))
    return ENSEMBLES.get((tuple(sorted(networks)), crops))


def is_papers_task(header):
    """Whether a predictions file is of ImageNet's validation split by a full network."""
    network = header["about"].get("config", {}).get("network", {})
    full = network.get("image_size") == 299 and network.get("width") == 1.0 and \
        not network.get("repeats")
    names = header["class_names"]
    return full and len(names) == 1000 and names[0] == "n01440764" and \
        header["split"] == "validation" and header["dataset"].partition(":")[0] in (
            "imagenet2012", "folder")
