"""A trained network, and all that is needed to ask it about a picture."""

import dataclasses
from pathlib import Path

import keras

from inception_tf.config import Data, Network
from inception_tf.data.views import preprocessing_of
from inception_tf.errors import UsageError, usage_errors_of
from inception_tf.runs import checkpoint
from inception_tf.runs.metrics import METRICS, read_metrics
from inception_tf.runs.network import build_network, load_model, refuse_false_claims
from inception_tf.runtime.progress import log
from inception_tf.weights.card import read_facts
from inception_tf.weights.keras_file import keras_arrays, load_weights_file


@dataclasses.dataclass(frozen=True)
class Classifier:
    """One network of ours with its weights.

    model: float32 images [n, S, S, 3] in [-1, 1] -> logits [n, K].
    network, data: the run's groups of settings; which network, how images are cut for it.
    class_names: in the order of the outputs, background not counted.
    weights: "ema", "raw", or "file" for those of a .keras file.
    origin: JSON-able: step, hashes, fingerprint of the data, where converted weights are from.
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
    def preprocessing(self):
        """How images are cut for it; a crops.Preprocessing."""
        return preprocessing_of(self.network, self.data)

    @property
    def first_class(self):
        """Output of the first class: 1 when there is a background class."""
        return int(self.network.background_class)


def open_run(model_dir, weights="ema", which="newest"):
    """The Classifier of a checkpoint of a run: `which` one, as runtime.choice has it.

    Raises:
        UsageError: no run there, or no such checkpoint.
        CheckpointError: there are checkpoints and none is valid.
    """
    model, config, manifest = load_model(model_dir, weights, log.warning, which)
    origin = {
        "step": manifest["step"],
        "checkpoint_sha256": manifest["files"][checkpoint.ARRAYS]["sha256"],
        "data_fingerprint": manifest["data"]["fingerprint"],
        **({"origin": manifest["origin"]} if "origin" in manifest else {}),
    }
    return Classifier(model, config.network, config.data, tuple(manifest["class_names"]), weights,
                      origin, _validation(model_dir, manifest["step"], weights, config.data))


def open_keras(path):
    """The Classifier of a .keras file that `convert` or `export --format=keras` wrote.

    Raises: UsageError for a file that does not say which network it holds, or does not
        hold it.
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
    """What the run's validation said of these weights at this step."""
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
