"""Where data is prepared: into any folder by `prepare`, into none that somebody named by others."""

import os
import time

import pytest
import requests

from inception_tf.commands import eval as command
from inception_tf.commands import prepare as prepare_command
from inception_tf.config import Data
from inception_tf.data import drawing, shapes
from inception_tf.data.open import open_source
from inception_tf.data.prepare import _explained, _giving_up_soon, prepare_in_passing
from inception_tf.errors import DataError, UsageError
from inception_tf.runs.folder import make_folder
from tests import imagenet_miniature as miniature
from tests.runs import write_run


@pytest.fixture(autouse=True)
def few_shapes(monkeypatch):
    monkeypatch.setattr(shapes, "SPLITS", {"train": 20, "validation": 20})


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The current folder, in a home, with a folder, a file and links of every kind."""
    here = tmp_path / "home" / "here"
    (here / "folder").mkdir(parents=True)
    (here / "file").write_text("mine")
    for link, target in {"link": "folder", "dangling": "nowhere", "loop": "loop"}.items():
        (here / link).symlink_to(target)
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return here


GOOD = ("new", "./new", "deep/er/new", ".", "..", "../new", "folder/../new", "link", "link/new",
        "new/", "~", "~/new")
BAD = ("file", "file/new", "dangling", "dangling/new", "loop", "/dev/null", "/dev/null/new")


def tree(folder):
    return {path: os.lstat(path).st_mtime_ns for path in sorted(folder.rglob("*"))}


@pytest.mark.parametrize("data_dir", GOOD)
def test_f51_prepare_writes_into_any_folder(place, data_dir):
    prepare_command.main([f"--data_dir={data_dir}"])
    (found,) = place.parent.rglob("dataset_info.json")
    written = os.path.join(os.path.expanduser(data_dir), "shapes/1.0.0/dataset_info.json")
    assert os.path.samefile(written, found)
    assert open_source(Data(data_dir=data_dir), "train").num_examples == 20


@pytest.mark.parametrize("data_dir", BAD)
def test_f51_prepare_where_no_folder_can_be_is_one_line(place, data_dir):
    before = tree(place)
    for act in (prepare_command.main, lambda argv: open_source(Data(data_dir=data_dir), "train")):
        with pytest.raises(UsageError, match=f"--data_dir={data_dir}: .* is no folder"):
            act([f"--data_dir={data_dir}"])
    assert tree(place) == before


@pytest.mark.parametrize("model_dir", [path for path in GOOD if "~" not in path])
def test_f51_model_dir_may_be_any_folder(place, model_dir):
    assert os.path.samefile(make_folder(model_dir), model_dir)


@pytest.mark.parametrize("model_dir", BAD)
def test_f51_model_dir_where_no_folder_can_be_is_one_line(place, model_dir):
    with pytest.raises(UsageError, match=f"--model_dir={model_dir}: .* no folder"):
        make_folder(model_dir)


@pytest.mark.parametrize("data_dir", ["typo", "typo/", "folder", "..", "link", "dangling"])
@pytest.mark.parametrize("dataset", ["shapes", "shapes:1.0.0", "mnist"])
def test_f61_mistyped_data_dir_is_refused_and_nothing_is_created(place, data_dir, dataset):
    before = tree(place)
    for act in (lambda data: open_source(data, "train"), prepare_in_passing):
        with pytest.raises(UsageError, match="inception-tf prepare .*--data_dir=|is no folder"):
            act(Data(dataset=dataset, data_dir=data_dir))
    assert tree(place) == before


@pytest.fixture
def archives(tmp_path):
    (tmp_path / "tars").mkdir()
    miniature.write_archives(tmp_path / "tars", train=False)
    return tmp_path / "tars"


def test_f61_archives_are_not_prepared_between_pictures(place, archives):
    (place / "folder" / "cat.jpg").write_bytes(b"")
    data = Data(dataset="imagenet2012", data_dir="folder", manual_dir=str(archives))
    before = tree(place)
    with pytest.raises(UsageError, match=f"prepare .*--manual_dir={archives} --data_dir=folder`"):
        open_source(data, "validation")
    assert tree(place) == before


def test_f61_archives_are_prepared_where_sets_are(place, archives):
    prepare_command.main(["--data_dir=folder"])
    data = Data(dataset="imagenet2012", data_dir="folder", manual_dir=str(archives))
    assert open_source(data, "validation").num_examples == miniature.NUM_SYNSETS


def test_f61_classes_are_compared_before_anything_is_prepared(place):
    write_run(place / "run", ["ant", "bee"], dataset="folder", data_dir="folder")
    before = tree(place)
    for words in ([], ["--data_dir=typo"], ["--data_dir=folder"]):
        with pytest.raises(UsageError, match="run has 2 classes, --dataset=shapes has 20"):
            command.main(["--model_dir=run", "--dataset=shapes", *words])
    assert tree(place) == before


def test_f61_scoring_with_a_mistyped_data_dir_creates_nothing(place, archives):
    write_run(place / "shapes", drawing.SMALL.class_names)
    # The run was told to prepare these archives; the scoring was not.
    write_run(place / "imagenet", miniature.tfds_file("labels.txt").split(),
              dataset="imagenet2012", manual_dir=str(archives), data_dir="elsewhere")
    before = tree(place)
    for words in (["--model_dir=shapes", "--data_dir=typo"], ["--model_dir=imagenet"],
                  ["--model_dir=imagenet", "--data_dir=typo"]):
        with pytest.raises(UsageError, match="is not prepared in .*inception-tf prepare"):
            command.main(words)
    assert tree(place) == before


def test_server_that_cannot_be_reached_is_given_up_within_seconds():
    began = time.monotonic()
    session = requests.Session()
    retries = requests.packages.urllib3.util.retry.Retry(total=10, backoff_factor=0.2)
    session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retries))
    session.trust_env = False
    with _giving_up_soon(), pytest.raises(requests.ConnectionError) as caught:
        session.get("http://127.0.0.1:9/mnist.gz", stream=True)
    assert time.monotonic() - began < 5
    error = _explained(caught.value, None, Data(dataset="mnist"))
    assert isinstance(error, DataError) and "\n" not in str(error)
    assert "mnist could not be downloaded: " in str(error) and "127.0.0.1" in str(error)
