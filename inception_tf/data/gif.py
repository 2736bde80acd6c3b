"""The first frame of a GIF, as a GIF of its own.

TensorFlow's decoder unpacks every frame it is given before it drops all but the first, and a
frame may be larger than the screen in the header. So the others are cut off, unread.

Source: GIF89a sections 15 to 27.
"""

import tensorflow as tf

_EXTENSION, _IMAGE, _END = 0x21, 0x2C, b";"
# Between the header and the first frame; animations have two or three.
_MAX_EXTENSIONS = 8
# Encoders fill all sub-blocks alike but the last: 256 equal ones are one step.
_BLOCKS_IN_STEP = 256
_MAX_STEPS = 1024


def first_frame(gif: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """(the GIF without the other frames, [height, width], what is wrong with it or nothing).

    Shape: string scalar -> string scalar, [2] int32, string scalar.
    """
    length = tf.strings.length(gif)
    data = tf.io.decode_raw(gif, tf.uint8, fixed_length=length + 1)  # ends with a zero
    table = 13 + _table_bytes(_byte(data, 10))
    image = tf.while_loop(lambda at: tf.equal(_byte(data, at), _EXTENSION),
                          lambda at: [_behind_blocks(data, at + 2)], [table],
                          maximum_iterations=_MAX_EXTENSIONS)[0]
    end = _behind_blocks(data, image + 11 + _table_bytes(_byte(data, image + 9)))
    screen = _words(data, 6, 2)  # width, height
    fills = tf.reduce_all(_words(data, image + 1, 4) == tf.concat([[0, 0], screen], axis=0))
    fault = tf.where(fills, "", "its first frame does not fill it")
    fault = tf.where(tf.equal(_byte(data, image), _IMAGE) & (end <= length), fault, "truncated")
    image, end = tf.minimum(image, length), tf.minimum(end, length)
    frame = tf.strings.join([tf.strings.substr(gif, 0, tf.minimum(table, image)),
                             tf.strings.substr(gif, image, end - image), _END])
    return frame, tf.reverse(screen, [0]), fault


def _byte(data, at):
    return tf.cast(data[tf.minimum(at, tf.shape(data)[0] - 1)], tf.int32)


def _words(data, at, count):
    return tf.stack([_byte(data, at + 2 * i) + 256 * _byte(data, at + 2 * i + 1)
                     for i in range(count)])


def _table_bytes(flags):
    """Bytes of the colour table that a flag byte announces."""
    return tf.where(flags >= 128, 3 * tf.bitwise.left_shift(2, flags % 8), 0)


def _behind_blocks(data, at):
    """The place behind the sub-blocks that begin at `at`: each is its length and as many bytes."""
    def step(at):
        stride = _byte(data, at) + 1
        sizes = tf.cast(data[at:at + stride * _BLOCKS_IN_STEP:stride], tf.int32)
        other = tf.concat([tf.not_equal(sizes, stride - 1), [True]], axis=0)
        return [at + stride * tf.argmax(tf.cast(other, tf.int32), output_type=tf.int32)]

    return tf.while_loop(lambda at: _byte(data, at) > 0, step, [at],
                         maximum_iterations=_MAX_STEPS)[0] + 1
