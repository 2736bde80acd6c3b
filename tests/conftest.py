"""What every test shares: a quiet TensorFlow on two logical CPUs, and a folder for runs."""

import os
import sys

import pytest

# Before anything imports TensorFlow; tests that start processes hand it on.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Keras reads ~/.keras/keras.json: a developer's settings must not decide what is tested.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("MPLBACKEND", "Agg")


def pytest_collection_finish(session):
    """Two logical CPUs for the tests of replicas; possible only before the first operation.

    A run that collected no test of TensorFlow does not pay for its import.
    """
    if "tensorflow" in sys.modules:
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, two)


@pytest.fixture
def model_dir(tmp_path):
    """An empty place for one run, as the flag takes it."""
    return str(tmp_path / "run")
