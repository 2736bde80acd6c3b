"""A folder of JPEGs to sorted classes against the network alone: what reading and decoding cost.

    python -m benchmarks.predict [--quick]

A round times two things one after the other, in one process:
  network   the compiled network on as many images in memory, in the same batches
  predict   the files, through `serving.predictor.predictions`: read, decode, cut, network;
            classes sorted, nothing printed
and the ratio of the two in wall and CPU seconds (of all threads); medians over rounds.
Photographs of 500x375 pixels. The network alone is the floor of the files; its own floor is the
multiply-adds at the rate of a matrix product in the same run.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import harness
from inception_tf.commands.shell import import_tensorflow

# name: preset fields, files, rounds.
CASES = {"inception_resnet_v2 at 299": ({"net": "inception_resnet_v2", "image_size": 299,
                                         "width": 1.0, "repeats": ()}, 64, 5)}
QUICK = {"tiny network at 75": ({"width": 0.07}, 40, 1)}


def main():
    """Prints a line a case; keeps the result."""
    arguments = harness.arguments(__doc__)
    result = {"matrix_gflops": harness.matrix_rate(256 if arguments.quick else 4096), "cases": {}}
    for name, case in (QUICK if arguments.quick else CASES).items():
        result["cases"][name] = row = measure(*case)
        floor = row["floor_images_per_second"] = (
            harness.floor_rate(result["matrix_gflops"], row["multiply_adds"]))
        print(f"{name}: network / predict = {row['ratio']:.3f} by the clock, "
              f"{row['cpu_ratio']:.3f} by CPU seconds; "
              f"{row['images_per_second']['predict']:.1f} images/s, floor {floor:.1f}", flush=True)
    return harness.keep("predict", result, arguments.quick)


def measure(settings, files, rounds):
    """Seconds of both on both clocks, round by round, and the medians of their ratios."""
    from inception_tf.nets.anatomy import multiply_adds
    from inception_tf.serving import predictor as predictor_module

    predictor = _predictor(settings)
    size = predictor.preprocessing.image_size
    images = np.zeros((predictor_module.BATCH_SIZE, size, size, 3), np.float32)
    sizes = [min(predictor_module.BATCH_SIZE, files - i)
             for i in range(0, files, predictor_module.BATCH_SIZE)]
    with tempfile.TemporaryDirectory() as folder:
        paths = write_photographs(Path(folder), files)
        clocks = harness.interleaved({
            "network": lambda: [predictor.probabilities(images[:n]) for n in sizes],
            "predict": lambda: [p.probabilities.argsort()
                                for p in predictor_module.predictions(predictor, paths)],
        }, rounds)
    wall, cpu = ({name: found[clock] for name, found in clocks.items()}
                 for clock in ("wall", "cpu"))
    return {"files": files, "multiply_adds": multiply_adds(predictor.classifier.model),
            "seconds": {k: harness.spread(v) for k, v in wall.items()},
            "images_per_second": {k: files / harness.spread(v)["median"] for k, v in wall.items()},
            "ratio": harness.ratio(wall["network"], wall["predict"]),
            "cpu_seconds_per_image": {k: harness.spread(v)["median"] / files
                                      for k, v in cpu.items()},
            "cpu_ratio": harness.ratio(cpu["network"], cpu["predict"])}


def write_photographs(folder, count):
    """Paths of `count` JPEGs of one photograph, each cut and compressed a little differently."""
    photograph = harness.photograph()
    paths = []
    for i in range(count):
        x = i % 12
        picture = photograph.resize((512, 600)).crop((x, 2 * x, x + 500, 2 * x + 375))
        paths.append(str(folder / f"{i:05}.jpg"))
        picture.save(paths[-1], quality=85 + i % 10)
    return paths


def _predictor(settings):
    from inception_tf.config import preset
    from inception_tf.runs.network import build_network
    from inception_tf.serving.classifier import Classifier
    from inception_tf.serving.predictor import predictor_of

    config = preset("tiny").replace(aux_head=False, **settings)
    names = tuple(map(str, range(1000)))
    model = build_network(config.network, len(names))
    return predictor_of(Classifier(model, config.network, config.data, names, "raw", {}))


if __name__ == "__main__":
    import_tensorflow()  # as the command does
    sys.exit(not main())
