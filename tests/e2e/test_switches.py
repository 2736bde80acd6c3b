"""The switches of speed and precision, each seen to change what it says, on whole runs."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework.config import disable_op_determinism, is_op_determinism_enabled

from inception_tf.config import preset
from inception_tf.errors import NonFiniteError, UsageError
from inception_tf.runs import checkpoint
from inception_tf.runs.folder import CHECKPOINTS
from inception_tf.runs.metrics import read_metrics
from inception_tf.runs.network import build_network
from inception_tf.runtime import memory
from inception_tf.runtime.devices import devices
from inception_tf.runtime.profile import StepProfile
from inception_tf.training.loop import train
from inception_tf.training.setup import set_up, training_stream
from inception_tf.training.step import Call, TrainStep
from tests.pictures import write_image_folder


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    images = tmp_path_factory.mktemp("images")
    write_image_folder(images, {"train": 40, "validation": 13})
    return preset("tiny").replace(
        dataset="folder", data_dir=str(images), max_steps=6, epochs=9.0, log_every_steps=5,
        eval_every_epochs=0, checkpoint_every_epochs=0)


def _arrays(config):
    return checkpoint.load_newest(Path(config.runtime.model_dir) / CHECKPOINTS, print)[0]


def assert_same_run(ours, theirs):
    """Equal bits of all variables, and equal lines of the metrics but for the clock's."""
    expected, found = _arrays(theirs), _arrays(ours)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    rows = [read_metrics(Path(c.runtime.model_dir) / "train/metrics.csv") for c in (ours, theirs)]
    for row in rows[0] + rows[1]:
        del row["images_per_second"]
    assert rows[0] == rows[1]


@pytest.fixture(scope="module")
def plain(config, tmp_path_factory):
    config = config.replace(model_dir=str(tmp_path_factory.mktemp("plain")))
    train(config)
    return config


@pytest.fixture
def calls(monkeypatch):
    """The updates of each call that a run makes, as lists of batches."""
    calls, original = [], TrainStep.dispatch
    monkeypatch.setattr(TrainStep, "dispatch", lambda self, steps, stop: (
        calls.append(steps), original(self, steps, stop))[1])
    return calls


def test_steps_per_call_calls_less_often_and_gives_the_same_run(config, plain, tmp_path, calls):
    config = config.replace(model_dir=str(tmp_path), steps_per_call=4, profile_steps="2-2")
    train(config)
    # Cut at the profile's edges (steps 1 and 2), at the log line of step 5, and at the end.
    assert [len(steps) for steps in calls] == [1, 1, 3, 1]
    assert_same_run(config, plain)
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))


@pytest.mark.parametrize("given, expected", [(0, [4, 4, 1, 1, 1, 1]), (4, [4, 4, 4])])
def test_calls_are_short_where_updates_are_slow_unless_their_length_was_given(
        config, tmp_path, monkeypatch, calls, given, expected):
    monkeypatch.setattr("inception_tf.training.setup.steps_per_call_of", lambda *_: 4)
    monkeypatch.setattr("inception_tf.training.loop.CALL_S", 1e-6)
    train(config.replace(model_dir=str(tmp_path), steps_per_call=given, max_steps=12,
                         log_every_steps=100))
    assert [len(steps) for steps in calls] == expected


def test_schedule_is_that_of_the_updates(config, tmp_path):
    train(config.replace(model_dir=str(tmp_path), schedule="cosine", epochs=0.4, max_steps=0,
                         log_every_steps=1))
    rates = [row["learning_rate"] for row in read_metrics(tmp_path / "train/metrics.csv")]
    assert rates == pytest.approx([0.045, 0.0225])


@pytest.mark.parametrize("where, kind", [("device", "uint8"), ("auto", "float32")])
def test_color_on_decides_whether_bytes_cross_to_the_device(config, tmp_path, calls, where, kind):
    """Here auto is the host; that both give the same images is in tests/unit."""
    train(config.replace(model_dir=str(tmp_path), color_on=where, max_steps=1))
    assert [steps[0][0]["image"].dtype.name for steps in calls] == [kind]


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_computes_in_16_bits_and_keeps_weights_in_32(config, precision):
    model = build_network(config.network, 5, precision=precision)
    half = precision.removeprefix("mixed_")
    assert {layer.compute_dtype for layer in model.layers if "1x1" in layer.name} == {half}
    assert {str(v.dtype) for v in model.weights} == {"float32"}
    assert {str(t.dtype) for t in model.outputs} == {"float32"}
    assert build_network(config.network, 5).layers[1].compute_dtype == "float32"


def test_switches_together_with_accumulation_on_two_replicas_train(config, plain, tmp_path,
                                                                   caplog):
    caplog.set_level("INFO")
    config = config.replace(model_dir=str(tmp_path), strategy="mirrored", replica_batch=2,
                            precision="mixed_bfloat16", xla="on", steps_per_call=3,
                            log_every_steps=3)  # calls of one length: XLA compiles one graph
    train(config)
    assert "waits for XLA to compile" in caplog.text
    loss, expected = (read_metrics(Path(c.runtime.model_dir) / "train/metrics.csv")[-1]["loss"]
                      for c in (config, plain))
    assert np.isfinite(loss) and abs(loss - expected) < 1.0
    assert any("_XlaMustCompile" in text for text in _graphs_of(config))


def _graphs_of(config):
    """Graphs a run of `config` traces."""
    config = config.replace(max_steps=7)
    with devices(config.runtime.strategy, 120.0, 0.0) as on:
        setup = set_up(config, on, StepProfile("", ""))
        stream = training_stream(setup)
        setup.update.dispatch(
            [[next(stream) for _ in range(setup.plan.batches.passes)]]).rows()
        stream.close()
    return [str(c.graph.as_graph_def())
            for c in setup.update._call._list_all_concrete_functions()]


def test_explosion_ends_with_the_step_the_examples_and_the_tensors(config, tmp_path):
    config = config.replace(model_dir=str(tmp_path), learning_rate=1e20)
    with pytest.raises(NonFiniteError, match=r"at step 1; .*train/class_\d/.*gradient of stem_1"):
        train(config)
    assert checkpoint.steps(tmp_path / CHECKPOINTS) == []


def test_skipping_ends_after_the_limit(config, tmp_path):
    config = config.replace(model_dir=str(tmp_path), learning_rate=1e20, on_non_finite="skip",
                            max_skipped_steps=2)
    with pytest.raises(NonFiniteError, match="3 updates were skipped, more than --max_skipped"):
        train(config)


@pytest.mark.parametrize("settings, message", [
    ({"xla": "on", "batch_norm": "synchronized"}, "--xla=on with --batch_norm=synchronized"),
    ({"xla": "on", "deterministic": True}, "--xla=on with --deterministic"),
    ({"compare": "paper"}, "curves of inception_v3, .* none of inception_resnet_v1 on folder"),
    ({"profile_steps": "15-10"}, "--profile_steps='15-10'"),
    ({"profile_steps": "ten"}, "--profile_steps='ten'"),
    ({"global_batch": 2**20, "replica_batch": 64}, "keeping the 1,048,576 images of a call needs"),
    ({"profile_steps": "5-7"}, "--profile_steps=5-7 goes beyond the run's end at step 6"),
])
def test_what_cannot_work_is_refused_before_the_start(config, tmp_path, monkeypatch, settings,
                                                      message):
    monkeypatch.setattr(memory, "available_memory", lambda: 2**35)
    with pytest.raises(UsageError, match=message):
        train(config.replace(model_dir=str(tmp_path), **settings))


def test_resume_in_another_precision_is_refused(plain):
    with pytest.raises(UsageError, match="--precision=float32, now mixed_bfloat16"):
        train(plain.replace(precision="mixed_bfloat16"))


def _ahead(monkeypatch):
    """Has the loop run ahead as on a GPU; the order of what it does."""
    order, dispatch, rows = [], TrainStep.dispatch, Call.rows
    monkeypatch.setattr("inception_tf.training.loop.has_accelerator", lambda: True)
    monkeypatch.setattr(TrainStep, "dispatch", lambda self, steps, stop: (
        order.append("dispatch"), dispatch(self, steps, stop))[1])
    monkeypatch.setattr(Call, "rows", lambda self: (order.append("rows"), rows(self))[1])
    return order


def test_call_is_in_flight_while_the_next_is_made_and_the_run_is_the_same(config, plain, tmp_path,
                                                                        monkeypatch):
    order = _ahead(monkeypatch)
    config = config.replace(model_dir=str(tmp_path))
    train(config)
    assert order == ["dispatch", "rows", "dispatch", *["dispatch", "rows"] * 4, "rows"]
    assert_same_run(config, plain)


@pytest.mark.parametrize("steps_per_call", [1, 2])
def test_skipped_update_with_a_call_in_flight_gives_the_run_without(config, tmp_path, monkeypatch,
                                                                    steps_per_call):
    """Bad numbers in one batch: what was in flight is trained on again."""
    original, found = training_stream, []

    def poisoned(setup):
        for number, batch in enumerate(original(setup)):
            image = batch["image"].numpy()
            image[0, 0, 0, 0] = np.nan if number == 3 else image[0, 0, 0, 0]
            yield {**batch, "image": tf.constant(image)}

    class Stream:
        bad_examples = {}

        def __init__(self, setup):
            self._batches = poisoned(setup)

        def __next__(self):
            return next(self._batches)

        def close(self):
            pass

    monkeypatch.setattr("inception_tf.training.loop.training_stream", Stream)
    for name in ("plain", "ahead"):
        own = config.replace(model_dir=str(tmp_path / name), on_non_finite="skip",
                             steps_per_call=1 if name == "plain" else steps_per_call)
        if name == "ahead":
            _ahead(monkeypatch)
        train(own)
        found.append(_arrays(own))
    assert found[0]["skipped"] == 1
    for name, value in found[0].items():
        np.testing.assert_array_equal(found[1][name], value, err_msg=name)


def test_device_out_of_memory_says_what_would_fit(config, tmp_path, monkeypatch):
    def dispatch(self, steps, stop):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM")

    monkeypatch.setattr(TrainStep, "dispatch", dispatch)
    config = config.replace(model_dir=str(tmp_path), global_batch=4, replica_batch=4)
    with pytest.raises(UsageError, match="4 images of 75x75 a replica: take --replica_batch=2, "
                                         "which accumulates the same updates or --remat$"):
        train(config)


def test_nothing_is_compiled_on_a_cpu_unless_asked_for(config, tmp_path):
    assert config.execution.xla == "auto"
    assert not any("_XlaMustCompile" in text for text in _graphs_of(config))


@pytest.mark.parametrize("tf32", [True, False])
def test_tf32_and_determinism_are_set_for_the_run(config, tmp_path, tf32):
    config = config.replace(model_dir=str(tmp_path), max_steps=1, tf32=tf32, deterministic=True)
    try:
        train(config)
        assert tf.config.experimental.tensor_float_32_execution_enabled() == tf32
        assert is_op_determinism_enabled()
    finally:
        disable_op_determinism()
        tf.config.experimental.enable_tensor_float_32_execution(False)
