"""Faults of the data room, by their ids in docs/reliability.md."""

import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf

from inception_tf.config import Data
from inception_tf.data import shards
from inception_tf.data.batches import scoring_batches, training_batches
from inception_tf.data.open import open_source
from inception_tf.data.sources import RETRY_SECONDS
from inception_tf.data.views import Preprocessing
from inception_tf.errors import DataError
from tests.bad_images import BAD, GOOD, MemorySource, bomb, jpeg
from tests.small_tfds import write_small_set

SIZE = 75
LIMIT = len(BAD)


def _training(source, max_bad_examples=LIMIT, **settings):
    settings = {"image_size": SIZE, "num_classes": source.num_classes, "seed": 0,
                "batch_size": 4, **settings}
    return training_batches(source, Data(max_bad_examples=max_bad_examples), **settings)


def _scoring(source, **settings):
    return scoring_batches(source, Data(), preprocessing=Preprocessing(SIZE),
                           num_classes=source.num_classes, batch_size=4, **settings)


def _epochs(stream, source, count):
    batches = count * source.num_examples // 4
    taken = [{k: v.numpy() for k, v in next(stream).items()} for _ in range(batches)]
    stream.close()
    return {k: np.concatenate([b[k] for b in taken]) for k in taken[0]}


@pytest.fixture(scope="module")
def mixed():
    """Good images of every kind with all the bad ones among them."""
    stored = [*GOOD.values(), *(encoded for encoded, _ in BAD.values())]
    return MemorySource(stored + [jpeg(seed=9)] * (-len(stored) % 4))


def _bad_ids():
    return {f"image_{len(GOOD) + i}": cause for i, (_, cause) in enumerate(BAD.values())}


def test_f34_training_goes_on_and_counts_bad_images_by_id_and_cause(mixed):
    stream = _training(mixed)
    taken = _epochs(stream, mixed, 2)
    bad = np.array([int(i) in range(len(GOOD), len(GOOD) + len(BAD)) for i in taken["index"]])
    np.testing.assert_array_equal(taken["weight"], np.where(bad, 0.0, 1.0))
    assert not taken["image"][bad].any()
    assert sorted(taken["index"][: mixed.num_examples]) == list(range(mixed.num_examples))
    assert stream.bad_examples.keys() == _bad_ids().keys()
    for name, cause in _bad_ids().items():
        assert cause in stream.bad_examples[name]


def test_f34_resumed_stream_gives_the_same_bits_before_it_has_met_the_bad_ones(mixed):
    """What is bad may depend on nothing that was seen before."""
    whole = _epochs(_training(mixed), mixed, 2)
    again = _epochs(_training(mixed, start=mixed.num_examples), mixed, 1)
    for name, values in again.items():
        np.testing.assert_array_equal(values, whole[name][mixed.num_examples :], name)


def test_f34_more_bad_images_than_allowed_end_training_with_names(mixed):
    stream = _training(mixed, max_bad_examples=2)
    with pytest.raises(DataError, match=r"max_bad_examples=2: image_\d+: ") as raised:
        _epochs(stream, mixed, 1)
    assert raised.value.exit_code == 6
    assert len(stream.bad_examples) >= 3


@pytest.mark.parametrize("name", BAD)
def test_f34_any_bad_image_ends_scoring(name):
    encoded, cause = BAD[name]
    source = MemorySource([jpeg()] * 5 + [encoded])
    with pytest.raises(DataError, match="image_5.*none is allowed in scoring|none .*image_5") as e:
        list(_scoring(source))
    assert cause in str(e.value)


def test_f35_bomb_is_refused_by_its_header_in_little_memory():
    """In a process of its own: the peak of this one is high already."""
    assert max(len(bomb()), len(bomb(progressive=True))) < 900
    script = textwrap.dedent("""
        import resource
        import tensorflow as tf
        from inception_tf.data import views
        from tests.bad_images import bomb, jpeg
        crop = tf.function(lambda e: views.scoring_crop(e, views.Preprocessing(75)))
        crop(tf.constant(jpeg()))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for content in (bomb(), bomb(progressive=True)):
            try:
                crop(tf.constant(content))
            except tf.errors.OpError:
                print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """)
    done = subprocess.run([sys.executable, "-c", script], text=True, capture_output=True,
                          check=True)
    growth = [int(kib) for kib in done.stdout.split()]
    assert len(growth) == 2
    assert max(growth) < 64 * 1024


def test_f35_limit_is_the_flag(mixed):
    source = MemorySource([jpeg(height=100, width=100)] * 4)
    data = Data(max_image_pixels=9_999, max_bad_examples=0)
    stream = training_batches(source, data, image_size=SIZE, num_classes=4, seed=0, batch_size=4)
    with pytest.raises(DataError, match="100x100 pixels: more than --max_image_pixels=9999"):
        next(stream)


@pytest.fixture(scope="module", params=["tfrecord", "array_record"])
def prepared(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    write_small_set(folder, request.param)
    return folder


@pytest.fixture
def damaged(prepared, tmp_path):
    """(config.Data over a copy of a prepared set, the files of its train split)."""
    shutil.copytree(prepared, tmp_path / "data")
    files = sorted((tmp_path / "data").glob("small/*/small-train.*"))
    return Data(dataset="small", data_dir=str(tmp_path / "data")), files


def _read_all(data):
    source = open_source(data, "train")
    return [source.read(i) for i in range(source.num_examples)]


def test_f36_no_flipped_bit_goes_unnoticed(damaged):
    """One bit in each of a few places of the record: an error with the file's name, or nothing
    changed; never fewer or other records."""
    data, files = damaged
    healthy = _read_all(data)
    content = files[0].read_bytes()
    for at in np.linspace(0, len(content) - 1, 12).astype(int):
        flipped = bytearray(content)
        flipped[at] ^= 16
        files[0].write_bytes(flipped)
        try:
            assert _read_all(data) == healthy
        except DataError as error:
            assert files[0].name in str(error) and error.exit_code == 6
    files[0].write_bytes(content)
    assert _read_all(data) == healthy


def test_f36_flipped_bit_in_an_image_names_file_and_record_in_training(damaged):
    data, files = damaged
    content = bytearray(files[0].read_bytes())
    content[content.index(b"\xff\xd8\xff") + 400] ^= 1
    files[0].write_bytes(content)
    source = open_source(data, "train")
    stream = _training(source)
    with pytest.raises(DataError, match=f"{files[0].name}, record 0"):
        _epochs(stream, source, 1)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_f36_cut_file_is_noticed_before_the_first_record(damaged, share):
    data, files = damaged
    with open(files[0], "r+b") as file:
        file.truncate(int(share * files[0].stat().st_size))
    with pytest.raises(DataError, match=files[0].name):
        open_source(data, "train")


def test_f37_missing_shard_is_named(damaged):
    data, files = damaged
    files[1].unlink()
    with pytest.raises(DataError, match=f"{files[1].name} is missing"):
        open_source(data, "train")


def test_f37_extra_shard_is_named(damaged):
    data, files = damaged
    extra = files[0].with_name(files[0].name.replace("-of-00002", "-of-00003"))
    shutil.copy(files[0], extra)
    with pytest.raises(DataError, match=f"{extra.name} does not belong"):
        open_source(data, "train")


def test_f37_wrong_count_in_dataset_info_is_named(damaged):
    data, files = damaged
    info = files[0].parent / "dataset_info.json"
    text = info.read_text()
    assert '"6"' in text
    info.write_text(text.replace('"6"', '"7"'))
    with pytest.raises(DataError, match="holds 6 records, dataset_info.json declares 7"):
        open_source(data, "train")


@pytest.mark.parametrize("label", [-1, 4])
def test_f38_label_out_of_range_is_named_in_training_and_scoring(label):
    source = MemorySource([jpeg()] * 8, labels=[0, 1, 2, 3, 0, label, 2, 3])
    for stream in (_training(source), _scoring(source)):
        with pytest.raises(DataError, match=f"image_5 has label {label}, outside 0..3") as raised:
            _epochs(stream, source, 1)
        assert raised.value.exit_code == 6


def test_f40_parallelism_and_prefetch_change_no_bit():
    source = MemorySource([*GOOD.values(), BAD["truncated"][0], b"", *GOOD.values()])
    reference = _epochs(_training(source, parallelism=1, prefetch=0), source, 1)
    for parallelism, prefetch in ((4, 8), (tf.data.AUTOTUNE, 2)):
        ours = _epochs(_training(source, parallelism=parallelism, prefetch=prefetch), source, 1)
        for name, values in ours.items():
            np.testing.assert_array_equal(values, reference[name], name)


class _Flaky(MemorySource):
    """Fails `failures` times at record 5 as a network file system does."""

    def __init__(self, failures):
        super().__init__([jpeg(seed=i) for i in range(8)])
        self.failures = failures

    def _read(self, index):
        if index == 5 and self.failures:
            self.failures -= 1
            raise OSError(5, "Input/output error")
        return super()._read(index)


@pytest.fixture
def no_pauses(monkeypatch):
    monkeypatch.setattr("inception_tf.data.sources.RETRY_SECONDS", (0.0,) * len(RETRY_SECONDS))


def test_f41_transient_read_error_changes_no_bit(no_pauses):
    healthy, flaky = _Flaky(0), _Flaky(2)
    reference = _epochs(_training(healthy), healthy, 1)
    ours = _epochs(_training(flaky), flaky, 1)
    assert flaky.failures == 0
    for name, values in ours.items():
        np.testing.assert_array_equal(values, reference[name], name)


def test_f41_permanent_read_error_is_named(no_pauses):
    source = _Flaky(10**6)
    with pytest.raises(DataError, match="memory/train#5 cannot be read.*Input/output error"):
        _epochs(_training(source), source, 1)


def test_record_offsets_are_walked_once_and_survive_a_read_only_folder(tmp_path, monkeypatch):
    write_small_set(tmp_path / "data", "tfrecord")
    files = sorted(tmp_path.glob("data/small/*/small-train.tfrecord*"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "blocker").write_text("")
    index = shards.TfrecordIndex(str(tmp_path / "blocker"))  # no folder can be made in a file
    first = index.open_shard(str(files[0]))
    assert list(tmp_path.glob("inception_tf/**/*.npy"))
    monkeypatch.setattr(shards, "record_offsets", lambda path: pytest.fail("walked again"))
    again = index.open_shard(str(files[0]))
    assert [again.read(i) for i in range(6)] == [first.read(i) for i in range(6)]
    reference = [r.numpy() for r in tf.data.TFRecordDataset(str(files[0]))]
    assert [first.read(i) for i in range(6)] == reference
