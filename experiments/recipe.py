"""The recipe every experiment starts from: a run takes minutes on one core.

Tuned so that a small Inception-v3 ends between 10 and 30 % error, where networks still differ;
docs/claims.md has the runs that led to it.
"""

from inception_tf.config import preset

RECIPE = {
    "image_size": 107, "width": 0.2, "epochs": 8.0, "global_batch": 16, "learning_rate": 0.0005,
    "warmup_epochs": 0.3, "decay_epochs": 0.3, "ema_decay": 0.99, "log_every_steps": 75,
}
# Exercises every part of a run once.
QUICK = {
    "image_size": 75, "width": 0.07, "repeats": (1, 1, 1), "epochs": 1.0, "log_every_steps": 5,
    "replica_batch": 16,
}
# A few updates: of parts of the data, or of a folder, which has none, as many.
QUICK_PARTS = {"train_split": "train[:80]", "eval_split": "validation[:40]"}
QUICK_FOLDER = {"max_steps": 10}
# The figures' networks, for a GPU: not tuned, docs/claims.md says what was run of it.
FULL = {
    "image_size": 151, "width": 1.0, "repeats": (), "global_batch": 64, "replica_batch": 64,
    "dataset": "shapes/large",
}


def base(settings, **changes):
    """The recipe with an experiment's own `changes`; with `settings.full` at full size,
    with `settings.quick` the smallest.

    Flags of data override all of these.
    """
    full = FULL if settings.full else {}
    return preset("demo").replace(**{**RECIPE, **changes, **full, **quick_of(settings),
                                     **settings.data})


def quick_of(settings):
    """What `settings.quick` changes."""
    if not settings.quick:
        return {}
    folder = settings.data.get("dataset") == "folder"
    return {**QUICK, **(QUICK_FOLDER if folder else QUICK_PARTS)}
