"""Does resuming cost the same anywhere in the epoch, in time and memory?

    python -m benchmarks.resume [--quick]

A data set of 200,000 small records in 64 files, prepared by TFDS as ArrayRecord and as TFRecord.
Two checkpoints of one run, at 0 % and at 95 % of an epoch; from each, interleaved, a process
resumes, makes one update and ends. The start of the epoch is the floor. The TFRecord index of
record offsets is made before; its rate gives an estimate for ImageNet.
"""

import io
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import harness

# Records, files, rounds that warm up, rounds.
FULL = (200_000, 64, 1, 3)
QUICK = (640, 4, 0, 1)
BATCH = 8
IMAGENET = 1_281_167


def main():
    """Prints a line a format; keeps the result."""
    arguments = harness.arguments(__doc__)
    records, files, *rounds = QUICK if arguments.quick else FULL
    result = {"records": records, "files": files, "formats": {}}
    with tempfile.TemporaryDirectory() as folder:
        for file_format in ("array_record", "tfrecord"):
            data_dir = Path(folder) / file_format
            harness.call("resume", "prepare", data_dir, file_format, records, files)
            row = {} if file_format == "array_record" else _index(data_dir)
            row |= _measure(Path(folder) / f"runs_{file_format}", data_dir, records, *rounds)
            result["formats"][file_format] = row
            print(f"{file_format}: resuming at 95 % takes {row['ratio']:.3f} of the time at 0 %, "
                  f"peak memory {row['peak_ratio']:.3f}", flush=True)
    return harness.keep("resume", result, arguments.quick)


# The next three run in processes of their own: a child's peak memory starts at its parent's.
def prepare(data_dir, file_format, records, files):
    """Writes the set `tiles`: `records` small JPEGs of ten classes, and a few to score."""
    import numpy as np
    import tensorflow_datasets as tfds
    from PIL import Image

    random, pictures = np.random.default_rng(0), []
    for _ in range(100):
        file = io.BytesIO()
        Image.fromarray(random.integers(0, 255, (16, 16, 3), np.uint8)).save(file, "JPEG")
        pictures.append(file.getvalue())

    class Tiles(tfds.core.GeneratorBasedBuilder):
        """Noise of 16x16 pixels."""

        VERSION = tfds.core.Version("1.0.0")
        pkg_dir_path = None

        def _info(self):
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict({
                "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
                "label": tfds.features.ClassLabel(num_classes=10)}))

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples(int(records)),
                    "validation": self._generate_examples(int(files))}

        def _generate_examples(self, count):
            for i in range(count):
                yield i, {"image": io.BytesIO(pictures[i % 100]), "label": i % 10}

    tfds.disable_progress_bar()
    Tiles(data_dir=data_dir, file_format=file_format).download_and_prepare(
        download_config=tfds.download.DownloadConfig(num_shards=int(files)))


def index(data_dir):
    """Seconds to find the offsets of every record of the prepared set."""
    from inception_tf.data.shards import record_offsets

    started = time.perf_counter()
    for path in Path(data_dir).rglob("*-train.tfrecord-*"):
        record_offsets(str(path))
    return time.perf_counter() - started


def move(model_dir, step):
    """Makes the checkpoint of step 1 one of `step`, as if training had reached it."""
    import numpy as np

    from inception_tf.runs import checkpoint

    root = Path(model_dir) / "checkpoints"
    arrays, manifest = checkpoint.load(root, 1)
    kept = {k: v for k, v in manifest.items() if k not in ("format", "step", "files", "sha256")}
    checkpoint.remove(checkpoint.folder_of(root, 1))
    checkpoint.save(root, int(step), {**arrays, "step": np.array(int(step))}, kept)


def _index(data_dir):
    seconds = float(harness.call("resume", "index", data_dir))
    records = _count(data_dir)
    return {"index_records_per_second": records / seconds,
            "imagenet_index_seconds_estimated": IMAGENET * seconds / records}


def _count(data_dir):
    (info,) = data_dir.rglob("dataset_info.json")
    splits = json.loads(info.read_text())["splits"]
    return sum(int(n) for s in splits if s["name"] == "train" for n in s["shardLengths"])


def _measure(folder, data_dir, records, warmup, rounds):
    """Whole processes that resume at 0 % and 95 %, interleaved: seconds and peak memory."""
    steps = {"0 %": 1, "95 %": records // BATCH * 95 // 100}
    start = folder / "start"
    _train(start, data_dir, 1)
    seen = {name: [] for name in steps}
    for number in range(warmup + rounds):
        for name, step in steps.items():
            run = folder / f"{step}_{number}"
            shutil.copytree(start, run)
            if step > 1:
                harness.call("resume", "move", run, step)
            done = _train(run, data_dir, step + 1)
            if number >= warmup:
                seen[name].append((done["seconds"], done["peak_mib"]))
    early, late = ([list(v) for v in zip(*seen[name], strict=True)] for name in steps)
    return {
        "seconds": {n: harness.spread(v[0]) for n, v in zip(steps, (early, late), strict=True)},
        "peak_mib": {n: harness.spread(v[1]) for n, v in zip(steps, (early, late), strict=True)},
        "ratio": harness.ratio(late[0], early[0]), "peak_ratio": harness.ratio(late[1], early[1]),
    }


def _train(model_dir, data_dir, max_steps):
    return harness.process([
        "-m", "inception_tf", "train", "--preset=tiny", "--dataset=tiles",
        f"--data_dir={data_dir}", f"--model_dir={model_dir}", f"--global_batch={BATCH}",
        f"--max_steps={max_steps}", "--epochs=2", "--eval_every_epochs=0",
        "--checkpoint_every_epochs=0", "--log_every_steps=1000"])


if __name__ == "__main__":
    sys.exit(not main())
