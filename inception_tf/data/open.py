"""Which Source a `config.Data` names, its set prepared now where nothing forbids it."""

from collections.abc import Callable

from inception_tf.config import Data
from inception_tf.data import tfds_source
from inception_tf.data.folders import FolderSource
from inception_tf.data.prepare import prepare_in_passing
from inception_tf.data.sources import Source
from inception_tf.errors import UsageError


def open_source(data: Data, split: str,
                check_classes: Callable[[tuple[str, ...]], object] = lambda names: None) -> Source:
    """The Source of `split` of a data set.

    check_classes: is called with the class names, before anything is prepared where they are
        known by then, so that it can refuse them.

    Raises: UsageError for an unknown data set or split or one that is not
        prepared, DataError for one that is damaged.
    """
    if not split:
        raise UsageError("--train_split and --eval_split may not be empty")
    source = (FolderSource(data, split) if data.dataset == "folder"
              else _open_tfds(data, split, check_classes))
    check_classes(source.class_names)
    return source


def _open_tfds(data, split, check_classes):
    builder = tfds_source.find_builder(data)
    tfds_source.require_image_and_label(builder.info.features, data.dataset)
    if builder.info.features["label"].num_classes:
        check_classes(tuple(builder.info.features["label"].names))
    if not tfds_source.is_prepared(builder):
        prepare_in_passing(data)
        builder = tfds_source.find_builder(data)
    return tfds_source.TfdsSource(builder, data.dataset, split)
