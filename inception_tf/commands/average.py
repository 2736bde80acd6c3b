"""`inception-tf average`: the mean of a run's last checkpoints, as a run of its own."""

from collections.abc import Sequence

from inception_tf import flags
from inception_tf.commands.shell import import_tensorflow
from inception_tf.config import Runtime
from inception_tf.errors import UsageError
from inception_tf.flags import Flag
from inception_tf.runtime import outputs
from inception_tf.text import printable

OWN = (
    Flag("last", 1, "checkpoints to average, the last of them the one of --checkpoint", low=1),
    flags.CHECKPOINT,
    Flag("recalibrate_images", 0, "training images to measure batch statistics on; 0: average "
                                  "those of the checkpoints too", low=0),
    Flag("output_dir", "", "folder to write; must not exist", path=True),
)
FIELDS = ("model_dir", "dataset", "data_dir", "train_split", "allow_empty_classes")


def main(argv: Sequence[str]) -> None:
    """Averages checkpoints of --model_dir, measures batch statistics, writes --output_dir."""
    arguments = flags.parse(
        "average", "Averages a run's checkpoints, and recomputes batch statistics.", argv, OWN,
        fields=FIELDS, defaults=None)
    own = arguments.own
    if not own["output_dir"]:
        raise UsageError("--output_dir: name the folder to write; it must not exist yet")
    outputs.check_new_folder("output_dir", own["output_dir"])
    if own["last"] < 2 and not own["recalibrate_images"]:
        raise UsageError("nothing to do: give --last=K of at least 2, --recalibrate_images=N, "
                         "or both")
    import_tensorflow()
    from inception_tf.runs.folder import read_config
    from inception_tf.training import averaging

    model_dir = arguments.given.get("model_dir", Runtime.model_dir)
    config = read_config(model_dir).replace(**arguments.given)
    arrays, manifests = averaging.average_last(model_dir, own["last"], own["checkpoint"])
    if own["recalibrate_images"]:
        arrays = averaging.recalibrated(config, arrays, own["recalibrate_images"])
    averaging.write(own["output_dir"], config, arrays, manifests, own["recalibrate_images"])
    steps = ", ".join(str(m["step"]) for m in manifests)
    print(f"{printable(own['output_dir'])}: checkpoints of steps {steps}"
          + f", batch statistics of {own['recalibrate_images']} images" * bool(
              own["recalibrate_images"]))
