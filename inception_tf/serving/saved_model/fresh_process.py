"""A program that asks a SavedModel where neither this package nor Keras can be imported.

    python -P fresh_process.py SAVED_MODEL INPUTS.npz OUTPUTS.npz

INPUTS has `lengths` and concatenated `content` of encoded images. OUTPUTS gets every output of
the signatures that take bytes, as NUMBER/SIGNATURE/NAME: of all images in one batch, and of the
first alone, for which a CPU runs another form of the network.
"""

import os
import sys


def main(folder: str, inputs: str, outputs: str) -> None:
    """Asks both signatures about all images, and about the first."""
    # A name bound to None cannot be imported.
    sys.modules["inception_tf"] = sys.modules["keras"] = None  # type: ignore[assignment]
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import numpy as np
    import tensorflow as tf

    with np.load(inputs) as file:
        ends = np.cumsum(file["lengths"])
        content = file["content"].tobytes()
    images = [content[end - length:end]
              for end, length in zip(ends, np.diff(ends, prepend=0), strict=True)]
    model = tf.saved_model.load(folder)
    answers = {f"{number}/{signature}/{name}": value.numpy()
               for number in (len(images), 1)
               for signature in ("serving_default", "features")
               for name, value in model.signatures[signature](
                   image_bytes=tf.constant(images[:number])).items()
               if value.dtype != tf.string}
    np.savez(outputs, **answers)


if __name__ == "__main__":
    main(*sys.argv[1:])
