"""Named starting points of a config: field -> value over the defaults of `config.py`."""

PRESETS: dict[str, dict] = {
    # For 6,000 small pictures and minutes on two cores, not for ImageNet: with so few
    # updates RMSProp has to adapt (small epsilon, hence a small rate); docs/training.md.
    "demo": {
        "net": "inception_resnet_v2",
        "image_size": 80,
        "width": 0.25,
        "repeats": (1, 2, 1),
        "dropout": 0.1,
        "aux_head": False,
        "batch_norm_momentum": 0.98,
        "min_crop_area": 0.5,
        "epochs": 12.0,
        "global_batch": 32,
        "learning_rate": 0.0005,
        "epsilon": 1e-6,
        "warmup_epochs": 1.0,
        "decay_epochs": 0.5,
        "clip_norm": 10.0,
        "label_smoothing": 0.05,
        "ema_decay": 0.999,
        "log_every_steps": 94,
        "model_dir": "runs/demo",
    },
    # arXiv 1602.07261; what it leaves open from [A], [V3], [S], [I]: the defaults above.
    "paper": {"dataset": "imagenet2012", "model_dir": "runs/paper"},
    # The paper's earlier runs: momentum 0.9 instead of RMSProp.
    "paper_momentum": {
        "dataset": "imagenet2012",
        "optimizer": "momentum",
        "model_dir": "runs/paper_momentum",
    },
    # The smallest network that has every part; for tests and first looks.
    "tiny": {
        "net": "inception_resnet_v1",
        "width": 0.07,
        "repeats": (1, 1, 1),
        "image_size": 75,
        "batch_norm_momentum": 0.9,
        "epochs": 1.0,
        "global_batch": 8,
        "replica_batch": 8,
        "ema_decay": 0.99,
        "model_dir": "runs/tiny",
    },
}
