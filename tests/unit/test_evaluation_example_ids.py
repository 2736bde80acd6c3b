"""Example ids of any length: as long in a predictions file as in the data set, or refused."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from inception_tf.config import Data
from inception_tf.data.folders import FolderSource
from inception_tf.data.tfds_source import TfdsSource
from inception_tf.errors import DataError
from inception_tf.evaluation.predictions_file import (
    open_predictions,
    predictions_writer,
    stored_ids,
)
from inception_tf.evaluation.predictions_header import ID_BYTES, id_bytes_for
from inception_tf.evaluation.targets import excluded_rows
from tests.pictures import write_image_folder
from tests.small_tfds import Small
from tests.unit.test_evaluation_predictions_file import HEADER

LONG_NAMES = [f"{'é' * 120}{i}.jpg" for i in range(6)]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A folder whose ids are cut in the middle of a character at 320 bytes, all to the same."""
    folder = write_image_folder(tmp_path_factory.mktemp("long"), {"train": 6}, num_classes=2)
    for k in range(2):
        for i, path in enumerate(sorted((folder / "train" / f"class_{k}").iterdir())):
            path.rename(path.with_name(LONG_NAMES[i]))
        (folder / "train" / f"class_{k}").rename(folder / "train" / f"{'k' * 90}{k}")
    return FolderSource(Data(dataset="folder", data_dir=str(folder)), "train")


def ids_of(source):
    return [source.read(index).example_id for index in range(source.num_examples)]


def test_long_ids_come_back_whole_from_a_predictions_file(source, tmp_path):
    ids = ids_of(source)
    room = id_bytes_for(source)["id_bytes"]
    assert room == source.max_id_bytes == max(len(name.encode()) for name in ids) > ID_BYTES
    header = {**HEADER, "num_examples": len(ids), "class_names": ["a", "b"], "id_bytes": room}
    for end in (4, 6):  # stopped, and gone on with
        with predictions_writer(tmp_path / "p", header) as writer:
            writer.append([0] * (end - writer.count), ids[writer.count:end],
                          np.full((end - writer.count, 2), 0.5))
    assert open_predictions(tmp_path / "p").example_ids == ids


def test_id_beyond_its_room_is_refused_not_cut():
    assert stored_ids([b"a" * ID_BYTES], ID_BYTES).tolist() == [b"a" * ID_BYTES]
    with pytest.raises(DataError, match="example id of 321 bytes, above 320"):
        stored_ids([b"a", b"a" * 321], ID_BYTES)


def test_name_with_control_characters_is_excluded_as_it_is_printed(tmp_path):
    ids = ["validation/a/x\n\x1b[31m.jpg", "validation/a/y\x85.jpg", "validation/a/z.jpg"]
    (tmp_path / "list").write_text("\ufeffvalidation/a/x\\n\\x1b[31m.jpg\nvalidation/a/y\x85.jpg\n")
    assert excluded_rows(tmp_path / "list", ids).tolist() == [True, True, False]


class Named(Small):
    """Examples with names that no file system takes."""

    def _info(self):
        info = super()._info()
        features = {**info.features, "file_name": tfds.features.Text()}
        return tfds.core.DatasetInfo(builder=self, description="For tests.",
                                     features=tfds.features.FeaturesDict(features))

    def _generate_examples(self, count):
        for key, example in super()._generate_examples(count):
            yield key, {**example, "file_name": f"{'é' * 400}/{key}.jpg"}


def test_file_name_of_a_tfds_set_is_cut_at_its_front_and_ids_stay_distinct(tmp_path):
    builder = Named(data_dir=tmp_path, file_format="array_record")
    builder.download_and_prepare()
    source = TfdsSource(builder, "named", "validation")
    ids = ids_of(source)
    assert len(set(ids)) == 5 and all(name.endswith(".jpg)") for name in ids)
    assert max(len(name.encode()) for name in ids) <= source.max_id_bytes <= ID_BYTES
    assert id_bytes_for(source) == {}
