"""`python -m tests.figures`: draws the paper's figures into docs/figures/ from the networks."""

from pathlib import Path

from inception_tf import nets
from inception_tf.figures.paper import FIGURES
from inception_tf.figures.picture import draw, rendered

FOLDER = Path(__file__).parents[1] / "docs" / "figures"
# Drawn already: Figure 3 is the stem of two networks.
SAME = {("inception_resnet_v2", "stem")}


def main():
    FOLDER.mkdir(exist_ok=True)
    for name, svg in drawings():
        (FOLDER / name).write_bytes(svg)


def drawings():
    """(file name, SVG) of each figure; Figures 7 and 15 once for each of their networks."""
    for network, blocks in FIGURES.items():
        model = nets.build(network)
        endpoints = {"", "stem", *nets.endpoints(model)}
        for base, number in blocks.items():
            if (network, base) not in SAME:
                block = base if base in endpoints else f"{base}_1"
                of = f"_{network}" if number in (7, 15) else ""
                yield f"figure_{number:02}{of}.svg", rendered(draw(model, block), "svg")


if __name__ == "__main__":
    main()
