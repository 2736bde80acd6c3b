"""Real pictures for the experiments: scikit-learn's handwritten digits as a folder of pictures.

    python -m experiments.digits --folder=runs/digits
    python -m experiments.residual_speedup --dataset=folder --data_dir=runs/digits --seeds=3

1,797 digits of 8x8 grey values that come with the package; nothing is downloaded.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from inception_tf import flags
from inception_tf.commands.shell import exit_code_of
from inception_tf.errors import UsageError
from inception_tf.flags import Flag
from inception_tf.runtime.files import new_folder

FLAGS = (Flag("folder", "runs/digits", "where to write the pictures", path=True),)
SIDE = 64  # pixels; smaller ones would be enlarged by the data pipeline, less smoothly
VALIDATION = 4  # every so many is for validation


def write(folder: Path) -> None:
    """Writes SPLIT/CLASS/NUMBER.png; UsageError without scikit-learn or where `folder` exists."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise UsageError("the digits come with scikit-learn, which is not installed: "
                         "pip install scikit-learn") from None
    digits = load_digits()
    with new_folder(folder) as unfinished:
        for number, (grey, label) in enumerate(zip(digits.images, digits.target, strict=True)):
            split = "train" if number % VALIDATION else "validation"
            path = unfinished / split / str(label) / f"{number:04}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            # Values are 0 to 16.
            pixels = Image.fromarray(np.minimum(grey * 16, 255).astype(np.uint8))
            pixels.resize((SIDE, SIDE), Image.Resampling.BICUBIC).convert("RGB").save(path)


def main(argv):
    """Writes the folder."""
    arguments = flags.parse("digits", __doc__.splitlines()[0], argv, FLAGS, fields=())
    write(Path(arguments.own["folder"]))
    print(f"written: {arguments.own['folder']}")


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
