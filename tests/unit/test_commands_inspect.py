"""`inception-tf inspect` on narrow networks: what a user reads, and what a mistake says."""

import os
import re

import pytest
from PIL import Image

from inception_tf.commands.inspect import main
from inception_tf.errors import UsageError
from tests.pictures import write_image_folder

SMALL = ["--width=0.125", "--image_size=75", "--repeats=1,1,1"]


def rows_of(text):
    """First word -> the words after it, of each line."""
    return {words[0]: words[1:] for words in map(str.split, text.splitlines()) if words}


def test_inspect_prints_a_row_per_endpoint_and_the_totals(capsys):
    main(["--net=inception_resnet_v1", "--classes=10", *SMALL])
    text = capsys.readouterr().out
    rows = rows_of(text)
    assert rows["inception_resnet_v1"] == ["at", "75x75"]
    assert rows["stem_1"][:1] + rows["stem_1"][-3:] == ["37x37x4", "3x3", "2x2", "stem"]
    assert rows["reduction_b"][0] == "1x1x224"
    assert rows["logits"][:2] == ["10", "2,250"]
    assert "aux_logits" not in rows
    assert "whole network: " in text and "without classifiers: " in text
    assert "\x1b" not in text  # no colour codes in a pipe


def test_inspect_with_auxiliary_head_and_without_top_changes_the_rows(capsys):
    main(["--net=inception_v4", "--aux_head", *SMALL])
    assert "aux_logits" in rows_of(capsys.readouterr().out)
    main(["--net=inception_v4", "--include_top=false", *SMALL])
    rows = rows_of(capsys.readouterr().out)
    assert "logits" not in rows and rows["inception_c_1"][0] == "1x1x192"


def test_inspect_diff_prints_what_differs(capsys):
    main(["--net=inception_resnet_v2", "--diff=inception_resnet_v2_released", *SMALL])
    text = capsys.readouterr().out
    assert "mixed_5b" in text and "1x1x268" in text and "1x1x260" in text


def test_inspect_diff_of_a_network_with_itself_says_so(capsys):
    main(["--net=inception_resnet_v1", "--diff=inception_resnet_v1", *SMALL])
    assert "no difference" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--net=inception_v5", "inception_v5"),
        ("--diff=resnet", "resnet"),
        ("--image_size=74", "74 is below 75"),
        ("--repeats=1,2", r"three values A,B,C, got \(1, 2\)"),
        ("--classes=0", "is below 1"),
        ("--unknown=1", "unknown"),
    ],
)
def test_inspect_bad_argument_is_one_line_that_names_it(argument, message):
    with pytest.raises(UsageError, match=message) as caught:
        main(["--net=inception_resnet_v1", *SMALL, argument])
    assert "\n" not in str(caught.value)


def test_inspect_auxiliary_head_without_top_is_refused():
    with pytest.raises(UsageError, match="needs include_top"):
        main(["--aux_head", "--include_top=false", *SMALL])


def test_inspect_input_prints_the_pipeline_beside_its_floor(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("inception_tf.commands.inspect.SECONDS", 0.1)
    write_image_folder(tmp_path, {"train": 40})
    main(["--input", "--dataset=folder", f"--data_dir={tmp_path}", "--image_size=75",
          "--images_per_second=2000"])
    printed = capsys.readouterr().out
    assert f"on the host, {os.cpu_count()} processors" in printed
    rows = rows_of(printed)
    rate, milliseconds, cores = (float(word.replace(",", "")) for word in rows["whole"][1:])
    assert rate > 0 and cores == pytest.approx(2 * milliseconds, abs=0.07)  # both are rounded
    assert 0 < float(rows["decoding"][5])


def test_flags_of_the_input_without_it_are_refused():
    with pytest.raises(UsageError, match="--color is of the input: add --input"):
        main(["--color=full"])


def test_inspect_draws_a_block_or_the_whole_as_the_name_ends(capsys, tmp_path):
    svg, png = tmp_path / "block.svg", tmp_path / "whole.PNG"
    png.write_text("from before")
    main(["--net=inception_v4", *SMALL, f"--draw={svg}", "--block=inception_a_1"])
    assert capsys.readouterr().out == f"{svg}: inception_a_1 of inception_v4\n"
    assert ">Figure 4: Inception-A</text>" in svg.read_text()
    main(["--net=inception_v4", *SMALL, f"--draw={png}"])
    assert capsys.readouterr().out == f"{png}: the whole of inception_v4\n"
    with Image.open(png) as picture:
        assert picture.format == "PNG" and picture.width >= 720
    assert sorted(path.name for path in tmp_path.iterdir()) == ["block.svg", "whole.PNG"]


@pytest.mark.parametrize(("arguments", "message"), [
    (["--draw=x.pdf"], "--draw='x.pdf' is no name of a drawing: it ends in .svg or .png"),
    (["--draw=/nowhere/x.svg"], "--draw='/nowhere/x.svg' cannot be written: no folder"),
    (["--draw=x.svg", "--diff=inception_v3"], "--draw draws one network: leave out --diff"),
    (["--draw=x.svg", "--input"], "--draw draws one network: leave out --input"),
    (["--block=stem"], "--block=stem is of a drawing: add --draw=FILE.svg"),
    (["--draw=x.svg", "--block=incepton_a_1"],
     "no block 'incepton_a_1': did you mean inception_a_1"),
])
def test_inspect_drawing_that_cannot_be_is_one_line_and_leaves_no_file(
        arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        main(["--net=inception_v4", *SMALL, *arguments])
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
