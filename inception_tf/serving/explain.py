"""Where in a picture a class was seen: class activation maps (Zhou et al., arXiv 1512.04150).

These networks end in a mean over the grid and one dense layer, so a logit is exactly the
mean over the grid of each cell's features times the class' weights: no gradients, nothing
approximated.
"""

import os
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from inception_tf.labels import plain, short

SHOWN = 3


class Explainer:
    """Activation maps of a classifier.Classifier."""

    def __init__(self, classifier):
        model = classifier.model
        kernel = model.get_layer("logits").kernel.numpy()[:, classifier.first_class:]
        # Softmax sees only how logits differ: a class is held against the mean of all.
        self._kernel = kernel - kernel.mean(axis=1, keepdims=True)
        # Ahead of the pool; under final_batch_norm that is its normalised grid.
        grid = keras.Model(model.input, model.get_layer("pre_logits").input)
        self.grid_shape = tuple(grid.output.shape[1:3])
        spec = tf.TensorSpec([None, *model.input.shape[1:]], tf.float32)
        self._grid = tf.function(lambda x: grid(x, training=False), input_signature=[spec],
                                 autograph=False)

    def maps(self, image, classes):
        """What each cell of the last grid says for a class, against the mean of all classes.

        The mean of a map over its cells is the class' logit less the mean of the logits, but
        for the biases.

        Shape: [S, S, 3] float32 in [-1, 1], n classes -> [n, H, W] float32.
        """
        features = self._grid(image[np.newaxis])[0].numpy()
        return np.moveaxis(features @ self._kernel[:, classes], -1, 0)


def write_picture(path, explainer, prediction, class_names):
    """PNG of a picture as the network saw it, and the maps of its best classes over it."""
    best = np.argsort(-prediction.probabilities, kind="stable")[:SHOWN]
    maps = explainer.maps(prediction.image, best)
    limit = max(float(np.abs(maps).max()), 1e-12)
    figure = Figure(figsize=(3.2 * (1 + len(best)), 3.6), layout="constrained")
    axes = figure.subplots(1, 1 + len(best))
    picture = (prediction.image + 1) / 2
    size = len(picture)
    axes[0].imshow(picture)
    axes[0].set_title(plain(Path(prediction.path).name[-28:]), fontsize=9)
    grey = 0.5 + picture.mean(axis=2) / 2  # pale, so that the map stands out
    for axis, number, values in zip(axes[1:], best, maps, strict=True):
        axis.imshow(grey, cmap="gray", vmin=0, vmax=1)
        shown = axis.imshow(values, cmap="coolwarm", vmin=-limit, vmax=limit, alpha=0.6,
                            interpolation="bilinear", extent=(-0.5, size - 0.5, size - 0.5, -0.5))
        axis.set_title(f"{short(class_names[number], 40)}\n"
                       f"{100 * prediction.probabilities[number]:.1f} %", fontsize=9)
    for axis in axes:
        axis.set_axis_off()
    figure.colorbar(shown, ax=axes, shrink=0.8, label="logit of the cell, less that of all classes")
    figure.savefig(path, dpi=100)


def picture_names(paths):
    """Path -> name of its PNG: that of the file, with a number where two are called the same."""
    taken, names = set(), {}
    for path in paths:
        # File systems take 255 bytes.
        stem = name = os.fsdecode(os.fsencode(Path(path).stem)[:240])
        number = 2
        while name in taken:
            name, number = f"{stem}_{number}", number + 1
        taken.add(name)
        names[path] = f"{name}.png"
    return names
