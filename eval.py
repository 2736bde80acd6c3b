"""Scores a trained network: `python eval.py --model_dir=DIR` (all flags: --help)."""

import sys

from inception_tf.__main__ import run

if __name__ == "__main__":
    run("eval", sys.argv[1:])
