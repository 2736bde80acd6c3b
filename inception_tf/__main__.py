"""`inception-tf COMMAND --flags` and `python -m inception_tf COMMAND --flags`."""

import contextlib
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

COMMANDS = {
    "prepare": "make a data set ready: download or check its archives, write it",
    "train": "train a network",
    "eval": "score a trained network",
    "average": "average a run's checkpoints, measure batch statistics again",
    "launch": "start workers of a command on this machine",
    "convert": "published weights of TF-slim, Keras, timm, torchvision, facenet into our networks",
    "export": "a trained network as a SavedModel, or for ONNX, LiteRT, OpenVINO, Keras",
    "predict": "classes of pictures, with heat maps that say where they were seen",
    "serve": "answer HTTP requests with the classes of pictures",
    "features": "pooled features of pictures, into one .npz",
    "inspect": "stages, shapes, parameters and multiply-adds of a network",
}


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs one command and ends the process with its exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    if words == ["--version"]:
        words = ["train", "--version"]  # one answer for all commands
    if words and words[0] in COMMANDS:
        run(words[0], words[1:])
    asked = bool(words) and words[0] in ("-h", "--help", "help")
    mistake = f"inception-tf: {_unknown(words[0])}\n\n" if words and not asked else ""
    with contextlib.suppress(BrokenPipeError):
        print(mistake + usage(), file=sys.stdout if asked else sys.stderr, flush=True)
    sys.exit(0 if asked else 2)


def run(command: str, argv: Sequence[str]) -> NoReturn:
    """Calls `commands.COMMAND.main(argv)` and exits with 0 or the error's code.

    At any moment a stop signal ends the process with one line.
    """
    _open_missing_streams()
    from inception_tf.runtime.signals import end_with_parent, to_the_end

    stop = to_the_end()
    end_with_parent(os.environ)
    try:
        from inception_tf.commands.shell import exit_code_of

        module = importlib.import_module(f"inception_tf.commands.{command}")
    except ModuleNotFoundError as error:
        _exit_without(error)
    code = exit_code_of(module.main, argv)
    stop.end_with(code)
    sys.exit(code)


def _exit_without(error):
    """Says what to install where a package that every command needs is missing."""
    if error.name is None or error.name.split(".")[0] == "inception_tf":
        raise error
    print(f"error: {sys.executable} has no package {error.name!r}: run `pip install .` in the "
          "repository, or start with .venv/bin/python after `make demo`",
          file=sys.stderr)
    sys.exit(2)


def _open_missing_streams():
    """Opens the null device for standard streams that the caller closed (`2>&-`).

    Otherwise the next file opened would take that descriptor, and TensorFlow would print into it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))


def _unknown(word):
    from inception_tf.flags import nearest

    near = nearest(word, list(COMMANDS))
    return f"unknown command {word!r}" + f": did you mean {near}?" * bool(near)


def usage() -> str:
    """The list of commands."""
    rows = [f"  {name:10} {what}" for name, what in COMMANDS.items()]
    head = "usage: inception-tf COMMAND [--flags]   (COMMAND --help lists its flags)\n"
    return "\n".join([head, *rows])


if __name__ == "__main__":
    main()
