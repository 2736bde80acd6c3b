"""What a run will do, in numbers, before any of it is done."""

from dataclasses import dataclass

from inception_tf.config import Config
from inception_tf.errors import UsageError
from inception_tf.nets.sizes import image_bytes
from inception_tf.runtime.devices import colors_on_device
from inception_tf.runtime.memory import require_memory
from inception_tf.training.schedule import Schedule

BANNER_EPOCHS = (0, 10, 50, 100)


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
    """Refuses what TensorFlow would refuse later, in a traceback.

    Raises:
        UsageError: XLA with batch norm that is synchronized inside the compiled part, or with
            --remat.
    """
    if config.execution.xla and config.execution.remat:
        raise UsageError("--xla with --remat: XLA merges what is computed twice, so nothing would "
                         "be saved; drop one of the two")
    if config.execution.xla and config.network.batch_norm == "synchronized":
        raise UsageError("--xla with --batch_norm=synchronized: XLA compiles each replica's pass "
                         "by itself, and there is no all-reduce inside it; drop one of the two")


def require_room_for_updates(config: Config, batches: BatchPlan, share: float, total: int) -> None:
    """Refuses what would fill the memory with decoded images before the first update is made.

    Args:
        config: the run's.
        batches: its BatchPlan.
        share: of each pass, what this process reads.
        total: updates of the run.

    Raises:
        UsageError: the images of one call's updates do not fit into memory.
    """
    o, updates = config.optimization, min(config.execution.steps_per_call, total)
    images = round(batches.pass_batch * share) * batches.passes * updates
    on_device = colors_on_device(config.execution.color_on)
    each = image_bytes(config.network.image_size) // (4 if on_device else 1)  # bytes, floats
    require_memory(images * each, f"--global_batch={o.global_batch}: keeping the {images:,} images "
                   "of a call", "take a smaller --global_batch or --steps_per_call")


def total_steps(config: Config, schedule: Schedule) -> int:
    """Updates of the whole run: `epochs`, unless `max_steps` is shorter."""
    steps = schedule.steps(config.optimization.epochs)
    return min(steps, config.runtime.max_steps) if config.runtime.max_steps else steps


def banner(config: Config, batches: BatchPlan, schedule: Schedule, num_classes: int) -> str:
    """The effective values of a run as a few lines of text.

    Args:
        config: the run's.
        batches: its BatchPlan.
        schedule: its Schedule.
        num_classes: of its data.
    """
    rates = ", ".join(
        f"{float(schedule.learning_rate(schedule.steps(epoch))):.4g} at {epoch}"
        for epoch in BANNER_EPOCHS
    )
    n, o = config.network, config.optimization
    return "\n".join([
        f"network        {n.net} width {n.width:g} at {n.image_size}x{n.image_size}, "
        f"{num_classes} classes",
        f"data           {config.data.dataset}: {schedule.num_examples} images per epoch",
        f"global batch   {o.global_batch} = {batches.passes} passes x {batches.replicas} replicas "
        f"x {batches.replica_batch}",
        f"length         {o.epochs:g} epochs, {schedule.steps_per_epoch:.1f} steps per epoch, "
        f"{total_steps(config, schedule)} steps",
        f"optimizer      {o.optimizer}, learning rate {rates} epochs",
        f"model_dir      {config.runtime.model_dir}",
    ])
