"""`inception-tf COMMAND --flags` and `python -m inception_tf COMMAND --flags`."""

import contextlib
import importlib
import sys

COMMANDS = {
    "prepare": "download nothing, check archives, make a data set ready",
    "train": "train a network",
    "eval": "score a trained network",
    "average": "average a run's checkpoints, measure batch statistics anew",
    "launch": "start workers of a command on this machine",
    "convert": "weights of TF-slim, facenet, Keras or timm into a network of ours",
    "export": "a trained network as a SavedModel, or for ONNX, LiteRT, OpenVINO, Keras",
    "predict": "classes of pictures, with heat maps that say where they were seen",
    "inspect": "stages, shapes, parameters and multiply-adds of a network",
}


def main(argv=None):
    """Runs one command and ends the process with its exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    if words and words[0] in COMMANDS:
        run(words[0], words[1:])
    asked = bool(words) and words[0] in ("-h", "--help", "help")
    mistake = f"inception-tf: unknown command {words[0]!r}\n\n" if words and not asked else ""
    with contextlib.suppress(BrokenPipeError):
        print(mistake + usage(), file=sys.stdout if asked else sys.stderr, flush=True)
    sys.exit(0 if asked else 2)


def run(command, argv):
    """Calls `commands.COMMAND.main(argv)` and exits with 0 or the error's code."""
    from inception_tf.commands.shell import exit_code_of

    module = importlib.import_module(f"inception_tf.commands.{command}")
    sys.exit(exit_code_of(module.main, argv))


def usage():
    """The list of commands."""
    rows = [f"  {name:10} {what}" for name, what in COMMANDS.items()]
    return "usage: inception-tf COMMAND [--flags]   (COMMAND --help lists its flags)\n\n" + (
        "\n".join(rows)
    )


if __name__ == "__main__":
    main()
