"""`python -m tests.digests FILE`: what must not change when code is only moved, as JSON digests.

The real commands, each in a process of its own: three training runs (one of two workers), a
scoring of two networks with 12 crops, a predictions file, a SavedModel's answers, an ONNX file
(where its packages are installed), a conversion from each peer's format. Run it before and
after a change that should alter no number, on one machine, and compare the two files.
`--shapes=DIR` names the folder of the prepared embedded set; without it the second run is left
out. `--quick` makes the runs shorter.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

from inception_tf.nets import FacenetInceptionResNetV1
from tests import weight_files
from tests.parity.arrays import random_like
from tests.pictures import write_image_folder

# Answers of a SavedModel in a fresh process, as digests.
_ASK = """
import hashlib, pathlib, sys, tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
pictures = [path.read_bytes() for path in sorted(pathlib.Path(sys.argv[2]).rglob("*.jpg"))[:9]]
for name in ("serving_default", "features"):
    answers = model.signatures[name](image_bytes=tf.constant(pictures))
    for key in sorted(answers):
        print(name, key, hashlib.sha256(repr(answers[key].numpy().tolist()).encode()).hexdigest())
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--shapes", default="")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = digests(Path(folder), arguments.shapes, 6 if arguments.quick else 200)
    Path(arguments.file).write_text(json.dumps(found, indent=1) + "\n")


def digests(folder, shapes, steps):
    """Name -> digest (or dict of them) of everything this page promises."""
    images = write_image_folder(folder / "images", {"train": 40, "validation": 21})
    data = ("--dataset=folder", f"--data_dir={images}")
    tiny = ("--preset=tiny", *data, "--log_every_steps=1", "--max_steps=11", "--epochs=3")
    found = {"tiny": _train(folder / "a", *tiny, "--background_class"),
             "two workers": _train(folder / "b", *tiny, "--seed=3", within=(
                 "launch", "--num_workers=2", "--"))}
    if shapes:
        found["demo, accumulated"] = _train(
            folder / "demo", "--preset=demo", f"--data_dir={shapes}", f"--max_steps={steps}",
            "--replica_batch=8")
    _train(folder / "c", *tiny, "--background_class", "--seed=1")
    found["12 crops, two networks"] = _score(folder, folder / "a", folder / "c")
    found["predictions"] = _rows(folder / "a.predictions")
    found["SavedModel"] = _saved_model(folder, images)
    found["ONNX"] = _onnx(folder)
    return found | {f"convert {name}": value for name, value in _conversions(folder)}


def _run(*words):
    print("inception-tf", *words, flush=True)
    subprocess.run([sys.executable, "-m", "inception_tf", *map(str, words)], check=True)


def _train(model_dir, *flags, within=()):
    _run(*within, "train", *flags, f"--model_dir={model_dir}")
    newest = sorted((model_dir / "checkpoints").iterdir())[-1]
    rates = (model_dir / "train" / "metrics.csv").read_text().splitlines()
    names = rates[0].split(",")
    kept = [i for i, name in enumerate(names) if name != "images_per_second"]
    columns = [[line.split(",")[i] for i in kept] for line in rates]
    return {"step": newest.name, "arrays": _sha256((newest / "arrays.safetensors").read_bytes()),
            "train": _sha256(repr(columns).encode()),
            "validation": _sha256((model_dir / "validation" / "metrics.csv").read_bytes())}


def _score(folder, *runs):
    output = folder / "scores.json"
    files = ",".join(f"{run}.predictions" for run in runs)
    _run("eval", f"--model_dir={','.join(map(str, runs))}", "--protocol=12", f"--output={output}",
         f"--predictions={files}")
    wanted = ("num_images", "top1_error", "top5_error", "top1_correct", "cross_entropy", "networks")
    return [{key: row[key] for key in wanted if key in row}
            for row in json.loads(output.read_text())["rows"]]


def _rows(path):
    """Digest of the rows: the header tells where a run was."""
    return _sha256(path.read_bytes().partition(b"\n")[2])


def _saved_model(folder, images):
    export = folder / "export" / "1"
    _run("export", f"--model_dir={folder / 'a'}", f"--export_dir={export}")
    asked = subprocess.run([sys.executable, "-c", _ASK, str(export), str(images)], check=True,
                           capture_output=True, text=True)
    return asked.stdout.splitlines()


def _onnx(folder):
    try:
        import onnx
        import onnx.numpy_helper
        import tf2onnx  # noqa: F401
    except ImportError:
        return "not installed"
    export = folder / "onnx" / "1"
    _run("export", f"--model_dir={folder / 'a'}", f"--export_dir={export}", "--format=onnx")
    graph = onnx.load(str(export / "model.onnx")).graph
    # Names and order of the file differ from run to run.
    arrays = sorted(_sha256(onnx.numpy_helper.to_array(one).tobytes()) for one in graph.initializer)
    return _sha256(repr((sorted(node.op_type for node in graph.node), arrays)).encode())


def _conversions(folder):
    from safetensors.numpy import save_file

    slim = weight_files.write_checkpoint(
        folder / "slim.ckpt", weight_files.arrays("inception_v4", "slim", 1001))
    keras = weight_files.write_keras_2(
        folder / "keras.h5", weight_files.arrays("inception_v3", "keras"))
    timm = folder / "timm.safetensors"
    save_file(weight_files.arrays("inception_resnet_v2_released", "timm"), timm)
    faces = weight_files.write_checkpoint(folder / "faces.ckpt", _facenet_arrays())
    for source, path, net in (("slim", slim, "inception_v4"), ("keras", keras, "inception_v3"),
                              ("timm", timm, "inception_resnet_v2_released"),
                              ("facenet", faces, "inception_resnet_v1")):
        output = folder / f"{source}.weights.h5"
        _run("convert", f"--from={source}", f"--net={net}", f"--input={path}",
             f"--width={weight_files.WIDTH}", f"--output={output}")
        yield source, _arrays(output)


def _facenet_arrays():
    table = weight_files.names("inception_resnet_v1", "facenet")
    model = FacenetInceptionResNetV1(16, width=weight_files.WIDTH)
    return {table[w.path]: random_like(table[w.path], w.name, w.shape).astype("float32")
            for w in model.weights if w.path in table}


def _arrays(path):
    """Digest of the arrays in an HDF5 file, by name."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: np.asarray(item)})
                        if isinstance(item, h5py.Dataset) else None)
    digests_of = [(name, _sha256(found[name].tobytes())) for name in sorted(found)]
    return _sha256(repr(digests_of).encode())


def _sha256(content):
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    main()
