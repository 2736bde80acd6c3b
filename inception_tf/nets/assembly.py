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
    with layer_options(options):
        image = image_input(input_tensor, input_shape, top.include_top)
        features, aux_features = body(image)
        outputs = outputs_of(features, aux_features, top, initializers)
        return model_of(image, outputs, weights, name)


def model_of(image, outputs, weights, name):
    """The keras.Model from where `image` comes from to `outputs`, with `weights` when given."""
    # A list of one input would make Keras warn at every call with a plain tensor.
    sources = keras.utils.get_source_inputs(image)
    _tell_apart(image, outputs, name)
    model = keras.Model(sources[0] if len(sources) == 1 else sources, outputs, name=name)
    if weights is not None:
        # The user's own layers before `image` are none of the file's.
        load_weights_file(keras.Model(image, outputs, name=name), weights)
    return model


def _tell_apart(image, outputs, name):
    """Puts `name` before the layers' names where another network of ours stands on `image`.

    One model can then hold both. The weights keep their own paths, by which they are loaded.

    Raises: ValueError when the other network has the same name.
    """
    # Keras has no public way from a tensor to what was built on it.
    on_image = [node.operation.name for node in image._keras_history.operation._outbound_nodes]
    if on_image.count("stem_1") < 2:
        return
    if f"{name}_stem_1" in on_image:
        raise ValueError(f"input_tensor already feeds another network: {name!r} cannot be the name "
                         "of two, give name=")
    for layer in keras.Model(image, outputs).layers:
        if not isinstance(layer, keras.layers.InputLayer):
            layer.name = f"{name}_{layer.name}"
