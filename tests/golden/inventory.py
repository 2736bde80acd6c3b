"""Every layer of the paper's networks, as committed JSON.

`python -m tests.golden.inventory write` makes the files again; without `write` it
prints what differs.
"""

import argparse
import functools
import json
import math
from pathlib import Path

from inception_tf import nets

HERE = Path(__file__).parent
NETWORKS = ("inception_v4", "inception_resnet_v1", "inception_resnet_v2")


def describe(model):
    """Layer name -> what a figure says of it, in the order of `model.layers`.

    kind, inputs (layer names) and output shape; kernel, strides, padding and filters
    where the layer has them.
    """
    return {layer.name: _describe_layer(layer) for layer in model.layers}


def counts(model):
    """Layer name -> (trainable, total) parameters and multiply-adds of one image."""
    return {
        layer.name: (
            sum(math.prod(weight.shape) for weight in layer.trainable_weights),
            layer.count_params(),
            _multiply_adds(layer),
        )
        for layer in model.layers
    }


@functools.cache
def facts_of(network, **options):
    """(`describe`, `counts`) of a full-size network, kept for the whole test session.

    Building one takes seconds and a quarter of a gigabyte; what tests ask of it is small.
    """
    model = nets.build(network, **options)
    return describe(model), counts(model)


def path_of(network):
    """Golden file of `network`."""
    return HERE / f"inventory_{network}.json"


def _describe_layer(layer):
    facts = {"kind": type(layer).__name__}
    facts["inputs"] = [tensor._keras_history.operation.name for tensor in _inputs(layer)]
    config = layer.get_config()
    for ours, theirs in (
        ("kernel", "kernel_size"),
        ("kernel", "pool_size"),
        ("strides", "strides"),
        ("padding", "padding"),
        ("filters", "filters"),
        ("units", "units"),
        ("bias", "use_bias"),
        ("scale", "scale"),
        ("rate", "rate"),
        ("activation", "activation"),
    ):
        if theirs in config:
            value = config[theirs]
            facts[ours] = list(value) if isinstance(value, tuple) else value
    facts["output"] = list(layer.output.shape[1:])
    return facts


def _inputs(layer):
    if type(layer).__name__ == "InputLayer":
        return []
    return layer.input if isinstance(layer.input, list) else [layer.input]


def _multiply_adds(layer):
    kind = type(layer).__name__
    if kind == "Conv2D":
        return math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:3])
    return math.prod(layer.kernel.shape) if kind == "Dense" else 0


def _as_text(inventory):
    lines = [f"{json.dumps(name)}: {json.dumps(facts)}" for name, facts in inventory.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", nargs="?", choices=("compare", "write"), default="compare")
    write = parser.parse_args().action == "write"
    for network in NETWORKS:
        now = describe(nets.build(network, aux_head=True))
        if write:
            path_of(network).write_text(_as_text(now))
            continue
        golden = json.loads(path_of(network).read_text())
        changed = [name for name in now | golden if now.get(name) != golden.get(name)]
        print(f"{network}: {len(changed)} of {len(now)} layers differ {changed[:5]}")


if __name__ == "__main__":
    main()
