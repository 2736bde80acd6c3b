"""What reaches a terminal: names give it no orders, and a full disk is one line."""

import errno
import logging
import os
import subprocess
import sys

import pytest
import tensorflow as tf
from rich.console import Console

from inception_tf.commands.shell import _Formatter, exit_code_of, import_tensorflow
from inception_tf.errors import UsageError
from inception_tf.evaluation import tables
from inception_tf.text import printable_lines

EVIL = "a\x1b]0;owned\x07\nerror: all is lost\r\u202etxt"
ESCAPED = r"a\x1b]0;owned\x07\nerror: all is lost\r\u202etxt"


def logged(message, *args):
    return _Formatter("%(message)s").format(
        logging.LogRecord("x", logging.INFO, "x", 1, message, args, None))


@pytest.mark.parametrize(("message", "args", "expected"), [
    ("bad example %s: cause", (EVIL,), f"bad example {ESCAPED}: cause"),
    ("%s", (OSError(EVIL),), ESCAPED),
    ("step %d of %g, %.3s", (3, 0.5, "abcdef"), "step 3 of 0.5, abc"),
    ("two\n\tlines of 100 %", (), "two\n\tlines of 100 %"),
    ("a message with \x1b[2J in it", (), r"a message with \x1b[2J in it"),
])
def test_log_lines_hold_no_order_to_the_terminal(message, args, expected):
    assert logged(message, *args) == expected


def test_error_is_one_line_whatever_it_names(capsys):
    def main(argv):
        raise UsageError(f"no file {argv[0]}")

    assert exit_code_of(main, [EVIL]) == 2
    assert capsys.readouterr().err == f"error: no file {ESCAPED}\n"


def test_table_shows_names_as_text_and_keeps_its_colours():
    row = {"networks": ["inception_v4"], "models": [f"runs/[bold]{EVIL}"], "crops": [1],
           "top1_error": 0.5, "top1_interval": (0, 1), "top5_error": 0, "top5_interval": (0, 1),
           "num_examples": 2}
    members = [{"weights": "ema", "about": {}}] * 2
    table = tables.score_table({"rows": [row], "members": members, "dataset": "folder",
                                "split": EVIL, "num_bad_examples": 0})
    console = Console(width=300, force_terminal=True, color_system="standard")
    with console.capture() as shown:
        console.print(table)
    assert "\x1b[" in shown.get() and "\x1b]" not in shown.get() and "\u202e" not in shown.get()
    assert f"[bold]{ESCAPED}" in shown.get()


def test_lines_keep_their_ends_and_tabs():
    assert printable_lines("a\tb\nc\x85d") == "a\tb\nc\\x85d"


@pytest.mark.parametrize("error", [
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "x.tmp"),
    OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), "x.tmp"),
    OSError("Can't write x.tmp (errno = 28, error message = 'No space left on device')"),
    RuntimeError("no writer:\n\tx.tmp; No space left on device\n\tFailed to flush 1 events"),
], ids=["disk", "quota", "of HDF5", "of TensorFlow"])
def test_f54_full_disk_anywhere_is_one_line_with_code_4(capsys, error):
    def main(_):
        raise error

    assert exit_code_of(main, []) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and "x.tmp" in line


def test_other_errors_of_the_system_are_not_hidden():
    def main(_):
        raise PermissionError(errno.EACCES, "no")

    with pytest.raises(PermissionError):
        exit_code_of(main, [])


def test_f54_standard_output_that_is_full_is_one_line_with_code_4():
    script = ("import sys; from inception_tf.commands.shell import exit_code_of\n"
              "sys.exit(exit_code_of(lambda argv: print('a table'), []))")
    for options in ((), ("-u",)):  # at the end, and at the first line
        with open("/dev/full", "w") as full:
            ended = subprocess.run([sys.executable, *options, "-c", script], stdout=full,
                                   stderr=subprocess.PIPE, text=True)
        assert ended.returncode == 4
        assert ended.stderr == "error: an output could not be written: No space left on device\n"


def test_device_out_of_memory_is_one_line_with_code_2(capsys):
    def main(argv):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor\nwith more")

    assert exit_code_of(main, []) == 2
    assert capsys.readouterr().err == (
        "error: the device's memory does not hold so much at once: take a smaller --batch_size "
        "where the command has one, or compute on the processor with CUDA_VISIBLE_DEVICES=-1\n")


def test_commands_compute_float32_in_float32():
    tf.config.experimental.enable_tensor_float_32_execution(True)
    import_tensorflow()
    assert not tf.config.experimental.tensor_float_32_execution_enabled()
