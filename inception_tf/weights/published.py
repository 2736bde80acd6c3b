"""weights="imagenet": published weights put into one of our networks."""

import dataclasses
import os

import keras

from inception_tf.errors import StorageError, UsageError
from inception_tf.weights.download import fetched, keras_home
from inception_tf.weights.matching import TABLES, Conversion

CLASSES = 1000


@dataclasses.dataclass(frozen=True)
class Published:
    """One file in Keras' cache folder.

    source: project whose names its arrays have, a key of TABLES.
    name: of the file; further names are taken where the user has those.
    url: where it is published; "": to be fetched by the user (`advice` says from where).
    md5: of the file at `url`.
    """

    source: str
    name: str
    url: str = ""
    md5: str = ""
    advice: str = ""


_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications"
_V3 = "inception_v3_weights_tf_dim_ordering_tf_kernels.h5"
_RESNET = "inception_resnet_v2_weights_tf_dim_ordering_tf_kernels.h5"

# URLs and MD5 sums are those in the source of keras.applications (Keras 3.15). timm and
# TF-slim publish no hash, so nothing of theirs is downloaded by itself.
FILES = {
    "inception_v3": (
        Published("keras", _V3, f"{_KERAS}/inception_v3/{_V3}",
                  "9a0d58056eeedaa3f26cb7ebd46da564"),
    ),
    "inception_resnet_v2_released": (
        Published("keras", _RESNET, f"{_KERAS}/inception_resnet_v2/{_RESNET}",
                  "e693bd0210a403b3192acc6073ad2e96"),
    ),
    "inception_v4": (
        Published("timm", "inception_v4.safetensors",
                  advice="model.safetensors of huggingface.co/timm/inception_v4.tf_in1k"),
        Published("slim", "inception_v4.ckpt",
                  advice="from the archive inception_v4_2016_09_09.tar.gz of TF-slim"),
    ),
}


# What to do instead.
_OWN_FILE = ("give weights=PATH of a .keras or .weights.h5 file of this network, such as "
             "`inception-tf convert` writes")


def load_imagenet(model: keras.Model) -> None:
    """Puts the published ImageNet weights of `model`'s network into it.

    Raises: ValueError when nobody published any for it, its classifier is not that of
        ImageNet's 1000 classes, or the file is neither in the cache nor downloadable.
    """
    net = _network_of(model)
    _check_heads(model)
    published, path = _find(net)

    def given(_classes, gamma):
        if gamma and not any(weight.path.endswith("/gamma") for weight in model.weights):
            raise UsageError(f"{path} has a learned scale: build with batch_norm_gamma=True")
        return model

    try:
        Conversion(given, net, published.source, path, CLASSES).model()
    except UsageError as error:
        raise ValueError(f"weights='imagenet': {error}") from None


def _network_of(model):
    """The released network whose layers `model` has."""
    ours = _layers(weight.path for weight in model.weights)
    for net, (published, *_) in FILES.items():
        if ours == _layers(TABLES[published.source].names(net, {})):
            return net
    raise ValueError(
        f"weights='imagenet': nobody published weights for {model.name!r} as built here; there "
        f"are some for {', '.join(FILES)} in their own sizes")


def _layers(paths):
    layers = {path.rsplit("/", 1)[0] for path in paths}
    return {layer for layer in layers if not layer.startswith(("logits", "aux_"))}


def _check_heads(model):
    weights = {weight.path: weight for weight in model.weights}
    classes = weights["logits/bias"].shape[0] if "logits/bias" in weights else CLASSES
    if classes != CLASSES:
        raise ValueError(f"weights='imagenet' has {CLASSES} classes, classes={classes} was asked "
                         "for: take include_top=False, or fine-tune (train.py --init_from)")
    if any(path.startswith("aux_") for path in weights):
        raise ValueError("weights='imagenet' has no auxiliary head: build with aux_head=False")


def _find(net):
    """(Published, path) of the file, from Keras' cache or its place of publication."""
    folder = os.path.join(keras_home(), "models")
    for published in FILES[net]:
        path = os.path.join(folder, published.name)
        if published.url:
            return published, _fetched(published, folder)
        if os.path.exists(path) or os.path.exists(f"{path}.index"):
            return published, path
    places = " or ".join(f"{os.path.join(folder, p.name)} ({p.advice})" for p in FILES[net])
    raise ValueError(f"weights='imagenet': {net} is not downloaded by itself; put one file at "
                     f"{places}, or {_OWN_FILE}")


def _fetched(published, folder):
    """Path of the file with its published hash; one with another is not kept."""
    try:
        return fetched(published.url, f"md5:{published.md5}", folder, published.name)
    except (UsageError, StorageError) as error:
        raise ValueError(
            f"weights='imagenet': {error}; put that file (MD5 {published.md5}) at "
            f"{os.path.join(folder, published.name)}, or {_OWN_FILE}") from None
