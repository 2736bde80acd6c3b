"""The report of a scoring: its page and pictures, from predictions whose names mean harm."""

import errno
import html.parser
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inception_tf.commands import eval as command
from inception_tf.commands.shell import exit_code_of
from inception_tf.config import preset
from inception_tf.data.open import open_source
from inception_tf.evaluation.predictions_file import IDENTITY, predictions_writer
from inception_tf.text import printable
from tests.pictures import write_image_folder

NUM = 23
SCRIPT = "<script>alert(1)<script>"
NAMES = sorted([SCRIPT, "<img src=x onerror=alert(1)>", "$\\frac{$", "日本\x1b[0m\n", "plain"])
PICTURES = ("class_errors", "confusions", "mistakes", "calibration", "confidence")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Folders of images whose classes are NAMES."""
    folder = tmp_path_factory.mktemp("images")
    write_image_folder(folder, {"train": 5, "validation": NUM})
    for split in ("train", "validation"):
        for k, name in enumerate(NAMES):
            (folder / split / f"class_{k}").rename(folder / split / name)
    return folder


def write_predictions(path, images, labelled=True, right=False, seed=0):
    """A file as a scoring of `images` leaves it, of random probabilities."""
    config = preset("tiny").replace(dataset="folder", data_dir=str(images))
    source = open_source(config.data, "validation")
    records = [source.read(i) for i in range(NUM)]
    header = {
        **dict.fromkeys(IDENTITY, 1), "dataset": "folder", "split": "validation",
        "data_fingerprint": source.fingerprint, "num_examples": NUM, "class_names": NAMES,
        "network": "inception_resnet_v1", "weights": "ema", "checkpoint_sha256": "cafe" * 16,
        "protocol": {"crops": 1, "scales": [], "field": 0},
        "preprocessing": {"crop_fraction": 0.875, "image_size": 75},
        "about": {"model_dir": f"runs/{path.name}", "step": 12, "versions": {"keras": "3.15"},
                  "config": json.loads(config.to_json())}}
    with predictions_writer(path, header) as writer:
        labels = [r.label if labelled else -1 for r in records]
        probabilities = np.random.default_rng(seed).dirichlet(np.ones(len(NAMES)), NUM)
        if right:
            probabilities = np.eye(len(NAMES))[labels]
        writer.append(labels, [r.example_id for r in records], probabilities)
    return path


@pytest.fixture(scope="module")
def files(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    return [write_predictions(folder / f"{i}.p", images, seed=i) for i in range(2)]


def report(folder, paths, *words):
    """The command line that reports on predictions files; its exit code."""
    return exit_code_of(command.main, [f"--from_predictions={','.join(map(str, paths))}",
                                       f"--report={folder}", *words])


@pytest.fixture(scope="module")
def page(files, tmp_path_factory):
    """The page of an ensemble of both files."""
    folder = tmp_path_factory.mktemp("report") / "report"
    assert report(folder, files) == 0
    return folder / "index.html"


class Reader(html.parser.HTMLParser):
    """Tags with attributes, and the text between them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text.append(data)


def test_page_holds_every_picture_and_what_repeats_the_scoring(page):
    content = Reader(page.read_text())
    sources = [attributes["src"] for tag, attributes in content.tags if tag == "img"]
    assert len(sources) == len(PICTURES)
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    text = " ".join(content.text)
    for part in ("2 x inception_resnet_v1", "cafe" * 16, "runs/0.p", "runs/1.p", "top-5 error",
                 "inception-tf eval --from_predictions=", "data fingerprint", "tensorflow 2.",
                 "mean of all 2 networks", "arXiv 1706.04599", "validation/plain/"):
        assert part in text
    assert {p.stem for p in page.parent.glob("*.png")} == set(PICTURES)
    for picture in page.parent.glob("*.png"):
        with Image.open(picture) as image:
            assert image.width > 800 and len(image.convert("L").getcolors()) > 5


def test_names_of_classes_and_files_stay_text(page):
    content = Reader(page.read_text())
    assert {tag for tag, _ in content.tags}.isdisjoint({"script", "link", "iframe", "object"})
    assert not [a for _, attributes in content.tags for a in attributes if a.startswith("on")]
    cells = {part.strip() for part in content.text}
    assert {printable(name) for name in NAMES} <= cells
    assert "default-src 'none'" in page.read_text()


def test_second_report_is_refused_before_anything_is_scored(page, files, capsys):
    before = page.read_bytes()
    assert report(page.parent, files) == 2
    assert "exists already" in capsys.readouterr().err
    assert page.read_bytes() == before


def test_split_without_labels_shows_only_confidence(images, tmp_path):
    path = write_predictions(tmp_path / "p", images, labelled=False)
    assert report(tmp_path / "report", [path]) == 0
    assert [p.name for p in (tmp_path / "report").glob("*.png")] == ["confidence.png"]
    assert "no labels" in (tmp_path / "report" / "index.html").read_text()


def test_network_without_a_mistake_has_a_report(images, tmp_path):
    path = write_predictions(tmp_path / "p", images, right=True)
    assert report(tmp_path / "report", [path]) == 0
    page = (tmp_path / "report" / "index.html").read_text()
    assert "No image was classified wrongly" in page
    assert page.count("data:image/png") == len(PICTURES) - 1


def test_images_that_are_gone_are_named_and_all_else_is_drawn(images, files, tmp_path, caplog):
    moved = tmp_path / "moved"
    shutil.copytree(images, moved)
    path = write_predictions(tmp_path / "p", moved)
    moved.rename(tmp_path / "there")
    assert report(tmp_path / "without", [path]) == 0
    assert "is not a folder" in caplog.text
    assert len(list((tmp_path / "without").glob("*.png"))) == len(PICTURES) - 1
    assert "could not be shown" in (tmp_path / "without" / "index.html").read_text()
    assert report(tmp_path / "with", [path], f"--data_dir={tmp_path / 'there'}") == 0
    assert (tmp_path / "with" / "mistakes.png").exists()


def test_other_images_in_the_same_place_are_not_shown(images, tmp_path, caplog):
    other = tmp_path / "other"
    shutil.copytree(images, other)
    path = write_predictions(tmp_path / "p", other)
    next((other / "validation" / "plain").iterdir()).unlink()
    assert report(tmp_path / "report", [path]) == 0
    assert "not those that were scored" in caplog.text
    assert not (tmp_path / "report" / "mistakes.png").exists()


def test_f54_report_that_cannot_be_written_is_refused_before_the_table(files, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert report(tmp_path / "file" / "report", files) == 2
    printed = capsys.readouterr()
    assert "--report=" in printed.err and printed.out == ""
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_f54_report_that_fails_leaves_nothing_behind_and_the_table_stands(
        files, tmp_path, capsys, monkeypatch):
    def full(path):
        if Path(path).suffix == ".png":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    monkeypatch.setattr("inception_tf.runtime.files.flush_entry", full)
    output = tmp_path / "r.json"
    assert report(tmp_path / "report", files, f"--output={output}") == 4
    printed = capsys.readouterr()
    assert "No space left" in printed.err and "2 x inception_resnet_v1" in printed.out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.classes.csv", "r.confusion.csv",
                                                          "r.json"]


def _chromium():
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser",
                                                "google-chrome"))), None)


def test_page_opens_offline_in_a_browser_without_a_word(page, tmp_path):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not _chromium():
        pytest.skip("no Chromium on this machine")
    said, requested = [], []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=_chromium(), args=["--no-sandbox"])
        tab = browser.new_context(offline=True).new_page()
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("dialog", lambda dialog: said.append(dialog.message))
        tab.on("request", lambda request: requested.append(request.url))
        tab.goto(page.as_uri())
        widths = tab.evaluate("() => Array.from(document.images, image => image.naturalWidth)")
        overflow = tab.evaluate("document.documentElement.scrollWidth > window.innerWidth")
        tab.screenshot(path=tmp_path / "page.png", full_page=True)
        browser.close()
    assert said == [] and requested == [page.as_uri()]
    assert len(widths) == len(PICTURES) and min(widths) > 800 and not overflow
    assert Path(tmp_path / "page.png").stat().st_size > 50_000
