"""What a run needs before its first update: data, plan, network, state, and where it resumes."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras

from inception_tf.config import Config
from inception_tf.data.batches import scoring_batches, training_batches
from inception_tf.data.open import open_source
from inception_tf.data.prepare import prepare_in_passing
from inception_tf.data.stream import ExampleStream
from inception_tf.data.views import preprocessing_of
from inception_tf.errors import UsageError
from inception_tf.runs import checkpoint
from inception_tf.runs.folder import checkpoints_of
from inception_tf.runs.network import build_network, require_room_for_batch
from inception_tf.runtime.devices import Devices, colors_on_device
from inception_tf.runtime.hardware import device_names, slow_precision, unused_gpu
from inception_tf.runtime.profile import StepProfile
from inception_tf.training import resume
from inception_tf.training.compilation import steps_per_call_of
from inception_tf.training.init_from import start_new_run
from inception_tf.training.plan import (
    Plan,
    banner,
    plan_batches,
    require_room_for_updates,
    total_steps,
)
from inception_tf.training.schedule import Schedule
from inception_tf.training.state import TrainState
from inception_tf.training.step import TrainStep
from inception_tf.training.validation import Scorer, logits_of

log = logging.getLogger("inception_tf")


@dataclass(frozen=True)
class Setup:
    """A run that is ready for its next update.

    plan: what it will do.
    on: the devices.
    profile: of some of its steps.
    state: its variables, restored if it has a checkpoint.
    update: the TrainStep.
    scorer: of raw and averaged weights.
    machine: what decides the last bits of a sum.
    step: updates completed.
    bad_examples: id -> reason of those that were met before.
    unlogged: sums since the last line of the metrics (training/means.py).
    """

    plan: Plan
    on: Devices
    profile: StepProfile
    state: TrainState
    update: TrainStep
    scorer: Scorer
    machine: dict[str, str | int]
    step: int
    bad_examples: dict[str, str]
    unlogged: dict[str, float]

    def entries(self, bad_examples: Mapping[str, str],
                unlogged: Mapping[str, float]) -> dict[str, Any]:
        """What the manifest of a checkpoint says of the run."""
        plan, source = self.plan, self.plan.source
        return {
            "config": plan.config.to_json(),
            # Whoever watches the run knows by it when to stop.
            "last_step": plan.total,
            "class_names": list(source.class_names),
            "data": {"name": source.name, "fingerprint": source.fingerprint},
            "machine": self.machine,
            "bad_examples": dict(bad_examples),
            "unlogged": dict(unlogged),
        }


def set_up(config: Config, on: Devices, profile: StepProfile) -> Setup:
    """The Setup; an InceptionError where settings, data, devices and folder do not agree."""
    plan = _plan(config, on)
    profile.require_within(plan.total)
    if on.cluster.is_chief:
        resume.refuse_other_run(config)
        _announce(plan, on)
    model, state = _build(plan, on)
    update = TrainStep(on.strategy, model, state, plan.schedule, config.runtime.seed,
                       config.execution, config.data.color, plan.steps_per_call)
    machine = resume.machine_of(on)
    manifest = _restore(plan, state, machine)
    step = manifest.get("step", 0)
    on.require_agreement("newest checkpoint (is --model_dir shared?)", step)
    scorer = Scorer(on.strategy, logits_of(model, state))
    return Setup(plan, on, profile, state, update, scorer, machine, step,
                 manifest.get("bad_examples", {}), manifest.get("unlogged", {}))


def training_stream(setup: Setup) -> ExampleStream:
    """The batches of one pass each from the setup's step on, this worker's part of them."""
    plan, config = setup.plan, setup.plan.config
    stream = training_batches(
        plan.source, config.data, seed=config.runtime.seed,
        start=setup.step * plan.batches.global_batch, batch_size=plan.batches.pass_batch,
        prefetch=max(2, plan.batches.passes * plan.steps_per_call),
        part=setup.on.cluster.part(plan.batches.pass_batch),
        color_on_device=colors_on_device(config.execution.color_on),
        image_size=config.network.image_size, **plan.labels())
    stream.bad_examples.update(setup.bad_examples)
    return stream


def scoring_stream(setup: Setup) -> ExampleStream:
    """The batches of the validation split, this worker's part of them."""
    plan, config = setup.plan, setup.plan.config
    size = plan.batches.pass_batch
    return scoring_batches(
        plan.held_out, config.data, batch_size=size, part=setup.on.cluster.part(size),
        preprocessing=preprocessing_of(config.network, config.data), **plan.labels())


def _plan(config, on):
    o = config.optimization
    batches = plan_batches(o.global_batch, o.replica_batch, on.number)
    low, high = on.cluster.part(batches.pass_batch)
    require_room_for_batch(config.network, high - low, "--replica_batch")
    on.require_agreement("settings", resume.digest(config))
    source, held_out = _open_data(config.data, on)
    schedule = Schedule(o, source.num_examples)
    total = total_steps(config, schedule)
    updates = steps_per_call_of(config, on.number, batches.passes)
    require_room_for_updates(config, batches, (high - low) / batches.pass_batch,
                             min(updates, total))
    return Plan(config, batches, schedule, source, held_out, total, updates)


def _announce(plan, on):
    """Logs what the run will do, and what makes it slower than it need be."""
    log.info(banner(plan, device_names(on.strategy)))
    for warning in (unused_gpu(), slow_precision(plan.config.execution.precision, on.strategy)):
        if warning:
            log.warning("warning: %s", warning)


def _open_data(data, on):
    if data.manual_dir and on.cluster.is_chief:
        prepare_in_passing(data)
    on.require_agreement("data", 0)  # the others wait here while the chief prepares
    source = open_source(data, data.train_split)
    held_out = open_source(data, data.eval_split)
    if source.class_names != held_out.class_names:
        raise UsageError(f"--eval_split={data.eval_split} has other classes than "
                         f"--train_split={data.train_split}")
    return source, held_out


def _build(plan, on):
    config, precision = plan.config, plan.config.execution.precision
    keras.utils.set_random_seed(config.runtime.seed)
    with on.strategy.scope():
        model = build_network(config.network, plan.source.num_classes, precision=precision)
        start_new_run(config, model, plan.source.class_names)
    return model, TrainState(on.strategy, model, config.optimization, precision)


def _restore(plan, state, machine):
    """The manifest of the newest valid checkpoint, which `state` then has; {} without one."""
    def check(arrays, manifest):
        resume.check(manifest, plan.config, plan.source)
        state.check(arrays)

    root = checkpoints_of(plan.config.runtime.model_dir)
    found = checkpoint.load_newest(root, log.warning, check)
    if found is None:
        return {}
    arrays, manifest = found
    state.load(arrays)
    log.info("resuming from step %d in %s", manifest["step"], root)
    resume.warn_of_other_machine(manifest, machine)
    return manifest
