"""Rows of the tables of numbers in the README: ratios to peers, and images per second."""

import functools

from benchmarks import targets
from benchmarks.serving import BASE as KERAS_EXPORT
from benchmarks.serving import OURS
from benchmarks.training import BASE

NOT_RUN = "not run"
TRAINING = ("training", "batches", "8")
SERVING = ("serving", "batch_sizes", "8")
BESIDE = ("gpu_tensorflow", "peers")
# What is measured -> where ours, that of keras.applications and timm's are: benchmark, then keys.
PEERS = {
    "training, two CPU cores, batch 8, float32": (
        (*TRAINING, "ours"), (*TRAINING, BASE), (*TRAINING, "timm, PyTorch, channels last")),
    "inference, two CPU cores, batch 8, float32": (
        (*SERVING, OURS), (*SERVING, KERAS_EXPORT), (*SERVING, "timm, PyTorch")),
    "training, H200, batch 128, bfloat16, XLA": (
        ("gpu_tensorflow", "rows", targets.UPDATE_ON_GPU), None,
        (*BESIDE, "training", "128", "timm, PyTorch, torch.compile")),
    "inference, H200, batch 128, bfloat16, XLA": (
        ("gpu_tensorflow", "rows", targets.ANSWER_ON_GPU), None,
        (*BESIDE, "inference", "128", "timm, PyTorch")),
}


def headlines(result_of):
    """The targets that have words for the README; `result_of`: benchmark -> its results or None."""
    rows = [["", "ratio"]]
    for target in targets.TARGETS:
        if target.headline:
            measured = target.measured(result_of(target.benchmark))
            rows.append([target.headline, NOT_RUN if measured is None else f"{measured:.2f}"])
    return rows


def peers(result_of):
    """Images per second of one network in three projects."""
    rows = [["images/s", "inception_tf", "keras.applications", "timm"]]
    for what, places in PEERS.items():
        rows.append([what, *(_rate(result_of, place) for place in places)])
    return rows


def _rate(result_of, place):
    """The median at that place; "not run" where nothing is."""
    if place is None:
        return NOT_RUN
    benchmark, *keys = place
    try:
        found = functools.reduce(lambda part, key: part[key], keys, result_of(benchmark))
    except (KeyError, TypeError):
        return NOT_RUN
    rate = found["images_per_second"]["median"]
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}" if rate >= 3 else f"{rate:.2f}"
