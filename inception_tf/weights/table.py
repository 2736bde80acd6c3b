"""How another project's files call and store the weights of our networks: one Table each."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from inception_tf.weights.arrays import Stored

Names = dict[str, str]
Shape = tuple[int, ...]

# How TensorFlow calls the moving average of a variable; those of torch get the same name here.
AVERAGE = "{}/ExponentialMovingAverage"
# What TF1's training leaves in a checkpoint.
LEFT_BY_TRAINING = {
    r"global_step": "counter of training steps",
    r"beta[12]_power": "state of the optimizer",
    r"(.+)/(?:RMSProp|Momentum|Adam|Adagrad)(?:_\d+)?": "state of the optimizer",
    AVERAGE.format("(.+)"): "moving average; the weights themselves are taken",
}
# The same, in files of torch.
LEFT_BY_TORCH = {
    r".+\.num_batches_tracked(?:/ExponentialMovingAverage)?": "counter of torch's batch norm",
    r"n_averaged(?:/ExponentialMovingAverage)?": "counter of torch's averaging",
    AVERAGE.format("(.+)"): "moving average; the weights themselves are taken",
}


@dataclasses.dataclass(frozen=True)
class Table:
    """The weights of our networks in files of one format.

    Attributes:
        networks: our name -> arguments of Preprocessing with which the published weights
            were scored, without the image size; {}: they give no classes.
        read: path of a file -> name -> Stored.
        names: network, arrays of the file -> (our variable path -> name in it), for every
            weight that the format has. Without arrays: as the format's own code names them.
        ignored: patterns of names that no network needs -> why. The group, if any, is the
            array they belong to.
        stored_shape: network, our path, our shape -> shape in the file.
        layout: our path, array of the file -> the array in our order of axes.
        options: network -> arguments with which its builder computes what the other project
            computes; they are fields of config.Network too.
    """

    networks: Mapping[str, dict]
    read: Callable[[str], dict[str, Stored]]
    names: Callable[[str, Mapping[str, Stored]], Names]
    ignored: Mapping[str, str]
    stored_shape: Callable[[str, str, Shape], Shape] = lambda network, path, shape: shape
    layout: Callable[[str, np.ndarray], np.ndarray] = lambda path, array: array
    options: Mapping[str, dict] = dataclasses.field(default_factory=dict)

    @property
    def gives_classes(self) -> bool:
        """Whether the networks end in a classifier; else in an embedding."""
        return any(self.networks.values())


def block(ours: str, theirs: str, rows: Names) -> Names:
    """Our layer -> their scope, of one block: `rows` have the endings of both."""
    return {f"{ours}_{layer}": f"{theirs}{scope}" for layer, scope in rows.items()}


def blocks(ours: str, theirs: str, endings: Iterable, rows: Names) -> Names:
    """`block` for ours_1, ours_2, ...; each of `endings` fills the {} of `theirs`."""
    layers: Names = {}
    for number, ending in enumerate(endings, start=1):
        layers |= block(f"{ours}_{number}", theirs.format(ending), rows)
    return layers


def tf1_variables(scopes: Names) -> Names:
    """Our variable path -> TF1's variable name, of our layer -> its scope."""
    table = {}
    for layer, scope in scopes.items():
        table[f"{layer}/kernel"] = f"{scope}/weights"
        if layer.endswith(("linear", "logits")):
            table[f"{layer}/bias"] = f"{scope}/biases"
            continue
        for variable in ("beta", "moving_mean", "moving_variance"):
            table[f"{layer}_bn/{variable}"] = f"{scope}/BatchNorm/{variable}"
    return table


def torch_variables(modules: Names) -> Names:
    """Our variable path -> name in a state dict of torch, of our layer -> its module.

    A convolution is `MODULE.conv` with batch norm `MODULE.bn`; linear ones have a bias instead.
    """
    table = {}
    for layer, module in modules.items():
        if layer.endswith(("linear", "logits")):
            table |= {f"{layer}/kernel": f"{module}.weight", f"{layer}/bias": f"{module}.bias"}
        else:
            table[f"{layer}/kernel"] = f"{module}.conv.weight"
            table |= torch_batch_norm(f"{layer}_bn", f"{module}.bn")
    return table


def torch_batch_norm(layer: str, module: str) -> Names:
    """Our variable path -> name in a state dict of torch, of a batch norm."""
    names = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean",
             "moving_variance": "running_var"}
    return {f"{layer}/{ours}": f"{module}.{theirs}" for ours, theirs in names.items()}


def torch_shape(_network: str, _path: str, shape: Shape) -> Shape:
    """Shape in a state dict of torch of what has `shape` here."""
    return (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else shape[::-1]


def torch_layout(_path: str, array: np.ndarray) -> np.ndarray:
    """torch's [out, in, height, width] or [out, in] as Keras has it."""
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T
