"""Where in a picture a class was seen: class activation maps (Zhou et al., arXiv 1512.04150).

These networks end in a mean over the grid and one dense layer, so a logit is exactly the
mean over the grid of each cell's features times the class' weights: no gradients, nothing
approximated.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from inception_tf.labels import plain, short
from inception_tf.serving.classifier import Classifier
from inception_tf.serving.predictor import Prediction

SHOWN = 3


class Explainer:
    """Activation maps of a classifier."""

    def __init__(self, classifier: Classifier):
        model = classifier.model
        kernel = model.get_layer("logits").kernel.numpy()[:, classifier.first_class:]
        # Softmax depends only on differences of logits: each class is compared with the mean.
        self._kernel = kernel - kernel.mean(axis=1, keepdims=True)
        # Before the pool; with final_batch_norm that is the normalised grid.
        grid = keras.Model(model.input, model.get_layer("pre_logits").input)
        self.grid_shape = tuple(grid.output.shape[1:3])
        spec = tf.TensorSpec([None, *model.input.shape[1:]], tf.float32)
        self._grid = tf.function(lambda x: grid(x, training=False), input_signature=[spec],
                                 autograph=False)

    def maps(self, image: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Each class's logit in every cell of the last grid, minus the mean over all classes.

        The mean over the cells is the logit minus the mean of the logits, biases left out.

        Shape: [S, S, 3] float32 in [-1, 1], n classes -> [n, H, W] float32.
        """
        features = self._grid(image[np.newaxis])[0].numpy()
        return np.moveaxis(features @ self._kernel[:, classes], -1, 0)


def write_picture(path: str, explainer: Explainer, prediction: Prediction,
                  class_names: Sequence[str]) -> None:
    """Writes a PNG: the picture as the network saw it, and over it the maps of its best classes.

    Args:
        path: of the PNG.
        explainer: of the network that made the prediction.
        prediction: with image and probabilities.
        class_names: as captions show them.
    """
    image, probabilities = map(np.asarray, (prediction.image, prediction.probabilities))
    best = np.argsort(-probabilities, kind="stable")[:SHOWN]
    maps = explainer.maps(image, best)
    limit = max(float(np.abs(maps).max()), 1e-12)
    figure = Figure(figsize=(3.2 * (1 + len(best)), 3.6), layout="constrained")
    axes = figure.subplots(1, 1 + len(best))
    picture = (image + 1) / 2
    size = len(picture)
    axes[0].imshow(picture)
    axes[0].set_title(plain(Path(prediction.path).name[-28:]), fontsize=9)
    grey = 0.5 + picture.mean(axis=2) / 2  # pale, so that the map stands out
    for axis, number, values in zip(axes[1:], best, maps, strict=True):
        axis.imshow(grey, cmap="gray", vmin=0, vmax=1)
        shown = axis.imshow(values, cmap="coolwarm", vmin=-limit, vmax=limit, alpha=0.6,
                            interpolation="bilinear", extent=(-0.5, size - 0.5, size - 0.5, -0.5))
        axis.set_title(f"{short(class_names[number], 40)}\n"
                       f"{100 * probabilities[number]:.1f} %", fontsize=9)
    for axis in axes:
        axis.set_axis_off()
    figure.colorbar(shown, ax=axes, shrink=0.8, label="logit of the cell, less that of all classes")
    figure.savefig(path, dpi=100)


def picture_names(paths: Iterable[str]) -> dict[str, str]:
    """Path -> name of its PNG: the file's own, with a number where two files share one."""
    taken: set[str] = set()
    names: dict[str, str] = {}
    for path in paths:
        # File systems take 255 bytes.
        stem = name = os.fsdecode(os.fsencode(Path(path).stem)[:240])
        number = 2
        while name in taken:
            name, number = f"{stem}_{number}", number + 1
        taken.add(name)
        names[path] = f"{name}.png"
    return names
