"""What an exported model answers: three functions over one network, as a SavedModel.

    serving_default  image_bytes [n] string -> probabilities, classes, scores, labels
    images           images [n, S, S, 3] float32 in [-1, 1] -> the same
    features         image_bytes [n] string -> features [n, C], logits [n, K]

The network is traced once and the three share it. The file holds TensorFlow operations only,
nothing of Keras.
"""

from pathlib import Path
from typing import Any

import tensorflow as tf

from inception_tf.data.views import scoring_crop
from inception_tf.serving.classifier import Classifier
from inception_tf.serving.saved_model.network import ServedNetwork
from inception_tf.serving.saved_model.operations import refuse_unknown_ops

TOP = 5


class Signatures(tf.Module):
    """The functions of `classifier` over `network`, made of its model."""

    def __init__(self, classifier: Classifier, network: ServedNetwork):
        super().__init__()
        # tf.Module saves the variables it can see.
        self.network_variables = network.variables
        size = classifier.preprocessing.image_size
        self._images = tf.TensorSpec([None, size, size, 3], tf.float32, "images")
        self._bytes = tf.TensorSpec([None], tf.string, "image_bytes")
        self._preprocessing = classifier.preprocessing
        self._max_pixels = classifier.data.max_image_pixels
        self._first_class = classifier.first_class
        self._labels = classifier.class_names
        # Concrete: TensorFlow traces a tf.function once more when it is saved.
        self._network = _traced(lambda images: _for_any_number(network, images), self._images)
        self._decoded = _traced(self._decode, self._bytes, autograph=True)

    def functions(self) -> dict[str, Any]:
        """Name -> concrete function, for tf.saved_model.save."""
        return {"serving_default": _traced(self._classes_of_bytes, self._bytes),
                "images": _traced(self._classes_of_images, self._images),
                "features": _traced(self._features_of_bytes, self._bytes)}

    def _classes_of_bytes(self, image_bytes):
        return self._classes_of_images(self._decoded(image_bytes))

    def _classes_of_images(self, images):
        logits, _ = self._network(images)
        probabilities = tf.nn.softmax(logits)[:, self._first_class:]
        scores, classes = tf.math.top_k(probabilities, k=min(TOP, len(self._labels)))
        return {"probabilities": probabilities, "scores": scores, "classes": classes,
                "labels": tf.gather(tf.constant(self._labels), classes)}

    def _features_of_bytes(self, image_bytes):
        logits, features = self._network(self._decoded(image_bytes))
        return {"features": features, "logits": logits}

    def _decode(self, image_bytes):
        size = self._preprocessing.image_size
        return tf.map_fn(
            lambda encoded: scoring_crop(encoded, self._preprocessing, self._max_pixels),
            image_bytes, fn_output_signature=tf.TensorSpec([size, size, 3], tf.float32))


def save(folder: Path, signatures: Signatures) -> None:
    """Writes the SavedModel.

    Raises: UsageError when it holds an operation that is not allowed (operations.py).
    """
    # Debug information would name folders of the machine.
    options = tf.saved_model.SaveOptions(save_debug_info=False)
    tf.saved_model.save(signatures, str(folder), signatures=signatures.functions(),
                        options=options)
    refuse_unknown_ops(folder)


def _for_any_number(network, images):
    """network(images), also of an empty batch, with which oneDNN's fused kernels fail.

    They fail after tf.pad too, which TensorFlow can fuse into a convolution.
    """
    number = tf.shape(images)[0]
    black = tf.zeros([tf.cast(number < 1, tf.int32), *images.shape[1:]])
    some = tf.concat([images, black], axis=0)
    return tuple(answer[:number] for answer in network(some))


def _traced(call, spec, autograph=False):
    return tf.function(call, input_signature=[spec], autograph=autograph).get_concrete_function()
