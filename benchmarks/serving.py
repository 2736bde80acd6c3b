"""Images per second and peak memory of one network in every form it can be served in.

    python -m benchmarks.serving [--quick]

keras.applications' InceptionResNetV2 with random weights (in a tf.function, and as Keras' own
SavedModel export) against our exports of the same weights and timm's network in PyTorch (its own
random weights: only time is compared). Both SavedModels also with oneDNN switched on, and off.
Each runs in its own process and waits while another has its turn; rounds A B C A B C at each
batch size, float32 images in, probabilities out. int8 gets its ranges from a few photographs, since
only time, size and memory are compared. A process that ends, for example killed for
memory, is not measured from then on; the others continue. The floor is the multiply-adds of the
network at the matrix rate measured in the same run: our SavedModel, which needs fewer, may lie
above it.
"""

import functools
import json
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import harness

BATCH_SIZES = (1, 8, 32)
ROUNDS = 3
# A turn takes at least this long, in as many passes as that needs.
TURN_SECONDS = 2.0
CALIBRATION_IMAGES = 8
BASE = "keras.applications, SavedModel"
OURS = "ours, SavedModel"
# Kernels that TensorFlow takes where there is no AVX-512.
EIGEN = {"TF_ENABLE_ONEDNN_OPTS": "0"}
BASE_EIGEN, OURS_EIGEN = f"{BASE}, Eigen", f"{OURS}, Eigen"
# name: what loads it (a function below), the format it needs, its environment.
CASES = {
    "keras.applications, tf.function": ("keras_function", None, {}),
    BASE: ("keras_saved_model", None, {}),
    OURS: ("exported", "savedmodel", {}),
    BASE_EIGEN: ("keras_saved_model", None, EIGEN),
    OURS_EIGEN: ("exported", "savedmodel", EIGEN),
    "ours, SavedModel, bfloat16": ("exported", "savedmodel-bfloat16", {}),
    "ours, ONNX Runtime": ("exported", "onnx", {}),
    "ours, ONNX Runtime, int8": ("exported", "onnx-int8", {}),
    "ours, OpenVINO": ("exported", "openvino", {}),
    "ours, OpenVINO, int8": ("exported", "openvino-int8", {}),
    "ours, LiteRT": ("exported", "litert", {}),
    "ours, LiteRT, 8-bit weights": ("exported", "litert-dynamic", {}),
    "timm, PyTorch": ("timm_network", None, {}),
}


def main():
    """Prints a line a case and batch size; keeps the result."""
    arguments = harness.arguments(__doc__, load="", folder="")
    if arguments.load:
        harness.answer_questions(lambda: _answers(arguments.load, arguments.folder))
    else:
        harness.keep("serving", run(arguments.quick), arguments.quick)


def run(quick):
    """The whole comparison; a dict for the results file."""
    with tempfile.TemporaryDirectory() as folder:
        size = "tiny" if quick else "full"
        exports = json.loads(harness.call("serving", "prepare", folder, size))
        makers = {name: functools.partial(child, loader, Path(folder) / (kind or ""), environment)
                  for name, (loader, kind, environment) in CASES.items()}
        with harness.children(makers) as (cases, missing):
            sizes = BATCH_SIZES[:1] if quick else BATCH_SIZES
            rows = {str(size): measure(cases, missing, size, quick) for size in sizes}
            peaks = dict(harness.answers_of(cases, missing, "peak"))
    rate = harness.matrix_rate(256 if quick else 4096)
    sizes_mb = {name: exports["mb"][kind] for name, (_, kind, _) in CASES.items()
                if kind in exports["mb"]}
    return {"exports": exports, "not_measured": missing, "batch_sizes": rows, "peak_mib": peaks,
            "size_mb": sizes_mb,
            "matrix_gflops": rate, "floor_images_per_second": harness.floor_rate(rate)}


def measure(cases, missing, batch_size, quick):
    """Images per second of each case, and its ratio to BASE, over rounds.

    Of OURS_EIGEN also `ratio_alike`: to BASE_EIGEN.
    """
    seconds = {name: [] for name in cases}
    for number in range(1 + (1 if quick else ROUNDS)):
        for name, per_pass in harness.answers_of(cases, missing, "time", batch_size,
                                                 0.0 if quick else TURN_SECONDS):
            if number:  # the first round warms up
                seconds[name].append(per_pass)
    rows = {}
    for name in cases:
        rows[name] = _row(name, {n: seconds[n] for n in cases}, batch_size)
        ratio = f"  {rows[name]['ratio']:.2f} x {BASE}" if "ratio" in rows[name] else ""
        print(f"batch {batch_size:2}  {name:34} "
              f"{rows[name]['images_per_second']['median']:8.2f} images/s{ratio}", flush=True)
    return rows


def _row(name, seconds, batch_size):
    row = {"images_per_second": harness.spread([batch_size / s for s in seconds[name]])}
    if BASE in seconds:
        row["ratio"] = harness.ratio(seconds[BASE], seconds[name])
    if name == OURS_EIGEN and BASE_EIGEN in seconds:
        row["ratio_alike"] = harness.ratio(seconds[BASE_EIGEN], seconds[name])
    return row


def child(loader, folder, environment=None):
    """A harness.Child that holds one case."""
    return harness.Child(["-m", "benchmarks.serving", f"--load={loader}", f"--folder={folder}"],
                         environment)


def _answers(loader, folder):
    import numpy as np

    call, shape = LOADERS[loader](folder)

    def per_pass(batch_size, turn):
        images = np.random.default_rng(0).uniform(-1, 1, (batch_size, *shape))
        return seconds_per_pass(call, images.astype(np.float32), turn)

    return {"time": per_pass}


def seconds_per_pass(call, images, turn):
    """Mean seconds of passes that together take `turn`, after one that is not counted."""
    call(images)
    passes, started = 0, time.perf_counter()
    while not passes or time.perf_counter() - started < turn:
        call(images)
        passes += 1
    return (time.perf_counter() - started) / passes


def keras_function(folder):
    """The network under a tf.function, as keras.applications' users call it."""
    import keras
    import tensorflow as tf

    model = keras.saving.load_model(Path(folder) / "network.keras")
    spec = tf.TensorSpec([None, *model.input.shape[1:]], tf.float32)
    call = tf.function(lambda x: model(x, training=False), input_signature=[spec])
    return lambda images: call(images).numpy(), model.input.shape[1:]


def keras_saved_model(folder):
    """Keras' own export of it."""
    import tensorflow as tf

    model = tf.saved_model.load(str(Path(folder) / "keras_saved_model"))
    (spec,) = model.signatures["serve"].structured_input_signature[1].values()
    return lambda images: model.serve(images).numpy(), spec.shape[1:]


def exported(folder):
    """Our export of it, on the runtime of its format."""
    from inception_tf.serving import runtimes

    manifest = json.loads((Path(folder) / "manifest.json").read_text())
    size = manifest["preprocessing"]["image_size"]
    return runtimes.load(Path(folder), manifest["kind"]), (size, size, 3)


def timm_network(folder):
    """timm's network, which takes channels first."""
    import torch

    from benchmarks.peers import import_timm

    model = import_timm().create_model("inception_resnet_v2", pretrained=False).eval()
    model = model.to(memory_format=torch.channels_last)

    def call(images):
        with torch.inference_mode():
            return model(torch.from_numpy(images).permute(0, 3, 1, 2)).softmax(1).numpy()

    return call, (299, 299, 3)


LOADERS = {f.__name__: f for f in (keras_function, keras_saved_model, exported, timm_network)}


def prepare(folder, size):
    """Writes the network, Keras' export and ours of the same weights; seconds of each, as JSON."""
    folder = Path(folder)
    model = _network(size)
    model.save(folder / "network.keras")
    seconds = {"Keras' SavedModel": harness.clocked(
        lambda: model.export(folder / "keras_saved_model", verbose=False))["wall"]}
    classifier = _classifier(model, _photographs(folder, model.output.shape[-1]))
    kinds = sorted({kind for _, kind, _ in CASES.values() if kind})
    for kind in kinds:
        seconds[kind] = _export(classifier, folder / kind)
    return json.dumps({"seconds": seconds, "mb": {
        kind: sum(p.stat().st_size for p in (folder / kind).rglob("*") if p.is_file()) / 1e6
        for kind in kinds if (folder / kind).is_dir()}})


def _export(classifier, folder):
    """Seconds, or why it could not be written; what to write is in the name of the folder."""
    from inception_tf.errors import UsageError
    from inception_tf.serving.export import ExportRequest, export

    name, _, reduced = folder.name.partition("-")
    options = {"precision" if reduced == "bfloat16" else "quantize": reduced} if reduced else {}
    request = ExportRequest(name, **options, check_images=0, calibration_images=CALIBRATION_IMAGES)
    try:
        return harness.clocked(lambda: export(classifier, folder, request))["wall"]
    except UsageError as missing:
        return str(missing)


def _photographs(folder, classes):
    """Settings of a data set of CALIBRATION_IMAGES photographs, of that many classes."""
    from benchmarks.predict import write_photographs
    from inception_tf.config import Config

    pictures = folder / "pictures" / "train"
    for number in range(classes):
        (pictures / f"{number:04}").mkdir(parents=True)
    write_photographs(pictures / "0000", CALIBRATION_IMAGES)
    return Config().replace(dataset="folder", data_dir=str(folder / "pictures"),
                            allow_empty_classes=True)


def _network(size):
    """keras.applications' network with random weights; a small network for the quick form."""
    import keras

    from inception_tf import nets

    keras.utils.set_random_seed(0)
    if size == "full":
        model = keras.applications.InceptionResNetV2(weights=None)
    else:
        model = nets.build("inception_resnet_v2_released", width=0.07, repeats=(1, 1, 1),
                           classes=5, input_shape=(75, 75, 3))
    for layer in model.layers:
        # As if trained: TensorFlow leaves out biases of zero.
        for weight in (getattr(layer, name, None) for name in ("beta", "bias")):
            if weight is not None:
                weight.assign(keras.random.normal(weight.shape, stddev=0.1))
    return model


def _classifier(model, config):
    """The same weights in our network, with the data of `config`."""
    from inception_tf.runs.network import build_network
    from inception_tf.serving.classifier import Classifier
    from inception_tf.weights.matching import Conversion

    config = config.replace(net="inception_resnet_v2_released", aux_head=False)
    if model.count_params() < 1e6:
        config = config.replace(width=0.07, repeats=(1, 1, 1), image_size=75)
        network = build_network(config.network, 5)
        network.set_weights(model.get_weights())
    else:
        with tempfile.TemporaryDirectory() as scratch:
            model.save(Path(scratch) / "network.keras")
            network = Conversion(
                lambda classes, gamma: build_network(config.network, classes),
                config.network.net, "keras", str(Path(scratch) / "network.keras")).model()
    names = tuple(f"{number:04}" for number in range(network.output.shape[-1]))
    return Classifier(network, config.network, config.data, names, "raw", {})


if __name__ == "__main__":
    sys.exit(main())
