"""A run's folder that no training wrote: weights that were averaged or came from elsewhere."""

from inception_tf.config import Config
from inception_tf.nets.imagenet import imagenet_classes
from inception_tf.runs import checkpoint
from inception_tf.runs.metrics import write_atomically
from inception_tf.runs.network import CHECKPOINTS, CONFIG
from inception_tf.runtime.files import new_folder
from inception_tf.weights.card import Facts, preprocessing_of
from inception_tf.weights.readers import hashes


def write_run_folder(folder, config, step, arrays, facts):
    """Writes config.json and one checkpoint into `folder`, which is complete or absent.

    Args:
        folder: must not exist yet.
        config: Config of the network and its data; its model_dir becomes `folder`.
        step: number of the checkpoint.
        arrays: "weights/..." and "ema/..." of every weight.
        facts: of the manifest: class_names, data, and origin, by which training knows that
            there is no run to go on with.

    Raises: StorageError when it cannot be written.
    """
    text = config.replace(model_dir=str(folder)).to_json()
    with new_folder(folder) as aside:
        checkpoint.save(aside / CHECKPOINTS, step, arrays, {
            "config": text, "bad_examples": {}, **facts})
        write_atomically(aside / CONFIG, text)


# Training counts from one: nothing was trained here.
STEP = 0


def facts_of(conversion, network, path):
    """Facts of what a Conversion of the file at `path` gives: its network, crops and classes.

    `network` is the config.Network whose width and image size were asked for. Where the
    classes may be ImageNet's, that is what `eval` takes unless told otherwise.
    """
    source = conversion.source
    background = conversion.classes == 1001
    config = Config(network=network).replace(
        dataset="imagenet2012" if _may_be_imagenet(conversion.classes) else "folder",
        background_class=background, batch_norm_gamma=conversion.gamma,
        **preprocessing_of(source, conversion.net))
    origin = {"source": source, "files": hashes(source, path),
              "averaged": bool(conversion.averages)}
    return Facts(config, class_names_of(conversion.classes), origin)


def class_names_of(num_outputs):
    """ImageNet's WordNet ids of 1000 or 1001 outputs; numbers of any other count."""
    if _may_be_imagenet(num_outputs):
        return tuple(wordnet_id for wordnet_id, _ in imagenet_classes())
    return tuple(map(str, range(num_outputs)))


def _may_be_imagenet(num_outputs):
    return num_outputs in (1000, 1001)


def converted_origin(origin):
    """The part of a run's `origin` that `facts_of` wrote, also behind an average; None: trained."""
    while origin and "source" not in origin:
        origin = origin.get("origin")
    return origin


def write_run(folder, conversion, facts):
    """Writes a run's folder with a checkpoint of step 0; it is complete or absent.

    The checkpoint holds the weights themselves as "raw" and, where the file has none,
    again as "ema": published weights are what their makers scored.

    Raises: StorageError when it cannot be written.
    """
    arrays = {f"{kind}/{path}": array for kind in ("weights", "ema")
              for path, array in conversion.arrays(averaged=kind == "ema").items()}
    write_run_folder(folder, facts.config, STEP, arrays, {
        "class_names": list(facts.class_names),
        "data": {"name": "", "fingerprint": ""},  # files do not say what they were trained on
        "origin": facts.origin})
