"""A stranger's file cannot claim memory: refused before anything is built (F57)."""

import json
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace

import h5py
import pytest
import safetensors.numpy

from inception_tf.config import Config
from inception_tf.data.views import Protocol
from inception_tf.errors import CheckpointError, UsageError
from inception_tf.evaluation.inference import plan_passes, view_step
from inception_tf.evaluation.members import load_members
from inception_tf.runs import checkpoint
from inception_tf.runs.network import MAX_CLASSES, build_network, load_model, require_room_for_batch
from inception_tf.runtime import memory
from inception_tf.runtime.cluster import ALONE
from inception_tf.serving.classifier import open_keras
from inception_tf.training.init_from import with_settings_carried
from inception_tf.weights import keras_file
from inception_tf.weights.arrays import Refused
from inception_tf.weights.card import MEMBER, Facts
from inception_tf.weights.keras_file import keras_arrays
from inception_tf.weights.readers import read_state_dict
from tests.hostile_files import little_memory
from tests.runs import write_run
from tests.weight_files import WIDTH, write_keras_archive

OURS = Config().replace(net="inception_v4", image_size=75, width=WIDTH, repeats=(0, 0, 0),
                        aux_head=False)


def with_network(text, **values):
    """JSON of a Config with other values in `network`, unchecked."""
    groups = json.loads(text)
    groups["network"] |= values
    return json.dumps(groups)


CLAIMS = [
    ({"image_size": 20_000}, "image_size"),
    ({"image_size": 3_000}, "image_size"),
    ({"width": 8.0}, "another network than it says"),
    ({"width": 3.0, "repeats": [9, 9, 9]}, "another network than it says"),
    ({"repeats": [200, 200, 200]}, "another network than it says"),
    ({"repeats": [10**9, 0, 0]}, "repeats"),
    ({"width": 1e30}, "width"),
]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """One of our networks, small, as .weights.h5."""
    path = tmp_path_factory.mktemp("weights") / "x.weights.h5"
    build_network(OURS.network, 3).save_weights(path)
    return path


@pytest.fixture(scope="module")
def good_run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "good", ("a", "b"))


def archive(path, weights, facts, compression=zipfile.ZIP_STORED):
    write_keras_archive(path, weights)
    with zipfile.ZipFile(path, "a", compression) as file:
        file.writestr(MEMBER, facts)
    return str(path)


def facts_of(names=("a", "b", "c"), **network):
    facts = json.loads(Facts(OURS, ("a",)).to_json())
    return json.dumps({**facts, "config": with_network(facts["config"], **network),
                       "class_names": names})


def refused(function, *arguments, error=UsageError):
    """The line with which something is refused in little memory."""
    with little_memory(), pytest.raises(error) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("network", "word"), CLAIMS)
def test_f57_keras_file_that_claims_a_large_network_is_refused(tmp_path, weights, network, word):
    path = archive(tmp_path / "x.keras", weights, facts_of(**network))
    assert word in refused(open_keras, path)
    given = Config().replace(init_from=path, model_dir=str(tmp_path / "new"))
    assert word in refused(with_settings_carried, given, {})


@pytest.mark.parametrize(("names", "word"), [
    (["x"] * (MAX_CLASSES + 1), "another network than it says"),
    ([f"{i:x}" for i in range(10**6)], "larger than"),
])
def test_f57_keras_file_that_claims_many_classes_is_refused(tmp_path, weights, names, word):
    path = archive(tmp_path / "x.keras", weights, facts_of(names))
    assert word in refused(open_keras, path)


@pytest.mark.parametrize(("network", "word"), CLAIMS)
def test_f57_run_that_claims_a_large_network_is_refused(tmp_path, good_run, network, word):
    """In config.json and in the manifest, whose hash anybody can compute."""
    shutil.copytree(good_run, tmp_path / "run")
    config = with_network((tmp_path / "run/config.json").read_text(), **network)
    (tmp_path / "run/config.json").write_text(config)
    rewrite_manifest(tmp_path / "run", config=config)
    assert word in refused(load_model, tmp_path / "run")
    assert word in refused(load_members, [str(tmp_path / "run")], "ema", {})
    given = Config().replace(init_from=str(tmp_path / "run"), model_dir=str(tmp_path / "new"))
    assert word in refused(with_settings_carried, given, {})


def rewrite_manifest(run, **values):
    checkpoint.add_entries(run / "checkpoints", 1, values)


@pytest.mark.parametrize(("count", "word"), [
    (MAX_CLASSES + 1, "another network than it says"), (2_000_000, "bytes"),
])
def test_f57_manifest_of_many_classes_is_refused(tmp_path, good_run, caplog, count, word):
    shutil.copytree(good_run, tmp_path / "run")
    rewrite_manifest(tmp_path / "run", class_names=["abc"] * count)
    error = CheckpointError if word == "bytes" else UsageError
    line = refused(load_model, tmp_path / "run", error=error)
    assert word in line + caplog.text


def header_bomb(path, num_arrays):
    entry = '"%x":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    header = ("{" + ",".join(entry % i for i in range(num_arrays)) + "}").encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)


def test_f57_safetensors_header_of_a_million_arrays_is_refused(tmp_path):
    header_bomb(tmp_path / "x.safetensors", 1_000_000)
    assert "its header claims" in refused(read_state_dict, str(tmp_path / "x.safetensors"))


def test_f57_checkpoint_with_a_header_of_a_million_arrays_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(safetensors.numpy, "save_file",
                        lambda _, path: header_bomb(Path(path), 1_000_000))
    checkpoint.save(tmp_path, 1, {}, {"config": ""})
    assert "its header claims" in refused(checkpoint.load, tmp_path, 1, error=CheckpointError)


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_f57_compressed_facts_are_refused(tmp_path, weights, compression):
    path = archive(tmp_path / "x.keras", weights, " " * 200 * 2**20, compression)
    assert "compressed" in refused(open_keras, path)


def test_f57_archive_of_a_million_files_is_refused(tmp_path, weights):
    path = write_keras_archive(tmp_path / "x.keras", weights)
    content = Path(path).read_bytes()
    end = content.rindex(b"PK\5\6")
    entry = content[content.rindex(b"PK\1\2"):end]
    files = entry * 1_000_000
    tail = bytearray(content[end:])
    tail[12:16] = len(files).to_bytes(4, "little")
    tail[16:20] = end.to_bytes(4, "little")
    Path(path).write_bytes(content[:end] + files + tail)
    assert "lists far more files" in refused(open_keras, path)


def test_f57_large_configuration_of_an_archive_is_refused(tmp_path, weights):
    path = write_keras_archive(tmp_path / "x.keras", weights, config=" " * 2**28)
    assert "config.json is larger" in refused(keras_arrays, path, error=Refused)


def test_f57_file_of_many_arrays_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(keras_file, "_MAX_OBJECTS", 100)
    with h5py.File(tmp_path / "x.weights.h5", "w") as file:
        for i in range(101):
            file.create_group(f"g{i}")
    assert "more than 100 groups" in refused(
        keras_arrays, str(tmp_path / "x.weights.h5"), error=Refused)


@pytest.mark.parametrize("views", [10**9, 10**6])
def test_f57_batch_that_cannot_fit_is_refused_with_both_numbers(views):
    line = refused(require_room_for_batch, Config().network, views, "--batch_size")
    assert "GiB are available: take a smaller --batch_size" in line


def test_batch_that_fits_passes():
    require_room_for_batch(Config().network, 32, "--batch_size")


def test_network_larger_than_the_machine_is_refused(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 2**30)
    line = refused(build_network, Config().replace(width=8.0).network, 1000)
    assert "1.0 GiB are available" in line and "width 8" in line


@pytest.mark.parametrize(("files", "expected"), [
    ({"/proc/meminfo": "MemTotal: 9 kB\nMemAvailable: 4 kB\n"}, 4096),
    ({"/proc/meminfo": "MemAvailable: 4 kB\n", "/sys/fs/cgroup/memory.max": "100\n"}, 100),
    ({"/proc/meminfo": "MemAvailable: 4 kB\n", "/sys/fs/cgroup/memory.max": "max\n"}, 4096),
    ({}, None),
])
def test_available_memory_is_the_least_that_the_system_says(monkeypatch, files, expected):
    monkeypatch.setattr(memory, "_lines", lambda path: files.get(path, "").splitlines())
    assert memory.available_memory() == expected


def test_f57_scoring_in_passes_that_cannot_fit_is_refused_before_it_builds():
    member = SimpleNamespace(config=Config())
    alone = SimpleNamespace(number=1, cluster=ALONE)
    line = refused(view_step, member, None, plan_passes(10**9, 1, Protocol(1)), alone)
    assert "--batch_size" in line
