"""Whole commands for benchmarks/gpu_tensorflow.py, on photographs that are made for it."""

import concurrent.futures
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import harness

ROOT = Path(__file__).parents[1]
# As ImageNet's, whose mean is 500x375 too.
HEIGHT, WIDTH, QUALITY, CLASSES = 375, 500, 90, 40
SPLITS = {"train": 4000, "validation": 40}
BATCH = 128


def pipeline(quick):
    """`train.py --preset=paper` from JPEG files: images/s after the first quarter of the steps."""
    import numpy as np

    from inception_tf.runs.metrics import metrics_of

    steps, batch = (4, 2) if quick else (240, BATCH)
    with tempfile.TemporaryDirectory() as run:
        flags = ["--width=0.07", "--repeats=1,1,1", "--image_size=75"] if quick else []
        with harness.device_lock(alone=True):
            command("train", "--preset=paper", *photographs(quick), *flags,
                    "--net=inception_resnet_v2_released", "--aux_head=false", f"--model_dir={run}",
                    f"--precision={'float32' if quick else 'mixed_bfloat16'}",
                    f"--global_batch={batch}", f"--replica_batch={batch}",
                    f"--max_steps={steps}", f"--log_every_steps={steps // 4}",
                    "--eval_every_epochs=0", "--checkpoint_every_epochs=0")
        rates = [row["images_per_second"] for row in metrics_of(run, "train")]
    rates = rates[1:]
    return {"rates": rates, "says": f"{np.median(rates):.1f} images/s from files, batch {batch} "
            f"({min(rates):.1f} to {max(rates):.1f})"}


def input_speed(quick):
    """`inspect --input` of the same files."""
    found = command("inspect", "--input", *photographs(quick))
    return {"lines": found.splitlines(), "says": "\n" + found}


def command(name, *flags):
    """What `inception-tf NAME FLAGS` printed.

    Raises: RuntimeError, with its last line on standard error, when its exit code is not 0.
    """
    run = subprocess.run([sys.executable, "-m", "inception_tf", name, *flags], cwd=ROOT, text=True,
                         capture_output=True)
    if run.returncode:
        raise RuntimeError(failure(name, run.returncode, run.stderr))
    return run.stdout


def failure(name, code, said):
    """How a command failed, in one line."""
    return f"Error: {name} ended with code {code}: {(said.strip().splitlines() or [''])[-1][-500:]}"


def photographs(quick):
    """Flags for a folder of JPEG files, made where it is not there yet."""
    splits = dict.fromkeys(SPLITS, CLASSES) if quick else SPLITS
    name = f"inception_tf_photographs_{os.getuid()}_{sum(splits.values())}"
    folder = Path(tempfile.gettempdir()) / name
    wanted = [folder / split / f"class_{i % CLASSES:02}" / f"{i:05}.jpg"
              for split, count in splits.items() for i in range(count)]
    for path in {path.parent for path in wanted}:
        path.mkdir(parents=True, exist_ok=True)
    with concurrent.futures.ProcessPoolExecutor() as pool:
        missing = [path for path in wanted if not path.exists()]
        list(pool.map(write_photograph, missing, chunksize=50))
    return "--dataset=folder", f"--data_dir={folder}"


def write_photograph(path):
    """Noise that is smooth at several scales, which takes as many bytes as a photograph."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(int(path.stem))
    pixels = random.normal(128, 6, (HEIGHT, WIDTH, 3))
    for cells in (3, 12, 50):
        coarse = random.normal(0, 1, (cells, cells, 3)).astype(np.float32)
        pixels += 40 / cells ** 0.3 * np.stack([np.asarray(
            Image.fromarray(coarse[..., i]).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
            for i in range(3)], -1)
    aside = path.with_suffix(f".{os.getpid()}")
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(aside, "jpeg", quality=QUALITY)
    aside.rename(path)
