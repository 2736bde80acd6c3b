"""From a body to a keras.Model: what all public builders do in the same way."""

import keras

from inception_tf.nets.heads import outputs_of
from inception_tf.nets.inputs import image_input
from inception_tf.nets.layers import layer_options
from inception_tf.nets.weights_file import load_weights_file


def assemble(body, options, top, initializers, input_tensor, input_shape, weights, name):
    """Draw `body` and its top, make the model, load `weights` when given.

    `body` maps the image to (features, features for the auxiliary head).
    """
    image = image_input(input_tensor, input_shape, top.include_top)
    with layer_options(options):
        features, aux_features = body(image)
        outputs = outputs_of(features, aux_features, top, initializers)
    # A list of one input would make Keras warn at every call with a plain tensor.
    sources = keras.utils.get_source_inputs(image)
    model = keras.Model(sources[0] if len(sources) == 1 else sources, outputs, name=name)
    if weights is not None:
        load_weights_file(model, weights)
    return model
