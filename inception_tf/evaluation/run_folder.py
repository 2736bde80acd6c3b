"""A run's folder that no training wrote: weights that were averaged or came from elsewhere."""

from inception_tf.evaluation.models import CHECKPOINTS, CONFIG
from inception_tf.runtime import checkpoint
from inception_tf.runtime.new_folder import new_folder
from inception_tf.runtime.writers import write_atomically


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
