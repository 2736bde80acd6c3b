"""facenet's Inception-ResNet-v1: one more block, and an embedding instead of the classifier.

Source: davidsandberg/facenet, `inception_resnet_v1.py` [F]. No classifier belongs to it, so
it is not among the networks that can be trained here.
"""

import keras

from inception_tf.nets.assembly import dropped, image_input, model_of
from inception_tf.nets.inception_resnet_v1 import body, inception_resnet_c
from inception_tf.nets.layers import LayerOptions, batch_norm, layer_options
from inception_tf.nets.specs import INCEPTION_RESNET_V1, count

# facenet aligns faces to this size [F].
FACE_SIZE = 160


def FacenetInceptionResNetV1(
    embedding_size=512,
    weights=None,
    input_tensor=None,
    input_shape=(FACE_SIZE, FACE_SIZE, 3),
    name="facenet_inception_resnet_v1",
    *,
    dropout=0.2,
    width=1.0,
    batch_norm_momentum=0.995,
):
    """Faces to points on the unit sphere: near ones are of one person.

    Args:
        embedding_size: 128 or 512 in the published checkpoints.
        weights: a .keras or .weights.h5 file, such as `convert --from=facenet` writes.

    Shape: [N, H, W, 3], prewhitened as the weights ask for -> [N, embedding_size], of
    length one.
    """
    spec = INCEPTION_RESNET_V1
    size, dropout = count(embedding_size, "embedding_size"), dropped(dropout)
    with layer_options(LayerOptions(spec.initializers.conv, width, batch_norm_momentum)):
        image = image_input(input_tensor, input_shape, include_top=True)
        x, _ = body(image, spec.repeats, spec.residual_scales)
        x = inception_resnet_c(x, 1.0, f"inception_resnet_c_{spec.repeats[2] + 1}", relu=False)
        x = embedding(x, size, dropout, spec.initializers.logits)
        return model_of(image, x, weights, name)


def embedding(x, size, dropout, kernel_initializer):
    """Average pool, dropout, a dense layer with batch norm, length one [F].

    Shape: [N, H, W, C] -> [N, size].
    """
    x = keras.layers.GlobalAveragePooling2D(data_format="channels_last", name="pre_logits")(x)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    x = keras.layers.Dense(
        size, use_bias=False, kernel_initializer=kernel_initializer, name="bottleneck"
    )(x)
    return keras.layers.UnitNormalization(name="embedding")(batch_norm(x, name="bottleneck_bn"))
