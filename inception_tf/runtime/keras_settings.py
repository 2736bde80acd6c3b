"""Keras as every command needs it: on TensorFlow, with none of the defaults of keras.json."""

import json
import os

from inception_tf.errors import UsageError
from inception_tf.text import first_line


def require_tensorflow_backend() -> None:
    """Raises UsageError when the environment or keras.json chose another backend of Keras.

    Read before Keras is: that imports the backend at once, and a missing one is a traceback.
    """
    name, place = os.environ.get("KERAS_BACKEND"), "KERAS_BACKEND"
    if not name:
        name, place = _settings().get("backend", "tensorflow"), f"backend in {_path()}"
    if name != "tensorflow":
        raise UsageError(f"{place} is {name!r:.40}, and this command computes with TensorFlow: "
                         "start it with KERAS_BACKEND=tensorflow")


def import_keras() -> None:
    """Imports Keras and sets its defaults back: a network means the same everywhere.

    Before TensorFlow, which imports Keras itself.

    Raises:
        UsageError: Keras refuses what it finds in keras.json or in its own variables.
    """
    try:
        import keras
    # For a value that it does not know, or of the wrong type.
    except (ValueError, AssertionError, AttributeError, TypeError) as error:
        raise UsageError(f"Keras cannot start with the settings in {_path()} and in the variables "
                         f"KERAS_...: {first_line(error)}") from None
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")


def _path():
    """Where Keras has its settings."""
    home = os.path.expanduser("~")
    base = home if os.access(home, os.W_OK) else "/tmp"
    folder = os.environ.get("KERAS_HOME", os.path.join(base, ".keras"))
    return os.path.expanduser(os.path.join(folder, "keras.json"))


def _settings():
    """What Keras will read there; as for Keras, a file that is no JSON says nothing."""
    try:
        with open(_path()) as file:
            settings = json.load(file)
    except (OSError, ValueError):
        return {}
    return settings if isinstance(settings, dict) else {}
