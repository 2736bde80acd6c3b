"""Our networks against timm's under torch: same weights, same answers."""

import importlib.util
import json
from pathlib import Path

import keras
import numpy as np
import pytest

from benchmarks.peers import import_timm
from inception_tf import nets
from inception_tf.weights.arrays import assign
from inception_tf.weights.timm import TABLE
from tests.parity.arrays import images, random_like
from tests.weight_files import names, ours

GOLDEN = Path(__file__).parent.parent / "golden"
KEYS = {
    "inception_v4": "timm_inception_v4_keys.json",
    "inception_resnet_v2_released": "timm_inception_resnet_v2_keys.json",
}
MODELS = {"inception_v4": "inception_v4", "inception_resnet_v2_released": "inception_resnet_v2"}


@pytest.mark.parametrize("network", TABLE.networks)
def test_timm_names_of_network_cover_every_key_once(network):
    keys = json.loads((GOLDEN / KEYS[network]).read_text())
    wanted = [key for key in keys if not key.endswith("num_batches_tracked")]
    assert sorted(names(network, "timm").values()) == sorted(wanted)


@pytest.mark.parametrize("network", TABLE.networks)
def test_outputs_with_the_weights_of_timm_equal_its_outputs(network, timm, torch):
    theirs = timm.create_model(MODELS[network]).eval()
    state = _random_state(theirs.state_dict())
    theirs.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
    model = nets.build(network, classifier_activation=None, batch_norm_gamma=True)
    assign(model, ours(network, "timm", state))

    with torch.no_grad():
        expected = theirs(torch.from_numpy(images().transpose(0, 3, 1, 2))).numpy()
    answer = keras.ops.convert_to_numpy(model(images(), training=False))

    assert np.abs(answer - expected).max() < 1e-4 * expected.std()


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="torch is not installed")


@pytest.fixture(scope="module")
def timm(torch):
    if importlib.util.find_spec("timm") is None:
        pytest.skip("timm is not installed")
    return import_timm()


def _random_state(state):
    """`state` with random values; a conv kernel is drawn in the order Keras stores it."""
    kinds = {"running_var": "moving_variance"}
    random = {}
    for key, value in state.items():
        leaf = key.rsplit(".", 1)[-1]
        if leaf == "num_batches_tracked":
            random[key] = value.numpy()
        elif value.ndim > 1:
            kernel = random_like(key, "kernel", (*value.shape[2:], value.shape[1], value.shape[0]))
            order = (3, 2, 0, 1) if value.ndim == 4 else (1, 0)
            random[key] = kernel.transpose(order).astype("float32")
        else:
            kind = kinds.get(leaf, "gamma" if key.endswith("bn.weight") else "bias")
            random[key] = random_like(key, kind, value.shape).astype("float32")
    return random
