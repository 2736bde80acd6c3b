"""What every test shares: a quiet TensorFlow on two logical devices, and a folder for runs."""

import logging
import os
import sys

import pytest

from tests.fault.table import NAME, add_results

# Before anything imports TensorFlow; tests that start processes hand it on.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Keras reads ~/.keras/keras.json: a developer's settings must not decide what is tested.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("MPLBACKEND", "Agg")


def pytest_collection_finish(session):
    """Two logical devices for the tests of replicas; possible only before the first operation.

    On a GPU, float32 that can be compared with another order of sums.

    A run that collected no test of TensorFlow does not pay for its import.
    """
    if "tensorflow" in sys.modules:
        import tensorflow as tf

        for kind, limit_mib in (("CPU", None), ("GPU", 8192)):
            half = tf.config.LogicalDeviceConfiguration(memory_limit=limit_mib)
            for device in tf.config.list_physical_devices(kind)[:1]:
                tf.config.set_logical_device_configuration(device, [half] * 2)
        tf.config.experimental.enable_tensor_float_32_execution(False)


def pytest_addoption(parser):
    parser.addoption("--fault-results", metavar="PATH",
                     help="JSON file to which results of the tests of faults are added")


_fault_results = {}


def pytest_runtest_logreport(report):
    """Outcome and seconds of each test that is named by a fault; an error around it counts."""
    if "::test_f" in report.nodeid and NAME.search(report.nodeid):
        outcome, seconds = _fault_results.get(report.nodeid, ("passed", 0.0))
        if report.outcome != "passed":
            outcome = report.outcome
        _fault_results[report.nodeid] = outcome, round(seconds + report.duration, 1)


def pytest_sessionfinish(session):
    path = session.config.getoption("--fault-results")
    if path and not hasattr(session.config, "workerinput"):
        add_results(path, _fault_results)


@pytest.fixture(autouse=True)
def signals_given_back():
    """A command that kept the stop signals would end the process of the tests at the next one."""
    yield
    signals = sys.modules.get("inception_tf.runtime.signals")
    assert signals is None or signals.StopSignals.innermost is None


@pytest.fixture(autouse=True)
def log_still_heard():
    """A test, or a library it loads, that silences our log would hide warnings of later tests."""
    logger = logging.getLogger("inception_tf")
    before = logger.disabled, logger.propagate, logging.root.manager.disable
    yield
    after = logger.disabled, logger.propagate, logging.root.manager.disable
    logger.disabled, logger.propagate, logging.root.manager.disable = before
    assert after == before


@pytest.fixture
def model_dir(tmp_path):
    """An empty place for one run, as the flag takes it."""
    return str(tmp_path / "run")
