"""facenet's Inception-ResNet-v1: one more block, and an embedding instead of the classifier.

Source: davidsandberg/facenet, `inception_resnet_v1.py` [F]. No classifier belongs to it, so
it is not among the networks that can be trained here.
"""

from collections.abc import Sequence

import keras

from inception_tf.nets.assembly import WeightsPath, count, dropped, image_input, model_of
from inception_tf.nets.inception_resnet_v1 import SPECS, body, inception_resnet_c
from inception_tf.nets.layers import LayerOptions, Tensor, batch_norm, layer_options

# facenet aligns faces to this size [F].
FACE_SIZE = 160


def FacenetInceptionResNetV1(
    embedding_size: int = 512,
    weights: WeightsPath = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Sequence[int | None] = (FACE_SIZE, FACE_SIZE, 3),
    name: str = "facenet_inception_resnet_v1",
    *,
    dropout: float = 0.2,
    width: float = 1.0,
    batch_norm_momentum: float = 0.995,
    batch_norm_gamma: bool = False,
) -> keras.Model:
    """Faces to points on the unit sphere: near ones are of one person.

    Args:
        embedding_size: 128 or 512 in the published checkpoints.
        weights: a .keras or .weights.h5 file, such as `convert --from=facenet` writes.
        input_tensor, input_shape, name: as in `InceptionV4`.
        dropout, width, batch_norm_momentum, batch_norm_gamma: likewise.

    Shape: [N, H, W, 3], prewhitened as the weights ask for -> [N, embedding_size], of
    length one.
    """
    spec = SPECS["inception_resnet_v1"]
    size, dropout = count(embedding_size, "embedding_size"), dropped(dropout)
    layers = LayerOptions(kernel_initializer=spec.initializers.conv, width=width,
                          batch_norm_momentum=batch_norm_momentum,
                          batch_norm_gamma=batch_norm_gamma)
    with layer_options(layers):
        image = image_input(input_tensor, input_shape, include_top=True)
        x, _ = body(image, spec.repeats, spec.residual_scales)
        x = inception_resnet_c(x, 1.0, f"inception_resnet_c_{spec.repeats[2] + 1}", relu=False)
        x = embedding(x, size, dropout, spec.initializers.logits)
        return model_of(image, x, weights, name)


def embedding(x: Tensor, size: int, dropout: float, kernel_initializer: str | dict) -> Tensor:
    """Average pool, dropout, a dense layer with batch norm, length one [F].

    Shape: [N, H, W, C] -> [N, size].
    """
    x = keras.layers.GlobalAveragePooling2D(data_format="channels_last", name="pre_logits")(x)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    x = keras.layers.Dense(
        size, use_bias=False, kernel_initializer=kernel_initializer, name="bottleneck"
    )(x)
    return keras.layers.UnitNormalization(name="embedding")(batch_norm(x, name="bottleneck_bn"))
