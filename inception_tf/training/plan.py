"""What a run will do, in numbers, before any of it is done."""

from dataclasses import dataclass

from inception_tf.errors import UsageError
from inception_tf.training.schedule import Schedule

BANNER_EPOCHS = (0, 10, 50, 100)


@dataclass(frozen=True)
class BatchPlan:
    """How a global batch is cut: `passes` times `replicas` times `replica_batch` images."""

    global_batch: int
    replicas: int
    passes: int

    @property
    def pass_batch(self):
        """Images of one pass over all replicas."""
        return self.global_batch // self.passes

    @property
    def replica_batch(self):
        """Images of one pass on one replica."""
        return self.pass_batch // self.replicas


def plan_batches(global_batch, replica_batch, replicas):
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


def check_execution(config):
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


def total_steps(config, num_examples):
    """Updates of the whole run: `epochs`, unless `max_steps` is shorter."""
    steps = Schedule(config.optimization, num_examples).steps(config.optimization.epochs)
    return min(steps, config.runtime.max_steps) if config.runtime.max_steps else steps


def banner(config, batches, num_examples, num_classes):
    """The effective values of a run as a few lines of text."""
    schedule = Schedule(config.optimization, num_examples)
    rates = ", ".join(
        f"{float(schedule.learning_rate(schedule.steps(epoch))):.4g} at {epoch}"
        for epoch in BANNER_EPOCHS
    )
    n, o = config.network, config.optimization
    return "\n".join([
        f"network        {n.net} width {n.width:g} at {n.image_size}x{n.image_size}, "
        f"{num_classes} classes",
        f"data           {config.data.dataset}: {num_examples} images per epoch",
        f"global batch   {o.global_batch} = {batches.passes} passes x {batches.replicas} replicas "
        f"x {batches.replica_batch}",
        f"length         {o.epochs:g} epochs, {num_examples / o.global_batch:.1f} steps per epoch, "
        f"{total_steps(config, num_examples)} steps",
        f"optimizer      {o.optimizer}, learning rate {rates} epochs",
        f"model_dir      {config.runtime.model_dir}",
    ])
