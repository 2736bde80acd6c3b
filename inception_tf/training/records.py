"""What the chief of a run writes into its model_dir, as long as that is there and its own."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from inception_tf.data.color import finished
from inception_tf.errors import StorageError
from inception_tf.nets.anatomy import multiply_adds, parameters
from inception_tf.runs.folder import FolderLock, checkpoints_of, write_config
from inception_tf.runs.metrics import METRICS, MetricsWriter
from inception_tf.runs.saver import BackgroundSaver
from inception_tf.runtime.progress import scoring_line
from inception_tf.training.curves import draw_curves
from inception_tf.training.paper_curves import curve_of
from inception_tf.training.replica import Batch
from inception_tf.training.setup import Setup
from inception_tf.training.state import TrainState

log = logging.getLogger("inception_tf")

# Of a batch, for a person to look at.
SHOWN_IMAGES = 16


class Records:
    """Where a run's results go. These go nowhere: only the chief of several workers writes."""

    def check(self) -> None:
        """Raises what keeps the run from writing on."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """One row of training's metrics."""

    def show(self, step: int, batch: Batch) -> None:
        """Keeps what some images of a training batch look like."""

    def save(self, step: int, state: TrainState, entries: Mapping[str, Any]) -> None:
        """Starts writing a checkpoint; `entries` are of its manifest."""

    def report(self, step: int, values: Mapping[str, float]) -> None:
        """Writes, draws and logs a scoring."""

    def finish(self) -> None:
        """Returns when the last save is on disk."""

    def close(self) -> None:
        """Waits for a checkpoint in flight; closes the metrics files."""


class FolderRecords(Records):
    """Config, checkpoints, metrics and curves of a run.

    Raises: StorageError when the folder cannot be written.
    """

    def __init__(self, setup: Setup, lock: FolderLock) -> None:
        config = setup.plan.config
        runtime, folder = config.runtime, Path(config.runtime.model_dir)
        self._lock, self._title, self._folder = lock, config.network.net, folder
        self._curves_fail, self._color = False, config.data.color
        self._paper = (curve_of(config.network.net, config.data.dataset)
                       if runtime.compare == "paper" else {})
        try:
            write_config(folder, config)
            self._saver = BackgroundSaver(checkpoints_of(folder), runtime.keep, runtime.keep_best)
            self._writers = {name: MetricsWriter(folder / name, setup.step) for name in METRICS}
        except (OSError, tf.errors.OpError) as error:
            raise StorageError(f"--model_dir={folder}: {error}") from None
        self._writers["train"].write_texts(setup.step, _texts(setup))

    def check(self) -> None:
        """Raises what keeps the run from writing on: see BackgroundSaver.check.

        Raises:
            StorageError: the folder was removed or moved away. It is not made again: what was
                moved would go on without its end, and what was removed would be a part.
        """
        self._lock.require_held()
        self._saver.check()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self.check()
        self._writers["train"].write(step, values)

    def show(self, step: int, batch: Batch) -> None:
        some = {name: values[:SHOWN_IMAGES] for name, values in batch.items()}
        self._writers["train"].write_images(step, "first batch", finished(some, self._color))

    def save(self, step: int, state: TrainState, entries: Mapping[str, Any]) -> None:
        self._saver.save(step, state.arrays(), entries)

    def report(self, step: int, values: Mapping[str, float]) -> None:
        self.check()
        self._writers["validation"].write(step, values)
        self._saver.add_scores(step, values)
        self._draw()
        log.info(scoring_line(values))

    def finish(self) -> None:
        self._saver.wait()
        self.check()
        self._saver.finish()

    def close(self) -> None:
        self._saver.wait()
        for writer in self._writers.values():
            writer.close()

    def _draw(self):
        """A picture is no reason to end a run: whatever goes wrong is said once."""
        try:
            draw_curves(self._folder, self._title, self._paper)
        except Exception as error:
            self.check()
            if not self._curves_fail:
                log.warning("curves not drawn, training continues: %.300s", error)
            self._curves_fail = True


def _texts(setup):
    """Name -> Markdown: the settings, and the size of the network."""
    plan, model = setup.plan, setup.update.replica_pass.model
    trainable, total = parameters(model)
    size = (f"{plan.config.network.net}: {len(model.layers):,} layers, {total:,} parameters "
            f"({trainable:,} trained), {multiply_adds(model):,} multiply-adds an image")
    return {"network": size, "config": f"```json\n{plan.config.to_json()}```"}


def records_of(setup: Setup, lock: FolderLock | None) -> Records:
    """The Records of a run; `lock` is that of its folder, None on workers that write nothing."""
    return FolderRecords(setup, lock) if lock else Records()
