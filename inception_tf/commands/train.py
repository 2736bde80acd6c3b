"""`inception-tf train`: trains a network, or resumes from its newest checkpoint."""

import logging
import os
from collections.abc import Sequence

from inception_tf import flags
from inception_tf.commands.shell import import_tensorflow

log = logging.getLogger("inception_tf")


def main(argv: Sequence[str]) -> None:
    """Parses `argv` into a Config and trains."""
    arguments, config = flags.parse_run(
        "train", "Trains a network of the paper. Without flags: the demo preset.", argv)

    import_tensorflow()
    from inception_tf.runtime.cluster import read_cluster
    from inception_tf.training.init_from import with_settings_carried
    from inception_tf.training.loop import train

    if read_cluster(os.environ, config.runtime.strategy).is_chief:
        log.info("preset         %s", arguments.own["preset"])
    train(with_settings_carried(config, arguments.given))
