"""What a run will do, in numbers, before any of it is done."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from inception_tf.config import Config
from inception_tf.data.sources import Source
from inception_tf.errors import UsageError
from inception_tf.nets.sizes import image_bytes
from inception_tf.runtime.devices import colors_on_device
from inception_tf.runtime.memory import require_memory
from inception_tf.training.paper_curves import TOP1, curve_of
from inception_tf.training.schedule import Schedule

# Steps of a warm-up at which the banner looks for the highest learning rate.
_TRIED = 10_001


@dataclass(frozen=True)
class BatchPlan:
    """How a global batch is cut: `passes` times `replicas` times `replica_batch` images."""

    global_batch: int
    replicas: int
    passes: int

    @property
    def pass_batch(self) -> int:
        """Images of one pass over all replicas."""
        return self.global_batch // self.passes

    @property
    def replica_batch(self) -> int:
        """Images of one pass on one replica."""
        return self.pass_batch // self.replicas


@dataclass(frozen=True)
class Plan:
    """What a run will do, and on which data.

    config: the run's.
    batches: how its global batch is cut.
    schedule: of learning rate and averaging.
    source, held_out: the training and the validation split.
    total: updates of the whole run.
    steps_per_call: updates of a call from Python at most.
    """

    config: Config
    batches: BatchPlan
    schedule: Schedule
    source: Source
    held_out: Source
    total: int
    steps_per_call: int

    def period(self, epochs: float) -> int:
        """Updates between two things done every `epochs` epochs; 0: once, at the run's end."""
        return max(1, self.schedule.steps(epochs)) if epochs else self.total

    def labels(self) -> dict[str, int]:
        """How a stream of batches makes its labels."""
        return {"num_classes": self.source.num_classes,
                "label_offset": int(self.config.network.background_class)}


def plan_batches(global_batch: int, replica_batch: int, replicas: int) -> BatchPlan:
    """The BatchPlan with as few passes as `replica_batch` allows.

    Raises:
        UsageError: the global batch cannot be cut evenly; the message has the numbers.
    """
    room = replicas * replica_batch
    if global_batch <= room and global_batch % replicas == 0:
        return BatchPlan(global_batch, replicas, 1)
    if global_batch % room:
        raise UsageError(
            f"--global_batch={global_batch} is not divisible by {replicas} replicas x "
            f"{replica_batch} per replica = {room}: change --global_batch or --replica_batch"
        )
    return BatchPlan(global_batch, replicas, global_batch // room)


def check_execution(config: Config) -> None:
    """Refuses what would fail later, in a traceback, and curves that the paper has not.

    Raises:
        UsageError: XLA with batch norm that is synchronized inside the compiled part, with
            --remat, or with --deterministic; the paper has no curve of the run's network.
    """
    if config.runtime.compare == "paper" and not curve_of(config.network.net,
                                                          config.data.dataset):
        raise UsageError(f"--compare=paper: the paper has curves of {', '.join(TOP1)} on "
                         f"imagenet2012, none of {config.network.net} on {config.data.dataset}")
    if config.execution.xla == "on" and config.execution.deterministic:
        raise UsageError("--xla=on with --deterministic: XLA has no deterministic gradient of max "
                         "pooling; drop one of the two")
    if config.execution.xla == "on" and config.execution.remat:
        raise UsageError("--xla=on with --remat: XLA merges what is computed twice, so nothing "
                         "would be saved; drop one of the two")
    if config.execution.xla == "on" and config.network.batch_norm == "synchronized":
        raise UsageError("--xla=on with --batch_norm=synchronized: XLA compiles each replica's "
                         "pass by itself, and there is no all-reduce inside it; drop one of the "
                         "two")


def require_room_for_updates(config: Config, batches: BatchPlan, share: float,
                             updates: int) -> None:
    """Refuses what would fill the memory with decoded images before the first update is made.

    Args:
        config: the run's.
        batches: its BatchPlan.
        share: of each pass, what this process reads.
        updates: of a call.

    Raises:
        UsageError: the images of one call's updates do not fit into memory.
    """
    o = config.optimization
    images = round(batches.pass_batch * share) * batches.passes * updates
    on_device = colors_on_device(config.execution.color_on)
    each = image_bytes(config.network.image_size) // (4 if on_device else 1)  # bytes, floats
    require_memory(images * each, f"--global_batch={o.global_batch}: keeping the {images:,} images "
                   "of a call", "take a smaller --global_batch or --steps_per_call")


def out_of_memory(config: Config, batches: BatchPlan) -> UsageError:
    """The error for an update that did not fit into the device's memory: what would fit."""
    ways = [] if config.execution.remat else ["--remat"]
    smaller = next((n for n in range(batches.replica_batch // 2, 0, -1)
                    if config.optimization.global_batch % (n * batches.replicas) == 0), 0)
    if smaller:
        ways.insert(0, f"--replica_batch={smaller}, which accumulates the same updates")
    return UsageError(
        f"the device's memory does not hold an update of {batches.replica_batch} images of "
        f"{config.network.image_size}x{config.network.image_size} a replica: take "
        f"{' or '.join(ways) or 'a device with more memory'}")


def total_steps(config: Config, schedule: Schedule) -> int:
    """Updates of the whole run: `epochs`, unless `max_steps` is shorter."""
    steps = schedule.steps(config.optimization.epochs)
    return min(steps, config.runtime.max_steps) if config.runtime.max_steps else steps


def banner(plan: Plan, devices: str) -> str:
    """The effective values of a run as a few lines of text; `devices` are the names of its own."""
    config, batches, schedule = plan.config, plan.batches, plan.schedule
    n, o, d = config.network, config.optimization, config.data
    return "\n".join([
        f"network        {n.net} width {n.width:g} at {n.image_size}x{n.image_size}, "
        f"{plan.source.num_classes} classes",
        f"data           {d.dataset}: {plan.source.num_examples} images per epoch "
        f"({d.train_split}), {plan.held_out.num_examples} scored ({d.eval_split})",
        f"data lies in   {plan.source.place}",
        f"devices        {devices}",
        f"precision      {config.execution.precision}",
        f"seed           {config.runtime.seed}",
        f"global batch   {o.global_batch} = {batches.passes} passes x {batches.replicas} replicas "
        f"x {batches.replica_batch}",
        f"length         {o.epochs:g} epochs, {schedule.steps_per_epoch:.1f} steps per epoch, "
        f"{plan.total} steps",
        f"optimizer      {o.optimizer}",
        f"learning rate  {o.schedule}: {_rates(schedule, plan.total)} epochs",
        f"model_dir      {config.runtime.model_dir}",
    ])


def _rates(schedule, total):
    """Such as "0.001 at epoch 0, 0.1 at 1 (peak), ...": the peak, and every quarter of the run."""
    last = max(0, total - 1)
    # The rate may rise only during the warm-up.
    risen = min(last, schedule.steps(schedule.optimization.warmup_epochs))
    rising = np.unique(np.linspace(0, risen, _TRIED, dtype=np.int64))
    peak = int(rising[np.argmax(schedule.learning_rate(tf.constant(rising)))])
    steps = sorted({peak, *(min(last, total * quarter // 4) for quarter in range(5))})
    rates = schedule.learning_rate(tf.constant(steps, tf.int64)).numpy()
    epochs = [f"{step / schedule.steps_per_epoch:.3g}" + " (peak)" * (step == peak)
              for step in steps]
    return ", ".join(f"{rate:.3g} at {epoch}" for rate, epoch in zip(rates, epochs, strict=True))
