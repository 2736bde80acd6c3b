"""Calls in flight: after an update that is not finite nothing is applied until Python looked."""

import numpy as np
import pytest

from inception_tf.config import Execution
from tests.updates import batches_of, step_and_state

MODES = [
    {}, {"replicas": 2}, {"passes": 2}, {"replicas": 2, "passes": 2},
    {"steps_per_call": 2},
    {"execution": Execution(on_non_finite="skip")},
    {"execution": Execution(on_non_finite="skip"), "steps_per_call": 2, "passes": 2},
    {"execution": Execution(xla="on")},
    {"execution": Execution(xla="on"), "replicas": 2},
    {"execution": Execution(xla="on"), "steps_per_call": 2},
    {"execution": Execution(xla="on"), "steps_per_call": 2, "passes": 2},
]


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_nan_with_a_call_in_flight_ends_with_the_bits_before_it(mode):
    passes, execution = mode.get("passes", 1), mode.get("execution", Execution())
    number = mode.get("steps_per_call", 1)
    step, state = step_and_state(mode.get("replicas", 1), "own", 0.2, execution,
                                 steps_per_call=number)
    good = list(batches_of(passes, 5))
    bad = next(batches_of(passes, 1, bad=np.nan))
    for batches in good[:2]:
        step(batches)
    before = state.arrays()
    calls = [step.dispatch([bad, good[2]][:number]), step.dispatch(good[3:3 + number])]
    first, second = (call.rows() for call in calls)
    assert [(m["is_finite"], m["held"]) for m in first] == [(False, True)] and second == []
    after = state.arrays()
    counted = {"step", "skipped"} if execution.on_non_finite == "skip" else set()
    for name in before.keys() - counted:
        np.testing.assert_array_equal(after[name], before[name], err_msg=name)
    assert all(after[name] == before[name] + 1 for name in counted)
    assert step(good[2])["is_finite"]  # Python has looked


def test_calls_in_flight_have_the_bits_of_calls_one_by_one():
    step, state = step_and_state(dropout=0.5)
    for call in [step.dispatch([batches]) for batches in batches_of(1, 4)]:
        assert call.rows()[0]["is_finite"]
    alone, expected = step_and_state(dropout=0.5)
    for batches in batches_of(1, 4):
        alone(batches)
    for name, value in expected.arrays().items():
        np.testing.assert_array_equal(state.arrays()[name], value, err_msg=name)
