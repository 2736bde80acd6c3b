"""Which record comes at which position of the endless training stream.

Position p lies in epoch p // N. Inside an epoch the records are permuted by a
keyed bijection, so nothing is buffered, nothing has to be saved, and any
position is found at once.
"""

import tensorflow as tf

# Any constant does: the kernel wants three words of key and we have two,
# the seed of the run and the epoch.
_THIRD_KEY = 0


def example_indices(positions, num_examples, seed):
    """The record at each position: every record exactly once per epoch.

    Shape: [n] int64 -> [n] int64.
    Source: tf.random.experimental.index_shuffle. Its raw operation is called
    because the public function of TensorFlow 2.21 pads a batch of seeds along
    the wrong axis and then refuses it.
    """
    positions = tf.convert_to_tensor(positions, tf.int64)
    epochs = positions // num_examples
    keys = tf.stack([tf.fill(tf.shape(epochs), tf.cast(seed, tf.int64)), epochs,
                     tf.fill(tf.shape(epochs), tf.cast(_THIRD_KEY, tf.int64))], axis=-1)
    return tf.raw_ops.RandomIndexShuffle(
        index=positions % num_examples,
        seed=keys,
        max_index=tf.fill(tf.shape(epochs), tf.cast(num_examples - 1, tf.int64)),
        rounds=4,  # what the public function uses
    )
