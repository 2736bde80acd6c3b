"""Full-size files of the peers themselves, converted: same images, same answers."""

import keras
import numpy as np
import pytest

from inception_tf.commands.convert import main
from inception_tf.runs import checkpoint
from inception_tf.runs.folder import CHECKPOINTS
from inception_tf.runs.network import load_model
from tests.golden import recipe
from tests.golden.test_nets_slim import GOLDEN, HERE, inventory
from tests.parity.arrays import images, random_like
from tests.weight_files import matched, write_checkpoint


def logits_of(conversion, pictures):
    """Answers without the softmax."""
    model = conversion.model()
    probe = keras.Model(model.input, model.get_layer("logits").output)
    return keras.ops.convert_to_numpy(probe(pictures, training=False))


def converted_run(tmp_path, net, *more, averages=False):
    """A run's folder made by the command from slim's whole list of variables."""
    named = {n: recipe.weight(n, shape) for n, shape in inventory(net).items()}
    if averages:
        # The weights themselves are zero: an answer shows which were taken.
        named = {f"{n}/ExponentialMovingAverage": a for n, a in named.items()} | {
            n: np.zeros_like(a) for n, a in named.items()}
    path = write_checkpoint(tmp_path / "model.ckpt", named | {"global_step": np.int64(9)})
    main([f"--net={net}", "--from=slim", f"--input={path}", f"--output={tmp_path / 'run'}", *more])
    return tmp_path / "run"


def assert_answers_as_slim_did(run, net, first_class):
    model, _, _ = load_model(run)
    answer = keras.ops.convert_to_numpy(model(recipe.images(), training=False))
    expected = np.load(HERE / f"{GOLDEN[net][0]}.npz")["Logits"][:, first_class:]
    assert answer.shape == expected.shape
    assert np.abs(answer - expected).max() < 1e-4 * expected.std()


def test_converted_slim_checkpoint_answers_as_slim_did(tmp_path):
    run = converted_run(tmp_path, "inception_v3", "--classes=1000")
    # Slim's first class is background, which was left out.
    assert_answers_as_slim_did(run, "inception_v3", 1)


# Networks of 46 and 59 million numbers: minutes and gigabytes, and the tables themselves are
# held against all of slim's names and answers by tests/golden.
@pytest.mark.faults
def test_converted_slim_v4_with_auxiliary_head_answers_as_slim_did(tmp_path):
    run = converted_run(tmp_path, "inception_v4", "--aux_head", "--classes=1001")
    assert_answers_as_slim_did(run, "inception_v4", 0)
    arrays, _ = checkpoint.load(run / CHECKPOINTS, 0)
    np.testing.assert_array_equal(
        arrays["ema/aux_logits/bias"],
        recipe.weight("InceptionV4/AuxLogits/Aux_logits/biases", (1001,)))


@pytest.mark.faults
def test_converted_averages_of_slim_resnet_v2_answer_as_slim_did(tmp_path):
    run = converted_run(tmp_path, "inception_resnet_v2_released", "--classes=1000", averages=True)
    assert_answers_as_slim_did(run, "inception_resnet_v2_released", 1)


def test_converted_file_of_keras_applications_answers_as_it_did(tmp_path):
    theirs = keras.applications.InceptionV3(weights=None, classifier_activation=None)
    for weight in theirs.weights:
        weight.assign(random_like(weight.path, weight.name, weight.shape))
    theirs.save(tmp_path / "x.keras")
    conversion = matched("inception_v3", "keras", str(tmp_path / "x.keras"))

    answer = logits_of(conversion, images())

    expected = keras.ops.convert_to_numpy(theirs(images(), training=False))
    assert np.abs(answer - expected).max() < 1e-4 * expected.std()
