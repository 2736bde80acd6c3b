"""How a command ends: one line and an exit code, never a traceback for a user's mistake."""

import logging
import os
import sys

from inception_tf.errors import InceptionError


def exit_code_of(main, argv):
    """Runs `main(argv)`: 0, or the exit code of an InceptionError whose line it prints."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        main(argv)
    except InceptionError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        return 0
    return 0
