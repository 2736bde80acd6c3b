"""How a command starts and ends: user errors print one line to stderr, never a traceback."""

import contextlib
import copy
import errno
import io
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Sequence

from inception_tf.errors import InceptionError, StorageError, UsageError
from inception_tf.runtime.keras_settings import import_keras, require_tensorflow_backend
from inception_tf.runtime.memory import keep_freed_memory
from inception_tf.runtime.signals import StopSignals, importing
from inception_tf.text import printable, printable_lines


def exit_code_of(main: Callable[[Sequence[str]], object], argv: Sequence[str]) -> int:
    """Runs `main(argv)`: 0, or the exit code of an InceptionError whose line it prints.

    A reader of standard output that leaves early ends the command silently with 0. A stop signal
    is an InceptionError too, raised at once unless `main` handles it.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for library in ("absl", "tensorflow", "tf2onnx"):
        logging.getLogger(library).setLevel(logging.WARNING)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # As standard error does: names of files and classes may not fit the terminal's encoding.
        sys.stdout.reconfigure(errors="backslashreplace")
    code = 0
    try:
        with StopSignals() as stop, stop.at_once():
            main(argv)
    except InceptionError as error:
        code = _say(error)
    except BrokenPipeError:
        pass
    except Exception as error:
        # A full disk is an error of storage wherever it is met.
        if _of_full_disk(error):
            code = _say(_unwritten(error))
        elif type(error).__name__ == "ResourceExhaustedError":  # TensorFlow may not be imported
            code = _say(UsageError("the device's memory does not hold so much at once: take a "
                                   "smaller --batch_size where the command has one, or compute on "
                                   "the processor with CUDA_VISIBLE_DEVICES=-1"))
        else:
            raise
    return _flush_standard_output() or code


def _of_full_disk(error):
    """Lines of `error` that tell of a full disk: libraries have their own errors for it."""
    words = [os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT)]
    # TensorFlow names an operation first, between braces.
    return [line.rpartition("}} ")[2] for line in str(error).splitlines()
            if any(word in line for word in words)]


def _unwritten(error):
    if isinstance(error, OSError) and error.strerror:
        path = error.filename or "an output"
        return StorageError(f"{path} could not be written: {error.strerror}")
    return StorageError(f"{_of_full_disk(error)[0].strip():.300}")


def _say(error):
    print(f"error: {printable(error)}", file=sys.stderr)
    return error.exit_code


def _flush_standard_output():
    """The exit code if standard output cannot take the rest; None if its reader left.

    Python's own flush at the end of the process would complain about both.
    """
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            return _say(_unwritten(error))
    return None


class _Formatter(logging.Formatter):
    """Log lines with names from files and folders escaped.

    Arguments of a message become one line; the message itself may have several.
    """

    def format(self, record):
        if isinstance(record.args, tuple):
            record = copy.copy(record)
            record.args = tuple(arg if isinstance(arg, (int, float)) else printable(arg)
                                for arg in record.args)
        return printable_lines(super().format(record))


def import_tensorflow() -> None:
    """Imports TensorFlow and Keras (with Keras' default settings), quietly.

    A GPU then computes float32 in float32: TF32 is for a training that asks for it.
    The first lines of TensorFlow's C++ code ignore TF_CPP_MIN_LOG_LEVEL, so standard error is
    held back while importing, and printed only if the import fails.

    Raises:
        UsageError: Keras was told to use another backend, or cannot start.
    """
    require_tensorflow_backend()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Else a process takes all memory of every GPU it sees, and a second one gets none.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    keep_freed_memory()
    sys.stderr.flush()
    with importing(), tempfile.TemporaryFile() as held:
        try:
            with _standard_error_into(held):
                import_keras()
                import tensorflow as tf

                tf.config.experimental.enable_tensor_float_32_execution(False)
        except InceptionError:
            raise
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
