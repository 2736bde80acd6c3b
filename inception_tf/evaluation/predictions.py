"""An earlier home of `inception_tf.open_predictions`: imports from here keep working."""

from inception_tf.evaluation.predictions_file import open_predictions

__all__ = ["open_predictions"]
