"""How a command ends: one line and an exit code, never a traceback for a user's mistake."""

import contextlib
import io
import logging
import os
import sys
import tempfile

from inception_tf.errors import InceptionError
from inception_tf.runtime.memory import keep_freed_memory


def exit_code_of(main, argv):
    """Runs `main(argv)`: 0, or the exit code of an InceptionError whose line it prints.

    A reader of standard output that leaves early ends the command with 0, without a word.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for library in ("absl", "tensorflow", "tf2onnx"):
        logging.getLogger(library).setLevel(logging.WARNING)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # As standard error: names of files and classes need not be text of the terminal's.
        sys.stdout.reconfigure(errors="backslashreplace")
    code = 0
    try:
        main(argv)
    except InceptionError as error:
        print(f"error: {error}", file=sys.stderr)
        code = error.exit_code
    except BrokenPipeError:
        pass
    _flush_standard_output()
    return code


def _flush_standard_output():
    """Python's own flush at the end of the process would complain of a reader that left."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


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
