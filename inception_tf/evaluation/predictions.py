"""An earlier home of `inception_tf.open_predictions`, kept for programs that import it from here."""

from inception_tf.evaluation.predictions_file import open_predictions

__all__ = ["open_predictions"]
