"""`inception-tf features FOLDER|IMAGE...|LIST.txt`: pooled features of pictures, as one .npz."""

import dataclasses
import hashlib
import os
import stat
import sys
from collections.abc import Sequence

from inception_tf import flags
from inception_tf.commands.shell import import_tensorflow
from inception_tf.errors import DataError, UsageError
from inception_tf.flags import Flag
from inception_tf.runtime import outputs
from inception_tf.text import printable

OWN = (
    Flag("model", "", "a run's folder, an exported SavedModel or Keras model, or one of our .keras "
         "files", path=True),
    flags.CHECKPOINT,
    Flag("batch_size", 32, "pictures that go through the network together", low=1),
    Flag("output", "", "the .npz to write: features, files, and what could not be read; a run "
         "that was stopped resumes", path=True),
)


def main(argv: Sequence[str]) -> None:
    """Writes the features; unreadable pictures are named, and end the command with 6."""
    arguments = flags.parse(
        "features", "Pooled features of pictures: inception-tf features FOLDER|IMAGE...|LIST.txt "
        "--model=PATH --output=FILE.npz.", argv, OWN, fields=(), takes_words=True)
    own = arguments.own
    _check(arguments)
    import_tensorflow()
    from inception_tf.serving.feature_file import num_unreadable
    from inception_tf.serving.features import open_embedder
    from inception_tf.serving.predictor import image_paths, require_room

    paths = image_paths(arguments.words)
    embedder = open_embedder(own["model"], arguments.own_if_given("checkpoint"))
    require_room(embedder.predictor, own["batch_size"])
    about = _about(embedder, paths, own["batch_size"])
    bad = num_unreadable(own["output"], about)
    done = "has them already: nothing to do"
    if bad is None:
        bad, done = _write(embedder, paths, own, about), "written"
    print(printable(f"{own['output']}: {embedder.size} features of each of {len(paths) - bad:,} "
                    f"pictures; {done}"))
    if bad:
        raise DataError(f"{bad} of {len(paths)} pictures could not be read; {own['output']} has "
                        "the causes")


def _check(arguments):
    own = arguments.own
    if not arguments.words:
        raise UsageError("features needs pictures: inception-tf features FOLDER|IMAGE...|LIST.txt "
                         "--model=PATH --output=FILE.npz")
    arguments.require_model()
    output = own["output"]
    if not output.endswith(".npz"):
        raise UsageError(f"--output={output!r}: name a file that ends in .npz")
    if os.path.exists(output) and not stat.S_ISREG(os.stat(output).st_mode):
        raise UsageError(f"--output={output!r} is no file: choose another name")
    outputs.check_output("output", output)


def _about(embedder, paths, batch_size):
    """All that the features depend on."""
    predictor = embedder.predictor
    names = hashlib.sha256(b"\0".join(map(os.fsencode, paths)))
    return {
        "format": "inception_tf features 1",
        "model_sha256": embedder.sha256,
        "preprocessing": dataclasses.asdict(predictor.preprocessing),
        "max_image_pixels": predictor.max_pixels,
        "batch_size": batch_size,
        "pictures": len(paths),
        "names_sha256": names.hexdigest(),
    }


def _write(embedder, paths, own, about):
    """How many of the pictures could not be read."""
    from inception_tf.runtime.progress import bar
    from inception_tf.serving.feature_file import open_feature_file
    from inception_tf.serving.features import features_of

    size = own["batch_size"]
    with open_feature_file(own["output"], about, embedder.size) as file:
        stream = bar(features_of(embedder, paths[file.count:], size),
                     -(-(len(paths) - file.count) // size), "batch", "features")
        for pictures, features in stream:
            for one in pictures:
                if one.error:
                    stream.write(printable(f"{one.path}: {one.error}"), file=sys.stderr)
            file.add(pictures, features)
        return file.complete(paths)
