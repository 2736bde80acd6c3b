"""Networks of torch with random weights, and their answers."""

import numpy as np

from tests.parity.arrays import random_like

KINDS = {"running_var": "moving_variance"}


def randomize(torch, network):
    """`network`, ready to score, with random weights; those as name -> array."""
    state = {name: _random(name, value) for name, value in network.state_dict().items()}
    network.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    network.eval()
    return state


def _random(name, value):
    """A kernel is drawn in the order in which Keras stores it."""
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "num_batches_tracked":
        return value.numpy()
    if value.ndim == 1:
        kind = KINDS.get(leaf, "gamma" if name.endswith("bn.weight") else "bias")
        return random_like(name, kind, value.shape).astype("float32")
    kernel = random_like(name, "kernel", (*value.shape[2:], value.shape[1], value.shape[0]))
    return kernel.transpose((3, 2, 0, 1) if value.ndim == 4 else (1, 0)).astype("float32")


def answers(torch, network, pictures):
    """What `network` gives for float32 images [N, S, S, 3]: an array, or a list of them."""
    with torch.no_grad():
        given = network(torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))))
    return [one.numpy() for one in given] if isinstance(given, tuple) else given.numpy()


def assert_equal(ours, theirs):
    """Equal but for the order in which float32 is added up: 1e-5 of the standard deviation."""
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() < 1e-5 * theirs.std()
