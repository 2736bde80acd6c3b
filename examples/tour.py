# %% [markdown]
# # A tour of inception_tf
#
# Build a network of the paper and look at one of its figures. Then train a small one on the
# pictures that come with the package (a few minutes on two CPU cores), score it, see where it
# looks, and export it. Nothing is downloaded. All files go to `tour/`, next to the notebook.
#
# First run `pip install .` in a clone ([README](../README.md#install)), and `pip install jupyter`.

# %%
import logging
import sys
from pathlib import Path

import matplotlib.pyplot as plt

import inception_tf

# What the package logs is shown here.
log = logging.getLogger("inception_tf")
log.setLevel(logging.INFO)
log.addHandler(logging.StreamHandler(sys.stdout))
log.propagate = False
logging.getLogger("tensorflow").setLevel(logging.ERROR)


def show(picture, width):
    """Shows a PNG (a path, or a file), `width` inches wide."""
    pixels = plt.imread(picture)
    figure = plt.figure(figsize=(width, width * pixels.shape[0] / pixels.shape[1]))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(pixels)
    axes.axis("off")


# %% [markdown]
# ## Build
#
# The builders have the signature of keras.applications and give plain Keras models. `endpoints`
# gives the inner tensors, by the names that figures and weights use.

# %%
model = inception_tf.InceptionV4()
print(f"{model.count_params():,} parameters")
for name, tensor in inception_tf.endpoints(model).items():
    print(f"{name:16} {tensor.shape[1:]}")

# %% [markdown]
# ## Look at a figure
#
# `draw` makes the drawing from the network that was built, so that it cannot differ from the code.
# This is Figure 5 of the paper, with its misprint marked. [docs/figures.md](../docs/figures.md) has
# all of them.

# %%
import io

from inception_tf.figures.picture import draw, rendered

show(io.BytesIO(rendered(draw(model, "inception_b_1"), "png")), width=8)

# %% [markdown]
# ## Data
#
# The embedded set is drawn by the package: 20 classes, five shapes in four textures.

# %%
from inception_tf.config import Data
from inception_tf.data.open import open_source
from inception_tf.data.prepare import prepare

data = Data(dataset="shapes", data_dir="tour/data")
prepare(data)
held_out = open_source(data, "validation")

figure, axes = plt.subplots(2, 5, figsize=(7.5, 3.4), layout="constrained")
for index, axis in enumerate(axes.flat):
    example = held_out.read(2 * index)
    axis.imshow(plt.imread(io.BytesIO(example.encoded), format="jpg"))
    axis.set_title(held_out.class_names[example.label], fontsize=9)
    axis.axis("off")

# %% [markdown]
# ## Train
#
# The demo's network is the paper's Inception-ResNet-v2 at a quarter of its width, with four blocks,
# for images of 80x80. Here it trains for 4 epochs instead of 12, with a learning rate that falls to
# 0 by then. A `Config` has every setting; `train` does what `inception-tf train` does. If it is
# stopped and called again, it resumes.

# %%
from inception_tf.training.loop import train

config = inception_tf.preset("demo").replace(
    data_dir="tour/data", model_dir="tour/run", epochs=4.0, warmup_epochs=0.5, schedule="cosine",
    ema_decay=0.99)
scores = train(config)

# %% [markdown]
# A run draws its curves itself, each time it is scored.

# %%
show("tour/run/curves.png", width=9)

# %% [markdown]
# ## Score
#
# The scores above are for the central crop of each image. Here is the mean over twelve crops, as in
# the paper's Table 3.

# %%
from inception_tf.evaluation.request import ScoringRequest
from inception_tf.evaluation.scoring import score_networks

(row,) = score_networks(ScoringRequest(model_dirs=("tour/run",), crops=12))["rows"]
low, high = row["top1_interval"]
print(f"top-1 error: {scores['ema_top1_error']:.2%} with 1 crop, {row['top1_error']:.2%} with 12 "
      f"(95 %: {low:.2%} to {high:.2%})")

# %% [markdown]
# ## Classify a picture
#
# `load` takes a run, an export or one of our `.keras` files, with its preprocessing and classes.

# %%
example = held_out.read(6)
picture = Path(f"tour/{held_out.class_names[example.label]}.jpg")
picture.write_bytes(example.encoded)

(answer,) = inception_tf.load("tour/run").predict(picture, top=3)
best = [f"{one['label']} {one['probability']:.2f}" for one in answer["top"]]
print(answer["image"], "->", ", ".join(best))

# %% [markdown]
# ## Explain
#
# Where in the picture does the network see each class? At 80x80 the last grid of this network is a
# single cell. But the networks take any size, with the same weights: at 144x144 the grid is 3x3.
# The network was not trained on pictures of this size, so its classes may differ from those above.

# %%
import dataclasses

from inception_tf.runs.network import build_network
from inception_tf.serving.classifier import open_run
from inception_tf.serving.explain import Explainer, write_picture
from inception_tf.serving.predictor import predictions, predictor_of

small = open_run("tour/run")
network = dataclasses.replace(small.network, image_size=144)
larger = build_network(network, num_classes=len(small.class_names))
larger.set_weights(small.model.get_weights())
predictor = predictor_of(dataclasses.replace(small, network=network, model=larger))

explainer = Explainer(predictor.classifier)
(prediction,) = predictions(predictor, [str(picture)])
write_picture("tour/explained.png", explainer, prediction, predictor.class_names)
show("tour/explained.png", width=10)

# %% [markdown]
# ## Export
#
# A SavedModel takes the bytes of pictures, so serving it needs none of our code. It is compared
# with the network before it gets its name. The folder also has a manifest and a model card.

# %%
from inception_tf.serving.export import export
from inception_tf.serving.formats import ExportRequest

manifest = export(small, "tour/export/1", ExportRequest(format="savedmodel"))
print(manifest["comparison"]["largest_difference"])
for file in manifest["files"]:
    print(f"{Path('tour/export/1', file).stat().st_size:9,} bytes  {file}")

# %% [markdown]
# TensorFlow alone can open it:

# %%
import tensorflow as tf

served = tf.saved_model.load("tour/export/1").signatures["serving_default"]
answers = served(tf.constant([picture.read_bytes()]))
print(picture, "->", answers["labels"][0, 0].numpy().decode(), f"{answers['scores'][0, 0]:.2f}")

# %% [markdown]
# ## From here
#
# * Every function used here, and the others: [docs/api.md](../docs/api.md).
# * Fine-tune on your own pictures, from published weights, with `train` or with Keras' `fit`:
#   [docs/finetuning.md](../docs/finetuning.md).
# * The same as commands: `inception-tf train`, `eval`, `predict`, `export`, `serve`
#   ([README](../README.md)).
# * ImageNet: [docs/training.md](../docs/training.md).
