"""Learning rate and batch plan: counted in images of the global batch."""

import dataclasses
import types

import pytest
import tensorflow as tf

from inception_tf.config import Optimization, preset
from inception_tf.errors import UsageError
from inception_tf.training.plan import Plan, banner, plan_batches, total_steps
from inception_tf.training.schedule import Schedule

IMAGENET = 1_281_167

# paper_facts, section 4: rate of 0.045 x 0.94 every two epochs.
PAPER_RATES = {0: 0.045, 20: 0.02424, 40: 0.01305, 60: 0.00703, 80: 0.00379,
               100: 0.00204, 120: 0.00110, 140: 0.00059, 160: 0.00032, 200: 0.0000925}


@pytest.mark.parametrize("epoch, rate", PAPER_RATES.items())
def test_learning_rate_of_the_paper_at_epoch(epoch, rate):
    schedule = Schedule(preset("paper").optimization, IMAGENET)
    assert float(schedule.learning_rate(schedule.steps(epoch))) == pytest.approx(rate, rel=0.01)


def test_learning_rate_is_a_staircase_in_images_not_steps():
    rates = {}
    for batch in (100, 200):
        schedule = Schedule(Optimization(global_batch=batch, decay_epochs=2.0), 1000)
        rates[batch] = [float(schedule.learning_rate(images // batch))
                        for images in range(0, 10_000, 200)]
    assert rates[100] == rates[200]
    assert len(set(rates[100])) == 5


def test_learning_rate_does_not_overflow_late_in_a_long_run():
    schedule = Schedule(Optimization(), IMAGENET)
    step = tf.constant(2**31, tf.int64)
    assert 0 <= float(schedule.learning_rate(step)) < 1e-20


def test_warmup_of_constant_rate_ends_in_the_schedule():
    o = Optimization(global_batch=10, warmup_epochs=1.0, warmup_rate=1e-5, learning_rate=1.0)
    rates = [float(Schedule(o, 40).learning_rate(step)) for step in range(6)]
    assert rates == pytest.approx([1e-5] * 4 + [1.0, 1.0])


def test_warmup_grows_linearly_and_then_leaves_the_schedule_alone():
    o = Optimization(global_batch=10, warmup_epochs=1.0, decay_epochs=1000.0, learning_rate=1.0)
    schedule = Schedule(o, 100)
    assert [round(float(schedule.learning_rate(s)), 5) for s in range(12)] == [
        0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.0, 1.0]


def test_cosine_falls_from_the_rate_through_its_half_to_zero_at_the_last_epoch():
    o = Optimization(global_batch=10, schedule="cosine", epochs=4.0, learning_rate=0.2)
    rates = [float(Schedule(o, 100).learning_rate(step)) for step in (0, 10, 20, 30, 40, 99)]
    assert rates == pytest.approx([0.2, 0.2 * (1 + 0.5**0.5) / 2, 0.1,
                                   0.2 * (1 - 0.5**0.5) / 2, 0.0, 0.0], abs=1e-8)


def test_cosine_of_a_run_cut_by_max_steps_is_that_of_its_epochs():
    config = preset("tiny").replace(schedule="cosine", epochs=4.0)
    rates = [float(Schedule(c.optimization, 80).learning_rate(7))
             for c in (config, config.replace(max_steps=8))]
    assert rates[0] == rates[1] > 0


def test_constant_schedule_leaves_the_rate_as_it_is():
    o = Optimization(global_batch=10, schedule="constant", learning_rate=0.3, decay_epochs=0.1)
    rates = [float(Schedule(o, 100).learning_rate(step)) for step in (0, 3, 10**6)]
    assert rates == pytest.approx([0.3] * 3)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_warmup_multiplies_every_schedule(schedule):
    o = Optimization(global_batch=10, schedule=schedule, epochs=8.0)
    plain = Schedule(o, 100)
    warm = Schedule(dataclasses.replace(o, warmup_epochs=1.0), 100)
    for step in range(12):
        share = min(1.0, (step + 1) / 10)
        assert float(warm.learning_rate(step)) == pytest.approx(
            share * float(plain.learning_rate(step)), rel=1e-6)


@pytest.mark.parametrize("step, decay", [(0, 2 / 11), (89, 91 / 100), (10**7, 0.9999)])
def test_ema_decay_warms_up_as_tf1(step, decay):
    assert float(Schedule(Optimization(), 10).ema_decay(step)) == pytest.approx(decay, rel=1e-6)


@pytest.mark.parametrize("batch, per_replica, replicas, passes", [
    (640, 32, 20, 1), (640, 32, 1, 20), (640, 32, 8, None), (640, 16, 8, 5), (8, 32, 2, 1),
    (7, 32, 2, None), (100, 16, 8, None)])
def test_plan_batches_cuts_evenly_or_refuses(batch, per_replica, replicas, passes):
    if passes is None:
        with pytest.raises(UsageError, match=f"--global_batch={batch} is not divisible by "
                                             f"{replicas} replicas x {per_replica} per replica"):
            plan_batches(batch, per_replica, replicas)
    else:
        assert plan_batches(batch, per_replica, replicas).passes == passes


def test_total_steps_counts_a_last_partial_batch_and_max_steps_cuts():
    config = preset("tiny").replace(epochs=2.0, global_batch=8)
    schedule = Schedule(config.optimization, 43)
    assert total_steps(config, schedule) == 11
    assert total_steps(config.replace(max_steps=3), schedule) == 3


def shown(config, num_examples=6000):
    """The banner of a run on data of that size."""
    schedule = Schedule(config.optimization, num_examples)
    source = types.SimpleNamespace(num_examples=num_examples, num_classes=20, place="/data/set")
    plan = Plan(config, plan_batches(config.optimization.global_batch, 32, 1), schedule, source,
                source, total_steps(config, schedule), steps_per_call=1)
    return banner(plan, "CPU, 2 cores")


def test_banner_shows_effective_values():
    text = shown(preset("paper").replace(seed=7, precision="mixed_bfloat16"), IMAGENET)
    for part in ("640 = 20 passes x 1 replicas x 32", "1281167 images per epoch (train)",
                 "2001.8 steps per epoch", "inception_v4", "CPU, 2 cores", "/data/set",
                 "seed           7\n", "mixed_bfloat16"):
        assert part in text


@pytest.mark.parametrize("settings, rates", [
    # One epoch of warm-up, in the middle of which the rate falls; 187.5 updates an epoch.
    ({}, "staircase: 2.67e-06 at 0, 0.00047 at 0.997 (peak), 0.000367 at 3, 0.000238 at 6, "
         "0.000175 at 9, 0.00012 at 12"),
    ({"warmup_epochs": 0.0, "max_steps": 188},
     "staircase: 0.0005 at 0 (peak), 0.0005 at 0.251, 0.00047 at 0.501, 0.00047 at 0.752, "
     "0.00047 at 0.997"),
    ({"warmup_epochs": 0.0, "schedule": "cosine", "epochs": 0.16, "global_batch": 96,
      "learning_rate": 1.0},
     "cosine: 1 at 0 (peak), 0.905 at 0.032, 0.5 at 0.08, 0.206 at 0.112, 0.0245 at 0.144"),
    ({"epochs": 0.0, "warmup_epochs": 0.0}, "staircase: 0.0005 at 0 (peak)"),
], ids=["demo", "part of an epoch", "cosine", "no step"])
def test_banner_shows_the_peak_of_the_learning_rate_and_every_quarter(settings, rates):
    assert f"learning rate  {rates} epochs\n" in shown(preset("demo").replace(**settings))
