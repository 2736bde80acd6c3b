"""Trains a network of the paper: `python train.py --preset=demo` (all flags: --help)."""

import sys

from inception_tf.__main__ import run

if __name__ == "__main__":
    run("train", sys.argv[1:])
