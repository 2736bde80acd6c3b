"""What the chief of a run writes into its model_dir, as long as that is there and its own."""

from pathlib import Path

import tensorflow as tf

from inception_tf.config import Config
from inception_tf.errors import StorageError
from inception_tf.runs.folder import write_config
from inception_tf.runs.lock import FolderLock
from inception_tf.runs.metrics import METRICS, MetricsWriter, log
from inception_tf.runs.network import CHECKPOINTS
from inception_tf.runs.saver import BackgroundSaver
from inception_tf.training.curves import draw_curves


class Records:
    """Config, checkpoints, metrics and curves of a run.

    Raises: StorageError when the folder cannot be written.
    """

    def __init__(self, config: Config, step: int, lock: FolderLock | None = None):
        runtime, folder = config.runtime, Path(config.runtime.model_dir)
        self._lock, self._title, self._folder = lock, config.network.net, folder
        self._curves_fail = False
        try:
            write_config(config)
            self._saver = BackgroundSaver(folder / CHECKPOINTS, runtime.keep, runtime.keep_best)
            self._writers = {name: MetricsWriter(folder / name, step) for name in METRICS}
        except (OSError, tf.errors.OpError) as error:
            raise StorageError(f"--model_dir={folder}: {error}") from None

    def check(self) -> None:
        """Raises what keeps the run from writing on: see BackgroundSaver.check.

        Raises:
            StorageError: the folder was removed or moved away. It is not made again: what was
                moved would go on without its end, and what was removed would be a part.
        """
        if self._lock is not None:
            self._lock.require_held()
        self._saver.check()

    def log(self, step: int, values: dict[str, float]) -> None:
        """One row of training's metrics."""
        self.check()
        self._writers["train"].write(step, values)

    def save(self, step, arrays, facts) -> None:
        """Starts writing a checkpoint."""
        self._saver.save(step, arrays, facts)

    def report(self, step: int, values: dict[str, float]) -> None:
        """Writes and draws a scoring."""
        self.check()
        self._writers["validation"].write(step, values)
        self._saver.add_scores(step, values)
        self._draw()

    def finish(self) -> None:
        """Returns when the last save is on disk; see BackgroundSaver.finish."""
        self._saver.wait()
        self.check()
        self._saver.finish()

    def close(self) -> None:
        """Waits for a checkpoint in flight; closes the metrics files."""
        self._saver.wait()
        for writer in self._writers.values():
            writer.close()

    def _draw(self):
        """A picture is no reason to end a run: whatever goes wrong is said once."""
        try:
            draw_curves(self._folder, self._title)
        except Exception as error:
            self.check()
            if not self._curves_fail:
                log.warning("curves not drawn, training goes on: %.300s", error)
            self._curves_fail = True
