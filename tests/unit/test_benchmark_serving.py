"""The benchmark of serving runs; no time is asserted."""

import numpy as np
import pytest

from benchmarks import harness, predict, serving


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serving")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serving, "CASES", {serving.OURS: ("exported", "savedmodel", {})})
        serving.prepare(folder, "tiny")
    return folder


def test_forms_of_one_network_answer_alike(folder):
    images = np.random.default_rng(0).uniform(-1, 1, (2, 75, 75, 3)).astype(np.float32)
    answers = []
    for load, where in ((serving.keras_function, folder), (serving.keras_saved_model, folder),
                        (serving.exported, folder / "savedmodel")):
        call, shape = load(where)
        assert tuple(shape) == (75, 75, 3)
        assert serving.seconds_per_pass(call, images, 0.0) > 0
        answers.append(call(images))
    np.testing.assert_allclose(answers[1], answers[0], atol=1e-6)
    np.testing.assert_allclose(answers[2], answers[0], atol=1e-5)


def test_a_case_in_a_process_of_its_own_answers_or_says_why_not(folder):
    place = str(folder / "savedmodel")
    with (serving.child("exported", place, serving.EIGEN) as ours,
          serving.child("exported", str(folder / "nothing")) as missing):
        assert ours.error == "" and "No such file" in missing.error
        names = (serving.BASE, serving.BASE_EIGEN, serving.OURS_EIGEN)
        assert set(names) <= set(serving.CASES)
        rows = serving.measure(dict.fromkeys(names, ours), {}, 1, quick=True)
        assert rows[serving.BASE]["ratio"] == 1.0 and ours.ask("peak") > 100
        assert [name for name in names if "ratio_alike" in rows[name]] == [names[2]]


class Answering:
    """A case that answers, but ends as one killed for memory does at a batch size."""

    def __init__(self, ends_at=None):
        self.ends_at = ends_at

    def ask(self, kind, batch_size=0, turn=0.0):
        return "its process ended with code -9" if batch_size == self.ends_at else 2.0


@pytest.mark.parametrize("ended, ratios", [("x", {serving.BASE: 1.0}), (serving.BASE, {})])
def test_a_case_that_ends_between_two_sizes_is_not_measured_and_the_others_go_on(ended, ratios):
    cases, missing = {name: Answering() for name in (serving.BASE, "x")}, {}
    cases[ended].ends_at = 32
    assert serving.measure(cases, missing, 8, quick=False).keys() == {serving.BASE, "x"}
    rows = serving.measure(cases, missing, 32, quick=False)
    assert missing == {ended: "its process ended with code -9"}
    assert {name: row["ratio"] for name, row in rows.items() if "ratio" in row} == ratios
    assert rows.keys() == dict(harness.answers_of(cases, missing, "peak")).keys() == {
        serving.BASE, "x"} - {ended}


def test_a_case_whose_process_has_ended_says_so_each_time():
    with serving.child("nothing", "") as child:
        assert child.error == child.ask("time", 1, 0.0) == "its process ended with code 1"


def test_files_and_network_are_timed_in_turn():
    row = predict.measure(*predict.QUICK["tiny network at 75"])
    assert row["files"] == 40 and row["ratio"] > 0
