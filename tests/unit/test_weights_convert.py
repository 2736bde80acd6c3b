"""`inception-tf convert` on narrow networks: what goes where, and what is refused."""

import re

import numpy as np
import pytest
import tensorflow as tf

from inception_tf import nets
from inception_tf.commands.convert import main
from inception_tf.errors import DataError, UsageError
from tests.bad_images import jpeg
from tests.weight_files import (
    NARROW,
    RELEASED,
    SHAPE,
    arrays,
    matched,
    numbers,
    states,
    write_checkpoint,
    write_checkpoint_v1,
    write_keras_2,
    write_keras_3,
)


@pytest.fixture(scope="module")
def slim_arrays():
    return arrays("inception_v3", "slim", 1001)


@pytest.fixture
def checkpoint(tmp_path, slim_arrays):
    """Writes slim's arrays with changes: name -> array, or None to leave it out."""

    def write(**changes):
        changed = {name.replace("__", "/"): array for name, array in changes.items()}
        named = slim_arrays | changed
        return write_checkpoint(
            tmp_path / "model.ckpt", {k: v for k, v in named.items() if v is not None})

    return write


# What slim's training script leaves in a checkpoint beside the weights.
TRAINING = {
    "global_step": np.int64(7),
    "InceptionV3__Logits__Conv2d_1c_1x1__biases__ExponentialMovingAverage": np.zeros(3, "f4"),
    "InceptionV3__Logits__Conv2d_1c_1x1__biases__RMSProp_1": np.zeros(3, "f4"),
}


def test_convert_slim_without_background_class_drops_the_first_and_keeps_the_rest(
        checkpoint, slim_arrays):
    conversion = matched("inception_v3", "slim", checkpoint(**TRAINING), 1000, **SHAPE)
    ours = numbers(conversion.model())
    root = "InceptionV3/Logits/Conv2d_1c_1x1"
    np.testing.assert_array_equal(
        ours["logits/kernel"], slim_arrays[f"{root}/weights"][0, 0, :, 1:])
    np.testing.assert_array_equal(ours["logits/bias"], slim_arrays[f"{root}/biases"][1:])
    np.testing.assert_array_equal(
        ours["stem_1/kernel"], slim_arrays["InceptionV3/Conv2d_1a_3x3/weights"])
    ignored = states(conversion)
    assert {state for state, _ in ignored.values()} == {"ignored"}
    assert "training steps" in ignored["global_step"][1]
    assert "moving average" in ignored[f"{root}/biases/ExponentialMovingAverage"][1]
    assert "optimizer" in ignored[f"{root}/biases/RMSProp_1"][1]
    auxiliary = [name for name in slim_arrays if "/AuxLogits/" in name]
    assert all("--aux_head" in ignored[name][1] for name in auxiliary)
    assert len(ignored) == 3 + len(auxiliary) > 3


def test_convert_slim_with_auxiliary_head_uses_every_array(checkpoint, slim_arrays):
    conversion = matched("inception_v3", "slim", checkpoint(), aux_head=True, **SHAPE)
    assert {row.name for row in conversion.rows} == set(slim_arrays) and not states(conversion)
    ours = numbers(conversion.model())
    assert ours["aux_logits/bias"].shape == ours["logits/bias"].shape == (1001,)


def test_convert_slim_checkpoint_of_the_first_format_is_read(tmp_path, slim_arrays):
    path = write_checkpoint_v1(tmp_path / "inception_v3.ckpt", slim_arrays)
    ours = numbers(matched("inception_v3", "slim", path, **SHAPE).model())
    np.testing.assert_array_equal(
        ours["stem_1/kernel"], slim_arrays["InceptionV3/Conv2d_1a_3x3/weights"])


BIAS = "InceptionV3__Logits__Conv2d_1c_1x1__biases"
KERNEL = "InceptionV3__Conv2d_2a_3x3__weights"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({KERNEL: None}, r"1 missing.*InceptionV3/Conv2d_2a_3x3/weights \(3, 3, 2, 2\)"),
        ({KERNEL: np.zeros((3, 3, 2, 5), "f4")},
         r"1 other shape.*InceptionV3/Conv2d_2a_3x3/weights \(3, 3, 2, 5\).*needs"),
        ({"InceptionV3__BatchNorm__gamma": np.ones(3, "f4")},
         r"1 left over.*InceptionV3/BatchNorm/gamma \(3,\)"),
        ({"nobody__RMSProp": np.ones(3, "f4")}, r"1 left over.*nobody/RMSProp \(3,\)"),
        ({KERNEL: np.full((3, 3, 2, 2), np.nan, "f4")}, r"2a_3x3/weights \(3, 3, 2, 2\).*NaN"),
        ({KERNEL: np.zeros((3, 3, 2, 2), "i4")}, "2a_3x3/weights is int32"),
        ({BIAS: np.zeros(100_001, "f4")}, "biases claims 100001 classes"),
    ],
    ids=["missing", "of another shape", "left over", "slot of nothing", "nan", "integers",
         "too many classes"],
)
def test_convert_array_that_does_not_fit_is_named_with_its_shape(checkpoint, change, words):
    with pytest.raises(UsageError, match=words):
        matched("inception_v3", "slim", checkpoint(**change), **SHAPE).model()


def test_convert_damaged_checkpoint_names_the_array(checkpoint):
    path = checkpoint()
    data = f"{path}.data-00000-of-00001"
    with open(data, "r+b") as file:
        file.seek(40)
        file.write(b"damage")
    with pytest.raises(UsageError, match=r"array InceptionV3/\S+ .*damaged"):
        matched("inception_v3", "slim", path, **SHAPE).model()


@pytest.mark.parametrize("write", [write_keras_2, write_keras_3])
@pytest.mark.parametrize("first", [0, 1, 94])
def test_convert_keras_finds_layers_wherever_their_numbers_start(tmp_path, write, first):
    named = arrays("inception_v3", "keras")
    path = write(tmp_path / "x.weights.h5", renumbered(named, first))
    ours = numbers(matched("inception_v3", "keras", path, **SHAPE).model())
    np.testing.assert_array_equal(ours["stem_1/kernel"], named["conv2d/kernel"])
    np.testing.assert_array_equal(ours["inception_c_2_pool_1x1_bn/moving_variance"],
                                  named["batch_normalization_93/moving_variance"])
    np.testing.assert_array_equal(ours["logits/kernel"], named["predictions/kernel"])


def renumbered(named, first):
    """conv2d_5 -> conv2d_<5 + first>, and so for batch norm."""
    result = {}
    for name, array in named.items():
        match = re.fullmatch(r"(conv2d|batch_normalization)(?:_(\d+))?/(\w+)", name)
        if match:
            number = int(match[2] or 0) + first
            name = f"{match[1]}_{number}/{match[3]}" if number else f"{match[1]}/{match[3]}"
        result[name] = array
    return result


def test_convert_keras_finds_the_layers_that_have_names(tmp_path):
    named = arrays(RELEASED, "keras")
    path = write_keras_2(tmp_path / "x.h5", renumbered(named, 1))
    conversion = matched(RELEASED, "keras", path, **SHAPE)
    assert {row.state for row in conversion.rows} == {"used"}
    ours = numbers(conversion.model())
    np.testing.assert_array_equal(
        ours["inception_resnet_c_10_linear/bias"], named["block8_10_conv/bias"])
    np.testing.assert_array_equal(ours["conv_7b_bn/beta"], named["conv_7b_bn/beta"])
    np.testing.assert_array_equal(
        ours["inception_resnet_c_10_long_3x1/kernel"], named["conv2d_202/kernel"])


def test_convert_keras_without_one_numbered_layer_is_refused(tmp_path):
    named = arrays("inception_v3", "keras")
    del named["conv2d_40/kernel"]
    path = write_keras_2(tmp_path / "x.h5", named)
    with pytest.raises(UsageError, match=r"1 missing.*conv2d_40/kernel"):
        matched("inception_v3", "keras", path, **SHAPE).model()


@pytest.mark.parametrize("source", ["slim", "keras", "timm"])
def test_convert_paper_variant_is_refused_with_the_reason(source):
    with pytest.raises(UsageError, match="inception_resnet_v2_released"):
        matched("inception_resnet_v2", source, "x")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--input=x"], "--output"),
        (["--input=x", "--output=x.h5"], "ends neither"),
        (["--input=x", "--output=nowhere/x.keras"], "no folder 'nowhere'"),
        (["--input=x", "--output=o.keras", "--check=no.jpg"], "--check: no file 'no.jpg'"),
        (["--input=x", "--output=o.keras"], "no checkpoint at 'x'"),
        (["--input=/", "--output=o.keras"], "no checkpoint at '/'"),
        (["--input=x", "--output=o.keras", "--from=keras", "--net=inception_v3"], "no file 'x'"),
        (["--input=x", "--output=o.keras", "--from=torchvision", "--net=inception_v4"], "no table"),
        (["--input=x_gluon.pth", "--output=o.keras", "--from=timm"], "take --from=gluon"),
        (["--input=gluon/x", "--output=o.keras"], "no checkpoint at 'gluon/x'"),
        (["--input=http://x/y.pth", "--output=o.keras"], "give a path.*https://..., hf://"),
        (["--input=x", "--output=o.keras", "--from=keras", "--aux_head", "--net=inception_v3"],
         "no auxiliary head"),
    ],
)
def test_convert_bad_argument_is_one_line_that_names_it(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message) as caught:
        main(words)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", [".keras", ".weights.h5"])
def test_convert_command_writes_a_file_that_the_builder_loads(
        checkpoint, tmp_path, capsys, ending):
    output = tmp_path / f"out{ending}"
    (tmp_path / "x.jpg").write_bytes(jpeg())
    main(["--net=inception_v3", "--from=slim", f"--input={checkpoint(**TRAINING)}", *NARROW,
          f"--output={output}", f"--check={tmp_path / 'x.jpg'}"])
    lines = capsys.readouterr().out.splitlines()
    assert "ignored    global_step []: counter of training steps" in lines
    top = lines.index(f"top 5 of {tmp_path / 'x.jpg'}:")
    assert [len(line.split()) for line in lines[top + 1:top + 6]] == [3] * 5
    assert "1001 classes" in lines[-1]
    model = nets.build("inception_v3", classes=1001, weights=str(output), **SHAPE)
    reader = tf.train.load_checkpoint(str(tmp_path / "model.ckpt"))
    np.testing.assert_array_equal(
        model.get_layer("logits").bias.numpy(), reader.get_tensor(BIAS.replace("__", "/")))
    assert not list(tmp_path.glob("*unfinished*"))


def test_convert_existing_output_and_bad_image_leave_nothing_new(checkpoint, tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"no image")
    (tmp_path / "old.keras").write_bytes(b"mine")
    common = ["--net=inception_v3", "--from=slim", f"--input={checkpoint()}", *NARROW]
    with pytest.raises(UsageError, match="exists already"):
        main([*common, f"--output={tmp_path / 'old.keras'}"])
    with pytest.raises(DataError, match="not a JPEG"):
        main([*common, f"--output={tmp_path / 'new.keras'}", f"--check={tmp_path / 'x.jpg'}"])
    assert (tmp_path / "old.keras").read_bytes() == b"mine"
    assert not (tmp_path / "new.keras").exists()


def test_convert_network_with_a_classifier_of_the_users_takes_both(tmp_path):
    named = {name.replace("predictions/", "dense_3/"): array
             for name, array in arrays("inception_v3", "keras", 7).items()}
    conversion = matched("inception_v3", "keras", write_keras_3(tmp_path / "x.h5", named),
                            **SHAPE)
    np.testing.assert_array_equal(
        numbers(conversion.model())["logits/kernel"], named["dense_3/kernel"])
