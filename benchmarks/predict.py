"""A folder of JPEGs to top-5 beside the network alone: what decoding and printing cost.

    python -m benchmarks.predict [--quick]

A round times two things after each other, in one process:
  network   the compiled network on as many images, in the same batches, that lie ready
  predict   the files, through `serving.predict.predictions`: read, decode, cut, network
and the ratio of the two; the median over rounds. Photographs of 500x375 pixels.
"""

import tempfile
from pathlib import Path

import numpy as np
from matplotlib import cbook
from PIL import Image

from benchmarks import harness

# name: preset fields, files, rounds.
CASES = {"inception_resnet_v2 at 299": ({"net": "inception_resnet_v2", "image_size": 299,
                                         "width": 1.0, "repeats": ()}, 64, 5)}
QUICK = {"tiny network at 75": ({"width": 0.07}, 40, 1)}


def main():
    """Prints a line a case; keeps the result."""
    arguments = harness.arguments(__doc__)
    result = {}
    for name, case in (QUICK if arguments.quick else CASES).items():
        result[name] = row = measure(*case)
        print(f"{name}: network / predict = {row['ratio']:.3f}, "
              f"{row['images_per_second']['predict']:.1f} images/s", flush=True)
    harness.keep("predict", {"cases": result}, arguments.quick)


def measure(settings, files, rounds):
    """Seconds of both, round by round, and the median of their ratios."""
    from inception_tf.serving import predict

    predictor = _predictor(settings)
    size = predictor.preprocessing.image_size
    images = np.zeros((predict.BATCH_SIZE, size, size, 3), np.float32)
    sizes = [min(predict.BATCH_SIZE, files - i) for i in range(0, files, predict.BATCH_SIZE)]
    with tempfile.TemporaryDirectory() as folder:
        paths = write_photographs(Path(folder), files)
        seconds = harness.interleaved({
            "network": lambda: [predictor.probabilities(images[:n]) for n in sizes],
            "predict": lambda: [p.probabilities.argsort()
                                for p in predict.predictions(predictor, paths)],
        }, rounds)
    return {"files": files, "seconds": {k: harness.spread(v) for k, v in seconds.items()},
            "images_per_second": {k: files / harness.spread(v)["median"]
                                  for k, v in seconds.items()},
            "ratio": harness.ratio(seconds["network"], seconds["predict"])}


def write_photographs(folder, count):
    """Paths of `count` JPEGs of one photograph, each cut and compressed a little differently."""
    photograph = Image.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
    paths = []
    for i in range(count):
        x = i % 12
        picture = photograph.resize((512, 600)).crop((x, 2 * x, x + 500, 2 * x + 375))
        paths.append(str(folder / f"{i:05}.jpg"))
        picture.save(paths[-1], quality=85 + i % 10)
    return paths


def _predictor(settings):
    from inception_tf.config import preset
    from inception_tf.evaluation.models import build_network
    from inception_tf.serving.classifier import Classifier
    from inception_tf.serving.predict import predictor_of

    config = preset("tiny").replace(aux_head=False, **settings)
    names = tuple(map(str, range(1000)))
    model = build_network(config.network, len(names))
    return predictor_of(Classifier(model, config.network, config.data, names, "raw", {}))


if __name__ == "__main__":
    main()
