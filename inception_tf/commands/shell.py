"""How a command ends: one line and an exit code, never a traceback for a user's mistake."""

import contextlib
import logging
import os
import sys
import tempfile

from inception_tf.errors import InceptionError
from inception_tf.runtime.memory import keep_freed_memory


def exit_code_of(main, argv):
    """Runs `main(argv)`: 0, or the exit code of an InceptionError whose line it prints."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for library in ("absl", "tensorflow", "tf2onnx"):
        logging.getLogger(library).setLevel(logging.WARNING)
    try:
        main(argv)
    except InceptionError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        return 0
    return 0


def import_tensorflow():
    """Imports TensorFlow without the lines its C++ code prints before logging is set up.

    They ignore TF_CPP_MIN_LOG_LEVEL, so standard error is held back while importing
    and given out only when the import fails.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    keep_freed_memory()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        try:
            with _standard_error_into(held):
                import tensorflow  # noqa: F401
        except BaseException:
            held.seek(0)
            sys.stderr.write(held.read().decode(errors="replace"))
            raise


@contextlib.contextmanager
def _standard_error_into(file):
    saved = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
