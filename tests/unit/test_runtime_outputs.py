"""Outputs of commands: refused before the work, written whole or through, nothing else touched."""

import errno
import os
import socket
import stat
import subprocess
import sys
import threading

import pytest

from inception_tf.errors import StorageError, UsageError
from inception_tf.runtime import outputs
from inception_tf.runtime.files import new_folder


def refused(path, error=UsageError, **options):
    with pytest.raises(error) as caught:
        outputs.check_output("output", str(path), **options)
    message = str(caught.value)
    assert message.startswith(f"--output={str(path)!r} ") and "\n" not in message
    return message


@pytest.fixture
def place(tmp_path):
    """A folder with one of everything that may stand in an output's place."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("old")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "into_nothing").symlink_to(tmp_path / "nowhere" / "x")
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        yield tmp_path


@pytest.mark.parametrize(("name", "message"), [
    ("nowhere/x.json", "no folder"),
    ("into_nothing", "no folder"),
    ("folder", "is a folder: name a file"),
    ("folder/", "names a folder"),
    ("new/", "names a folder"),
    ("file/x.json", "Not a directory"),
    ("loop", "Too many levels"),
    ("socket", "is a socket"),
    ("x" * 256, "File name too long"),
])
def test_f54_output_that_cannot_be_written_is_refused_and_nothing_touched(place, name, message):
    before = sorted(os.listdir(place))
    assert message in refused(f"{place}/{name}")
    assert sorted(os.listdir(place)) == before and (place / "file").read_text() == "old"


def test_f54_existing_file_is_refused_where_it_may_not_be_replaced(place):
    assert "exists already" in refused(place / "file", replace=False)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_f54_folder_that_refuses_new_files_is_believed_when_it_is_tried(
        tmp_path, monkeypatch, number):
    real = open

    def no_new_files(path, mode="r", *rest, **options):
        if "x" in mode:
            raise OSError(number, os.strerror(number))
        return real(path, mode, *rest, **options)

    monkeypatch.setattr("builtins.open", no_new_files)
    assert os.strerror(number) in refused(tmp_path / "new.json")
    (tmp_path / "old.json").touch()
    outputs.check_output("output", str(tmp_path / "old.json"))
    # A file that is mounted alone: nothing can be put in its place, it can be written.
    outputs.write_output("output", str(tmp_path / "old.json"), "text")
    assert (tmp_path / "old.json").read_text() == "text"


def test_f54_full_disk_is_a_storage_error_before_and_at_the_end(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "old.json").write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    assert "No space left" in refused(tmp_path / "new.json", StorageError)
    with pytest.raises(StorageError, match="--output=.*No space left"):
        outputs.write_output("output", str(tmp_path / "old.json"), "text")
    with pytest.raises(StorageError, match="No space left"):
        outputs.check_new_folder("report", str(tmp_path / "report"))
    assert os.listdir(tmp_path) == ["old.json"] and (tmp_path / "old.json").read_text() == "old"


def test_f54_file_is_replaced_whole_and_keeps_its_mode_a_link_its_place(tmp_path):
    (tmp_path / "target").write_text("a longer text than the new one")
    (tmp_path / "target").chmod(0o640)
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "dangling").symlink_to("made")
    for name in ("link", "dangling", "new"):
        outputs.check_output("output", str(tmp_path / name))
        outputs.write_output("output", str(tmp_path / name), "new ä")
    assert (tmp_path / "target").read_text() == (tmp_path / "made").read_text() == "new ä"
    assert (tmp_path / "link").is_symlink() and (tmp_path / "dangling").is_symlink()
    assert stat.S_IMODE((tmp_path / "target").stat().st_mode) == 0o640
    assert sorted(os.listdir(tmp_path)) == ["dangling", "link", "made", "new", "target"]


def test_f54_device_is_written_through_and_a_full_one_said(tmp_path):
    for name in ("/dev/null", "/dev/full"):
        outputs.check_output("output", name)
        device = os.stat(name)
        if name == "/dev/full":
            with pytest.raises(StorageError, match="No space left"):
                outputs.write_output("output", name, "text")
        else:
            outputs.write_output("output", name, "text")
        assert stat.S_ISCHR(device.st_mode) and os.stat(name).st_ino == device.st_ino


@pytest.mark.parametrize("content", ["text" * 50_000, b"\xff\n" * 100_000], ids=type)
def test_f54_fifo_gets_all_of_it_from_one_writer(place, content):
    read = []
    reader = threading.Thread(target=lambda: read.append((place / "fifo").read_bytes()))
    outputs.check_output("output", str(place / "fifo"))
    reader.start()
    outputs.write_output("output", str(place / "fifo"), content)
    reader.join(10)
    assert read == [content if isinstance(content, bytes) else content.encode()]


@pytest.mark.parametrize("content", ["'text\\n'", "b'text\\n'"])
@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/proc/self/fd/1", "log"])
def test_f54_standard_output_by_any_name_loses_nothing_printed_before(tmp_path, name, content):
    script = ("import sys; from inception_tf.runtime import outputs as o; print('before')\n"
              "o.check_output('output', sys.argv[1])\n"
              "assert o.is_standard_output(sys.argv[1])\n"
              f"o.write_output('output', sys.argv[1], {content}); print('after')")
    with open(tmp_path / "log", "w") as log:
        subprocess.run([sys.executable, "-c", script, name], stdout=log, check=True, cwd=tmp_path)
    assert (tmp_path / "log").read_text() == "before\ntext\nafter\n"


@pytest.mark.parametrize(("files", "read", "message"), [
    ({"output": "a", "submission": "./a"}, {}, "--submission='./a' is what --output names"),
    ({"output": "a"}, {"predictions (1)": "a"}, "is what --predictions (1) names"),
    ({"output": "-", "submission": "/dev/stdout"}, {}, "is what --output names"),
])
def test_f54_two_outputs_or_an_input_of_one_name_are_refused(files, read, message):
    with pytest.raises(UsageError) as caught:
        outputs.refuse_shared(files, read)
    assert message in str(caught.value)
    outputs.refuse_shared({"output": "/dev/null", "submission": "/dev/null"}, {"exclude": "a"})


@pytest.mark.parametrize(("name", "message"), [
    ("folder", "exists already"), ("folder/", "exists already"), ("loop", "exists already"),
    ("into_nothing", "exists already"), ("file/new", "Not a directory"),
    ("x" * 256, "File name too long"), ("x" * 250, "File name too long"),
])
def test_f54_new_folder_that_cannot_be_made_is_refused(place, name, message):
    with pytest.raises(UsageError, match=message):
        outputs.check_new_folder("report", f"{place}/{name}")


def test_f54_new_folder_that_passed_the_check_can_be_made(place):
    for name in ("a/b/c", "y" * 200, "slash/"):
        before = sorted(os.listdir(place))
        outputs.check_new_folder("report", f"{place}/{name}")
        assert sorted(os.listdir(place)) == before
        with new_folder(place / name) as aside:
            (aside / "page").write_text("page")
        assert (place / name / "page").is_file()
