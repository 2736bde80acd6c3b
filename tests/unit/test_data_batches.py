"""Batches: what comes at which position, padding, parts, and that speed changes nothing."""

import numpy as np
import pytest

from inception_tf.config import Data, Network
from inception_tf.data import stream as streams
from inception_tf.data.batches import scoring_batches, training_batches
from inception_tf.data.color import finished
from inception_tf.data.views import Preprocessing, preprocessing_of, scoring_crop
from inception_tf.errors import DataError
from tests.bad_images import MemorySource, jpeg

SIZE = 75


def _source(count=11, **settings):
    return MemorySource([jpeg(seed=i, height=20, width=20) for i in range(count)], **settings)


def _training(source=None, **settings):
    settings = {"image_size": SIZE, "num_classes": 4, "seed": 0, "batch_size": 4, **settings}
    return training_batches(source or _source(), Data(), **settings)


def _scoring(source=None, **settings):
    settings = {"preprocessing": Preprocessing(SIZE), "num_classes": 4, "batch_size": 4,
                **settings}
    return scoring_batches(source or _source(), Data(), **settings)


def _take(stream, count):
    batches = [{k: v.numpy() for k, v in next(stream).items()} for _ in range(count)]
    stream.close()
    return {k: np.concatenate([b[k] for b in batches]) for k in batches[0]}


def test_training_batch_has_the_shapes_types_and_range_it_promises():
    batch = _take(_training(), 1)
    kinds = {k: (v.shape, v.dtype.name) for k, v in batch.items()}
    assert kinds == {"image": ((4, SIZE, SIZE, 3), "float32"), "label": ((4,), "int32"),
                     "weight": ((4,), "float32"), "index": ((4,), "int64"),
                     "example_id": ((4,), "object")}
    assert -1 <= batch["image"].min() < batch["image"].max() <= 1
    assert (batch["weight"] == 1).all()


def test_each_epoch_of_training_holds_every_record_once():
    taken = _take(_training(), 11)  # four epochs of eleven
    for epoch in np.split(taken["index"], 4):
        assert sorted(epoch) == list(range(11))
    np.testing.assert_array_equal(taken["label"], taken["index"] % 4)


@pytest.mark.parametrize("start", [4, 12, 40, 43])
def test_f03_stream_started_later_goes_on_with_the_same_bits(start):
    from_zero = _take(_training(batch_size=1), start + 4)
    from_start = _take(_training(start=start), 1)
    for name, values in from_start.items():
        np.testing.assert_array_equal(values, from_zero[name][start:], name)


def test_f03_stream_stopped_after_any_batch_of_two_epochs_goes_on_in_order():
    source = _source(40)
    whole = _take(_training(source, batch_size=8), 10)["index"].reshape(10, 8)
    for stopped in range(1, 10):
        rest = _take(_training(source, batch_size=8, start=8 * stopped), 10 - stopped)["index"]
        np.testing.assert_array_equal(rest.reshape(-1, 8), whole[stopped:])


def test_parts_of_a_batch_are_the_slots_of_the_whole():
    whole = _take(_training(batch_size=6), 3)
    for low, high in ((0, 2), (2, 3), (3, 6)):
        part = _take(_training(batch_size=6, part=(low, high)), 3)
        for name, values in part.items():
            expected = whole[name].reshape(3, 6, *whole[name].shape[1:])[:, low:high]
            np.testing.assert_array_equal(values.reshape(expected.shape), expected, name)


def test_seed_changes_order_and_distortion():
    first, other = _take(_training(), 2), _take(_training(seed=1), 2)
    assert (first["index"] != other["index"]).any()
    assert (first["image"] != other["image"]).any()


@pytest.mark.parametrize("color", ["none", "fast", "full"])
def test_colours_left_to_the_device_are_the_hosts_within_the_rounding_to_bytes(color):
    source = MemorySource([*(jpeg(seed=i, height=90, width=90) for i in range(23)), b"bad"])
    data = Data(color=color)
    settings = {"image_size": SIZE, "num_classes": 4, "seed": 0, "batch_size": 24}
    host = _take(training_batches(source, data, **settings), 1)
    stream = training_batches(source, data, color_on_device=True, **settings)
    bytes_of_images = next(stream)
    stream.close()
    assert bytes_of_images["image"].dtype == "uint8"
    ours = finished(bytes_of_images, color).numpy()
    np.testing.assert_array_equal(host["weight"] == 0, ~ours.any(axis=(1, 2, 3)))
    # Half a level of 255, made larger by saturation and contrast of up to 1.5 each.
    assert np.abs(ours - host["image"]).max() < (0.005 if color == "none" else 0.03)
    assert np.abs(ours - host["image"]).mean() < 0.003


def test_reduced_decoding_changes_only_images_that_are_large():
    source = MemorySource([jpeg(seed=0, height=90, width=90), jpeg(seed=1, height=900, width=900)])
    whole, reduced = (_take(training_batches(
        source, Data(min_crop_area=0.5, reduced_decoding=reduced), image_size=SIZE, num_classes=4,
        seed=0, batch_size=8), 1) for reduced in (False, True))
    np.testing.assert_array_equal(whole["index"], reduced["index"])
    differs = (whole["image"] != reduced["image"]).any(axis=(1, 2, 3))
    np.testing.assert_array_equal(differs, whole["index"] == 1)


def test_label_offset_makes_room_for_the_background_class():
    plain, shifted = _take(_training(), 2), _take(_training(label_offset=1), 2)
    np.testing.assert_array_equal(plain["label"] + 1, shifted["label"])


@pytest.mark.parametrize("count,batch_size", [(11, 4), (8, 4), (3, 4), (11, 1)])
def test_scoring_holds_every_record_once_padded_with_weight_zero(count, batch_size):
    stream = _scoring(_source(count), batch_size=batch_size)
    batches = [{k: v.numpy() for k, v in b.items()} for b in stream]
    assert all(len(b["label"]) == batch_size for b in batches)
    index = np.concatenate([b["index"] for b in batches])
    weight = np.concatenate([b["weight"] for b in batches])
    assert index[weight == 1].tolist() == list(range(count))
    assert (index[weight == 0] == -1).all()
    padding = np.concatenate([b["image"] for b in batches])[weight == 0]
    assert not padding.any()


def test_scoring_parts_have_equally_many_batches_and_all_records():
    """Workers that run out at different times would wait for each other for ever."""
    parts = [list(_scoring(_source(9), batch_size=8, part=part)) for part in ((0, 4), (4, 8))]
    assert [len(p) for p in parts] == [2, 2]
    found = [int(i) for part in parts for batch in part for i in batch["index"] if i >= 0]
    assert sorted(found) == list(range(9))


def test_scoring_images_are_the_scoring_crop_of_the_given_preprocessing():
    source = _source(2)
    preprocessing = Preprocessing(80, 0.5, "bicubic", "corner")
    batch = next(_scoring(source, batch_size=2, preprocessing=preprocessing))
    for image, encoded in zip(batch["image"], source.images, strict=True):
        np.testing.assert_array_equal(image, scoring_crop(encoded, preprocessing))


def test_preprocessing_of_a_run_is_what_its_config_says():
    data = Data(crop_fraction=0.5, interpolation="bicubic", antialias=True)
    expected = Preprocessing(80, 0.5, "bicubic", "half", True)
    assert preprocessing_of(Network(image_size=80), data) == expected


def test_bytes_with_zeros_at_the_end_arrive_whole():
    """numpy's own byte strings lose them."""
    stored = jpeg() + bytes(9)
    stream = _training(MemorySource([stored]), batch_size=1)
    _, label, good, _ = stream._read(np.int64(0))
    assert good and label == 0
    batch = next(stream)
    assert batch["weight"].numpy() == [1]


def test_scoring_that_ends_early_is_an_error(monkeypatch):
    stream = _scoring(_source(8))
    next(stream)
    stream.close()
    with pytest.raises(DataError, match="ended after 1 of 2 batches"):
        next(stream)


def test_streams_left_open_are_closed_at_exit():
    """Their threads would wait for the interpreter's lock for ever."""
    stream = _training()
    next(stream)
    streams.close_streams()
    with pytest.raises(DataError, match="ended after 1"):
        next(stream)
