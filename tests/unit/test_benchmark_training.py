"""The benchmark of training runs; no time is asserted."""

import io
import json
import sys

import pytest

from benchmarks import harness, training, training_cases
from tests.hooked import small_network


@pytest.fixture(scope="module")
def answers():
    """What a process with the tiny preset's step answers, its network smaller still."""
    questions, output = ("start", "step", "peak", "shares"), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("inception_tf.runs.network.build_network", small_network)
        patch.setattr(sys, "stdin", io.StringIO("\n".join(json.dumps([q]) for q in questions)))
        patch.setattr(sys, "stdout", output)
        patch.setenv(training_cases.STARTED, "0")
        training_cases.serve("tiny", 8)
    lines = [line for line in output.getvalue().splitlines() if line.startswith("answer ")]
    return dict(zip(questions, (json.loads(x.removeprefix("answer ")) for x in lines), strict=True))


def test_process_of_a_case_answers_with_its_step(answers):
    start, batch = answers["start"]
    assert batch == 8 and start["cpu"] > 0
    assert answers["step"]["wall"] > 0 and answers["peak"] > 100
    assert sum(answers["shares"].values()) == pytest.approx(1.0)
    assert {"convolution", "optimizer", "averages"} <= answers["shares"].keys()


def test_quick_form_has_a_start_and_a_case_and_is_not_kept(answers, monkeypatch, tmp_path):
    class Answering(training.Child):
        def __init__(self, case, batch):
            self.error, self.start, self.batch = "", answers["start"][0], batch

        def ask(self, question):
            return answers[question]

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(training, "Child", Answering)
    monkeypatch.setattr(harness, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(sys, "argv", ["training", "--quick"])
    found = training.main()
    assert found["batches"]["8"]["ours"]["images_per_second"]["median"] > 0
    assert found["floor_images_per_second"] > 0 and not (tmp_path / "results").exists()
    monkeypatch.setattr(training, "QUICK", training.GROUPS)
    batches = training.run(quick=True)["batches"]
    assert batches["8"]["ours"]["ratio"]["cpu"] == 1.0
    assert {training.BFLOAT16, training.BASE} <= batches["16"].keys()


def test_process_that_ends_is_a_row_that_says_so():
    with training.Child("nothing", 8) as child:
        assert child.error == "its process ended with code 1"
    missing = {}
    assert training.steps({"x": "nothing"}, 8, 1, missing) == {}
    assert missing == {"x, batch 8": "its process ended with code 1"}


@pytest.mark.parametrize("operation, part", [
    ("stem_1_1/convolution:Conv2D", "convolution"),
    ("gradient_tape/stem_1_1/convolution/Conv2DBackpropFilter:Conv2DBackpropFilter", "convolution"),
    ("stem_1_bn_1/moments/SquaredDifference:SquaredDifference", "batch norm"),
    ("gradient_tape/stem_1_bn_1/batchnorm/mul/Mul:Mul", "batch norm"),
    ("cond/ResourceApplyRMSProp_3:ResourceApplyRMSProp", "optimizer"),
    ("cond/sub_1:Sub", "averages"),
    ("cond/ResourceApplyGradientDescent:ResourceApplyGradientDescent", "averages"),
    ("global_norm/L2Loss_7:L2Loss", "clip, decay, finite"),
    ("mul_12:Mul", "clip, decay, finite"),
    ("pre_logits_1/Mean:Mean", "rest"),
])
def test_operation_belongs_to_a_part_of_the_step(operation, part):
    assert training_cases.part_of(operation) == part
