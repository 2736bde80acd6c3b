"""An earlier home of `inception_tf.Preprocessing`, kept for programs that import it from here."""

from inception_tf.data.views import Preprocessing

__all__ = ["Preprocessing"]
