"""The grids that take hours, the one worth most first: for a machine with many cores.

    nice -n 19 python -m experiments.night --jobs=14

Stop it at any time: what finished is in experiments/results, and the same command resumes.
"""

import sys

from experiments import catching_up, longer_remedies, residual_scaling
from experiments.runner import FLAGS, RunFailed
from inception_tf import flags
from inception_tf.commands.shell import exit_code_of
from inception_tf.runtime.progress import log

GRIDS = (residual_scaling, longer_remedies, catching_up)


def main(argv):
    """Runs what is missing of each grid; one with failed runs does not stop the next.

    Raises: the last of their RunFailed at the end.
    """
    shared = [flag for flag in FLAGS if flag.name in ("jobs", "gpu")]
    own = flags.parse("night", __doc__.splitlines()[0], argv, shared, fields=()).own
    words = [f"--jobs={own['jobs']}", f"--gpu={str(own['gpu']).lower()}"]
    failed = None
    for experiment in GRIDS:
        log.info("%s", experiment.__name__)
        try:
            experiment.main(words)
        except RunFailed as error:
            log.error("%s", error)
            failed = error
    if failed:
        raise failed


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
