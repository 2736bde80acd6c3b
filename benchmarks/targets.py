"""The speed targets of this project, and where each measurement is found."""

import dataclasses
import statistics
from collections.abc import Callable

from benchmarks.serving import OURS
from benchmarks.training import BASE, BASE_BFLOAT16, BFLOAT16, REMAT

UPDATE_ON_GPU = "training inception_resnet_v2_released mixed_bfloat16 xla 128 8 a call"
ANSWER_ON_GPU = "inference inception_resnet_v2_released bfloat16 xla 128"


@dataclasses.dataclass(frozen=True)
class Target:
    """A ratio of two things that were measured in one run.

    what: the ratio in words.
    benchmark: its name, and that of its file in benchmarks/results.
    read: the file's contents -> the ratio.
    bound: what it should be `at_least`, or at most.
    headline: in the README too, in these words.
    """

    what: str
    benchmark: str
    read: Callable
    bound: float
    at_least: bool = True
    headline: str = ""

    def measured(self, result):
        """The ratio; None if it, or its peer, was not measured."""
        try:
            return None if result is None else self.read(result)
        except (KeyError, StopIteration):
            return None

    def met(self, measured):
        """Whether it keeps the bound, to the two digits that are shown."""
        measured = round(measured, 2)
        return measured >= self.bound if self.at_least else measured <= self.bound


def _input(of, to):
    return lambda result: next(
        r["wall"] for r in result["ratios"] if (r["of"], r["to"]) == (of, to))


def _saved_model(batch, name=OURS):
    return lambda result: result["batch_sizes"][str(batch)][name]["ratio"]


def _on_gpu():
    """Targets of the released Inception-ResNet-v2 in bfloat16 on a GPU, batch 128."""
    def rate(row):
        return row["images_per_second"]["median"]

    def of_peer(kind, row, peer):
        return lambda result: (rate(result["rows"][row])
                               / rate(result["peers"][kind]["128"][peer]))

    yield Target("on a GPU, update / timm's with torch.compile", "gpu_tensorflow",
                 of_peer("training", UPDATE_ON_GPU, "timm, PyTorch, torch.compile"), 1.2,
                 headline="on a GPU: speed of a whole training update / of timm's network with "
                 "torch.compile and SGD, batch 128")
    yield Target("on a GPU, update / our network's under JAX with SGD alone", "gpu_tensorflow",
                 of_peer("training", UPDATE_ON_GPU, "ours, JAX"), 1.0)
    yield Target("on a GPU, inference / the same under JAX (of two runs)", "gpu_tensorflow",
                 of_peer("inference", ANSWER_ON_GPU, "ours, JAX"), 1.0)
    yield Target("on a GPU, training from JPEG files / from memory", "gpu_tensorflow",
                 lambda result: statistics.median(result["rows"]["pipeline"]["rates"])
                 / rate(result["rows"][UPDATE_ON_GPU]), 0.95)


def _fewer_bits():
    """Targets of the forms in 16 and 8 bits against Keras' own float32 SavedModel."""
    for batch, bound in ((1, 1.5), (8, 2.0), (32, 2.0)):
        yield Target(f"SavedModel in bfloat16 / Keras' own in float32, batch {batch}", "serving",
                     _saved_model(batch, f"{OURS}, bfloat16"), bound)
    for name in ("ONNX Runtime", "OpenVINO"):
        for batch, bound in ((1, 4.0), (8, 3.5)):
            yield Target(f"{name}, int8 / Keras' own SavedModel in float32, batch {batch}",
                         "serving", _saved_model(batch, f"ours, {name}, int8"), bound)


def _growth(kind):
    """The greatest time per multiply-add, over that of the smallest point of its axis."""
    return lambda result: max(row[kind]["per_multiply_add"]["wall"]["median"]
                              for axis in result["axes"].values() for row in axis["rows"][1:])


def _update(name, base, batch):
    """How many times as fast by the clock: from the ratios to BASE of the rounds each was in."""
    return lambda result: (result["batches"][str(batch)][name]["ratio"]["wall"]
                           / result["batches"][str(batch)][base]["ratio"]["wall"])


def _peak(name, batch):
    return lambda result: (result["batches"][str(batch)][name]["peak_mib"]
                           / result["batches"][str(batch)][BASE]["peak_mib"])


def _remat(result):
    """Peak memory an image adds, --remat over without: from batch 8 to batch 16."""
    added = [result["batches"]["16"][name]["peak_mib"] - result["batches"]["8"][name]["peak_mib"]
             for name in (REMAT, "ours")]
    return added[0] / added[1]


def _training():
    """Targets of an update against keras.applications' in a tf.function with RMSprop."""
    for batch in (8, 16):
        yield Target(f"update in float32 / keras.applications' in a tf.function, batch {batch}",
                     "training", _update("ours", BASE, batch), 1.05,
                     headline="speed of a whole training update / of keras.applications' network "
                              "with RMSprop alone, batch 8" * (batch == 8))
        yield Target(f"update in mixed_bfloat16 / the same in float32, batch {batch}", "training",
                     _update(BFLOAT16, BASE, batch), 1.6)
        yield Target(f"update in mixed_bfloat16 / the same in mixed_bfloat16, batch {batch}",
                     "training", _update(BFLOAT16, BASE_BFLOAT16, batch), 1.15)
        yield Target(f"peak memory in float32 / keras.applications', batch {batch}", "training",
                     _peak("ours", batch), 0.9, at_least=False,
                     headline="peak memory of training / of that" * (batch == 8))
        yield Target(f"peak memory in mixed_bfloat16 / its float32, batch {batch}", "training",
                     _peak(BFLOAT16, batch), 0.8, at_least=False)


TARGETS = (
    *_training(),
    Target("start to first step / keras.applications'", "training",
           lambda result: result["starts"]["ours"]["wall"]["median"]
           / result["starts"][BASE]["wall"]["median"], 0.5, at_least=False,
           headline="time from the start to the first update / of that"),
    Target("--remat: memory of an image's activations / without", "training", _remat, 0.5,
           at_least=False),
    Target("--remat: time of an update / without", "training",
           lambda result: 1 / _update(REMAT, "ours", 8)(result), 1.35, at_least=False),
    Target("input, fast colour / TF-slim's as published", "input",
           _input("ours, fast", "TF-slim, fast"), 1.4,
           headline="speed of the input pipeline / of TF-slim's as published"),
    Target("input, full colour / TF-slim's as published", "input",
           _input("ours, full", "TF-slim, full"), 1.25),
    Target("input without colour / decoding of the crops alone", "input",
           _input("ours, no colour", "decode of the random crop alone"), 0.6),
    Target("update: time per multiply-add, the greatest along image size, batch, width and depth / "
           "of the smallest point", "growth", _growth("update"), 1.0, at_least=False),
    Target("inference: the same", "growth", _growth("inference"), 1.0, at_least=False),
    Target("SavedModel / Keras' own of the same network, batch 1", "serving", _saved_model(1), 1.2),
    Target("the same, batch 8", "serving", _saved_model(8), 1.15,
           headline="speed of the exported SavedModel / of Keras' own, batch 8"),
    Target("the same, batch 32", "serving", _saved_model(32), 1.15),
    *_fewer_bits(),
    *(Target(f"served over HTTP to {clients} clients / the network alone", "serve",
             lambda result, clients=clients: result["clients"][str(clients)]["ratio"], 0.9)
      for clients in (16, 64)),
    Target("folder of pictures to top-5 / the network alone", "predict",
           lambda result: min(row["ratio"] for row in result["cases"].values()), 0.9),
    Target("time of 144 crops of an image / of 144 passes of the network", "crops",
           lambda result: max(row["wall"]["ratio"] for row in result["cases"].values()), 1.1,
           at_least=False),
    Target("time of resuming at 95 % / at 0 % of an epoch", "resume",
           lambda result: max(row["ratio"] for row in result["formats"].values()), 1.1,
           at_least=False),
    *_on_gpu(),
)
