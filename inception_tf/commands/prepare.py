"""`inception-tf prepare`: makes a data set ready for training."""

from collections.abc import Sequence

from inception_tf import flags
from inception_tf.commands.shell import import_tensorflow
from inception_tf.config import Config

FIELDS = ("dataset", "data_dir", "manual_dir", "train_split", "eval_split",
          "allow_empty_classes")


def main(argv: Sequence[str]) -> None:
    """Checks archives and disk, then writes the set of --dataset as ArrayRecord."""
    arguments = flags.parse(
        "prepare", "Makes a data set ready, checked before.", argv, fields=FIELDS)
    data = flags.config_from(arguments, Config()).data
    import_tensorflow()
    from inception_tf.data.prepare import prepare

    prepare(data)
