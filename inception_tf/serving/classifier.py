"""A trained network with all that classifying a picture takes."""

import dataclasses
from pathlib import Path

import keras

from inception_tf.config import Data, Network
from inception_tf.data.views import Preprocessing, preprocessing_of
from inception_tf.errors import UsageError, usage_errors_of
from inception_tf.runs import checkpoint
from inception_tf.runs.metrics import METRICS, read_metrics
from inception_tf.runs.network import build_network, load_run, refuse_false_claims
from inception_tf.runtime.progress import log
from inception_tf.weights.card import read_facts
from inception_tf.weights.keras_file import keras_arrays, load_weights_file


@dataclasses.dataclass(frozen=True)
class Classifier:
    """One of our networks with its weights.

    model: float32 images [n, S, S, 3] in [-1, 1] -> logits [n, K].
    network, data: groups of the run's settings.
    class_names: in the order of the outputs, background not counted.
    weights: "ema", "raw", or "file" for those of a .keras file.
    origin: JSON-able: step, hashes, fingerprint of the data, source of converted weights.
    score: JSON-able: the run's own validation of these weights; None when there is none.
    """

    model: keras.Model
    network: Network
    data: Data
    class_names: tuple[str, ...]
    weights: str
    origin: dict
    score: dict | None = None

    @property
    def preprocessing(self) -> Preprocessing:
        """How images are cut for it."""
        return preprocessing_of(self.network, self.data)

    @property
    def first_class(self) -> int:
        """Index of the first class among the outputs: 1 when there is a background class."""
        return int(self.network.background_class)


def open_run(model_dir: str, weights: str = "ema", which: str = "newest") -> Classifier:
    """The Classifier of one checkpoint of a run; `which` as in --checkpoint.

    Raises:
        UsageError: no run there, or no such checkpoint.
        CheckpointError: there are checkpoints and none is valid.
    """
    model, config, manifest = load_run(model_dir, weights, which)
    origin = {
        "step": manifest["step"],
        "checkpoint_sha256": manifest["files"][checkpoint.ARRAYS]["sha256"],
        "data_fingerprint": manifest["data"]["fingerprint"],
        **({"origin": manifest["origin"]} if "origin" in manifest else {}),
    }
    return Classifier(model, config.network, config.data, tuple(manifest["class_names"]), weights,
                      origin, _validation(model_dir, manifest["step"], weights, config.data))


def open_keras(path: str) -> Classifier:
    """The Classifier of a .keras file that `convert` or `export --format=keras` wrote.

    Raises: UsageError for a file that does not say which network it holds, or holds another.
    """
    facts = read_facts(path)
    if facts is None or not facts.class_names:
        raise UsageError(f"{path} does not say which network and classes it holds: take one that "
                         "`inception-tf convert` or `export --format=keras` wrote")
    network = facts.config.network
    with usage_errors_of(ValueError):
        refuse_false_claims(network, len(facts.class_names),
                            [array.shape for array in keras_arrays(path).values()], path)
        model = build_network(network, len(facts.class_names))
        load_weights_file(model, path)
    if network.aux_head:
        model = keras.Model(model.input, model.outputs[0], name=model.name)
    return Classifier(model, network, facts.config.data, facts.class_names, "file", facts.origin)


def _validation(model_dir, step, weights, data):
    """The run's own validation of these weights at this step, if it has one."""
    path = Path(model_dir) / "validation" / "metrics.csv"
    try:
        rows = read_metrics(path, METRICS["validation"])
    except UsageError as error:
        log.warning("the run's own scores are left out: %s", error)
        return None
    for row in rows:
        if row["step"] == step:
            return {"dataset": data.dataset, "split": data.eval_split, "crops": 1,
                    "images": int(row["num_examples"]), "weights": weights,
                    "top1_error": row[f"{weights}_top1_error"],
                    "top5_error": row[f"{weights}_top5_error"]}
    return None
