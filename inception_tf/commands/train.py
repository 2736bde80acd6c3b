"""`inception-tf train`: trains a network, or goes on where its checkpoint stopped."""

from inception_tf import flags
from inception_tf.commands.shell import import_tensorflow


def main(argv):
    """Parses `argv` into a Config and trains."""
    arguments, config = flags.parse_run(
        "train", "Trains a network of the paper. Without flags: the demo preset.", argv)

    import_tensorflow()
    from inception_tf.training.init_from import with_settings_carried
    from inception_tf.training.loop import train

    train(with_settings_carried(config, arguments.given))
