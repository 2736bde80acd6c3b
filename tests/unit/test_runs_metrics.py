"""Metrics files: written through failures; damaged ones are read whole or refused."""

import errno
import os

import numpy as np
import pytest
import tensorflow as tf

from inception_tf.errors import UsageError
from inception_tf.runs.metrics import MetricsWriter, read_metrics

HEADER = "step,epoch,loss,num_examples\r\n"
ROWS = ["2,0.5,1.25,13.0\r\n", "4,1.0,nan,13.0\r\n", "6,1.5,3e-05,13.0\r\n"]
WHOLE = (HEADER + "".join(ROWS)).encode()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.csv"


@pytest.mark.parametrize("content, steps", [
    (WHOLE, [2, 4, 6]),
    (WHOLE.replace(b"\r\n", b"\n"), [2, 4, 6]),
    (WHOLE.replace(b"nan", b"-inf"), [2, 4, 6]),
    (b"", []), (HEADER.encode(), []), (HEADER.encode()[:9], []),
    # What has no end of line is being written, or was when its process died.
    (WHOLE[:-1], [2, 4]), (WHOLE[:-5], [2, 4]), (WHOLE + b"8,2.", [2, 4, 6]),
    (WHOLE + b"\0" * 4096, [2, 4, 6]),
])
def test_metrics_of_a_whole_file_or_a_torn_last_line_are_read(path, content, steps):
    path.write_bytes(content)
    assert [row["step"] for row in read_metrics(path)] == steps


def _in_row_2(text):
    return WHOLE.replace(b"4,1.0,nan,13.0", text)


@pytest.mark.parametrize("content, line, reason", [
    (b"\xef\xbb\xbf" + WHOLE, 1, "the columns are '\\\\ufeffstep"),
    (WHOLE.replace(b"loss", b"l\xffss"), 1, "byte 0xff is no UTF-8"),
    (_in_row_2(b"4,1.0,n\xe4n,13.0"), 3, "byte 0xe4 is no UTF-8"),
    (WHOLE.replace(b"step", b"stop"), 1, "the columns are"),
    (WHOLE.replace(b"loss", b"epoch"), 1, "the columns are"),
    (_in_row_2(b"4,1.0"), 3, "2 values for 4 columns"),
    (_in_row_2(b"4,1.0,0.5,13.0,1"), 3, "5 values for 4 columns"),
    (_in_row_2(b""), 3, "1 values for 4 columns"),
    (_in_row_2(b"4,1.0,0.54,1.0,0.5,13.0"), 3, "6 values"),
    (_in_row_2(b"4,1.0,,13.0"), 3, "loss is ''"),
    (_in_row_2(b"4,1.0, 0.5,13.0"), 3, "loss is ' 0.5'"),
    (_in_row_2(b"4,1.0,1_5,13.0"), 3, "loss is '1_5'"),
    (_in_row_2(b"4,1.0,0x5,13.0"), 3, "loss is '0x5'"),
    (_in_row_2(b'4,1.0,"0.5",13.0'), 3, "loss is '\"0.5\"'"),
    (_in_row_2(b"4,1.0,0.5.1,13.0"), 3, "loss is '0.5.1'"),
    (_in_row_2("4,1.0,\uff15,13.0".encode()), 3, "loss is"),
    (_in_row_2(b"4,1.0,0.\x005,13.0"), 3, "loss is"),
    (_in_row_2(b"4,1.0,0.5,nan"), 3, "num_examples is 'nan'"),
    (_in_row_2(b"4,1.0,0.5,13.5"), 3, "num_examples is '13.5'"),
    (_in_row_2(b"4.5,1.0,0.5,13.0"), 3, "step is '4.5'"),
    (_in_row_2(b"2,1.0,0.5,13.0"), 3, "step 2 after 2"),
    (_in_row_2(b"9,1.0,0.5,13.0"), 4, "step 6 after 9"),
])
def test_f62_damaged_metrics_are_refused_with_the_line_and_left(path, content, line, reason):
    path.write_bytes(content)
    for read in (read_metrics, lambda path: MetricsWriter(path.parent, resume_step=2)):
        with pytest.raises(UsageError, match=f"metrics.csv is damaged, line {line}: {reason}"):
            read(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("make, reason", [
    (os.mkdir, "is not a file"), (os.mkfifo, "is not a file"),
    (lambda path: path.symlink_to("nothing"), "No such file"),
    (lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 10**11), "100,000,000,000"),
])
def test_f62_metrics_that_are_no_file_or_far_too_large_are_one_line(path, make, reason):
    make(path)
    with pytest.raises(UsageError, match=reason):
        read_metrics(path)


def test_f62_metrics_with_other_columns_than_asked_for_are_refused(path):
    path.write_bytes(WHOLE)
    assert len(read_metrics(path, ("epoch", "loss", "num_examples"))) == 3
    with pytest.raises(UsageError, match="line 1: the columns are 'step,epoch,loss,num_examples'"):
        read_metrics(path, ("epoch", "lozz", "num_examples"))


@pytest.mark.parametrize("resume_step, kept", [(6, 3), (5, 2), (4, 2), (1, 0)])
def test_rows_kept_when_a_run_resumes_are_the_same_bytes(path, resume_step, kept, caplog):
    path.write_bytes(WHOLE + b"8,2.")
    MetricsWriter(path.parent, resume_step).close()
    assert path.exists() == bool(kept)
    if kept:
        assert path.read_bytes() == (HEADER + "".join(ROWS[:kept])).encode()
    assert ("the last line is torn and was cut" in caplog.text) == (kept == 3)


def test_metrics_after_the_resumed_step_and_cut_rows_are_dropped(tmp_path):
    writer = MetricsWriter(tmp_path)
    for step in (1, 2, 3):
        writer.write(step, {"loss": step / 3})
    writer.close()
    with writer.path.open("a") as file:
        file.write("4,0.")
    resumed = MetricsWriter(tmp_path, resume_step=2)
    resumed.write(3, {"loss": 0.5})
    resumed.close()
    assert read_metrics(writer.path) == [
        {"step": 1, "loss": 1 / 3}, {"step": 2, "loss": 2 / 3}, {"step": 3, "loss": 0.5}]


def test_f14_metrics_that_cannot_be_written_cost_one_warning_and_come_with_the_next(
        tmp_path, caplog, monkeypatch):
    writer = MetricsWriter(tmp_path)
    writer.write(1, {"loss": 1.0})
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", _input_output_error)
        writer.write(2, {"loss": 2.0})
        assert caplog.text.count("training continues") == 1
    assert [row["step"] for row in read_metrics(writer.path)] == [1]
    writer.write(3, {"loss": 3.0})
    writer.close()
    assert [row["step"] for row in read_metrics(writer.path)] == [1, 2, 3]


def _input_output_error(descriptor):
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def shown(folder):
    """Tag -> strings of the TensorBoard events in `folder` that are no scalars."""
    values = [value for path in sorted(folder.glob("events.*"))
              for event in tf.compat.v1.train.summary_iterator(str(path))
              for value in event.summary.value if value.tensor.string_val]
    return {value.tag: list(value.tensor.string_val) for value in values}


def test_texts_and_images_are_kept_for_tensorboard(tmp_path):
    images = np.linspace(-1.0, 1.0, 2 * 4 * 5 * 3, dtype=np.float32).reshape(2, 4, 5, 3)
    writer = MetricsWriter(tmp_path)
    writer.write_texts(3, {"network": "two layers"})
    writer.write_images(3, "first batch", images)
    writer.close()
    found = shown(tmp_path)
    assert found["network"] == [b"two layers"]
    width, height, *pngs = found["first batch"]
    assert (width, height, len(pngs)) == (b"5", b"4", 2)
    for png, image in zip(pngs, images, strict=True):
        pixels = tf.io.decode_png(png).numpy()
        np.testing.assert_allclose(pixels / 127.5 - 1.0, image, atol=1 / 127)


def test_f14_texts_and_images_that_cannot_be_written_cost_a_warning(tmp_path, caplog, monkeypatch):
    def refuse(*args, **settings):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    writer = MetricsWriter(tmp_path)
    monkeypatch.setattr(tf.summary, "text", refuse)
    monkeypatch.setattr(tf.summary, "image", refuse)
    writer.write_texts(1, {"network": ""})
    writer.write_images(1, "first batch", np.zeros((1, 4, 4, 3), np.float32))
    writer.close()
    assert caplog.text.count("training continues") == 2
