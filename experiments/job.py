"""One training run of a grid, and what its experiment measures of it; runner.py starts them.

    python -m experiments.job PROBE --TRAINING_FLAGS...

PROBE is MODULE:FUNCTION, folder of the run -> JSON-able, kept as probe.json in that folder; empty:
nothing to measure. Exit codes are those of `inception-tf train`.
"""

import importlib
import json
import os
import sys
from pathlib import Path

from inception_tf import flags
from inception_tf.commands import train
from inception_tf.commands.shell import exit_code_of
from inception_tf.errors import NonFiniteError
from inception_tf.runtime.files import write_atomically
from inception_tf.runtime.signals import end_with_parent, to_the_end

PROBE = "probe.json"


def main(argv):
    """Trains, then measures; a run that ended non-finite is measured too."""
    probe, *words = argv
    broken = None
    try:
        train.main(words)
    except NonFiniteError as error:
        broken = error
    if probe:
        module, function = probe.split(":")
        folder = Path(flags.parse_run("train", "", words)[1].runtime.model_dir)
        measured = getattr(importlib.import_module(module), function)(folder)
        write_atomically(folder / PROBE, json.dumps(measured))
    if broken:
        raise broken


if __name__ == "__main__":
    stop = to_the_end()
    end_with_parent(os.environ)
    code = exit_code_of(main, sys.argv[1:])
    stop.end_with(code)
    sys.exit(code)
