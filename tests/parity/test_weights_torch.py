"""Full-size files saved by projects for torch, converted: same images, same answers."""

import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest

from inception_tf.weights import gluon
from tests.parity.arrays import images
from tests.parity.torch_peers import answers, assert_equal, randomize
from tests.weight_files import matched, names

GOLDEN = Path(__file__).parent.parent / "golden"
# ImageNet's pixels from 0 to 1, as torchvision and GluonCV normalize them.
MEAN, DEVIATION = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


def saved(torch, network, path):
    """`network` with random weights, in a file of torch.save."""
    randomize(torch, network)
    torch.save(network.state_dict(), path)
    return str(path)


def logits_of(conversion, pictures):
    """Head -> its answers without the softmax."""
    model = conversion.model()
    heads = {layer.name: layer.output for layer in model.layers
             if layer.name in ("logits", "aux_logits")}
    given = keras.Model(model.input, heads)(pictures, training=False)
    return {name: keras.ops.convert_to_numpy(one) for name, one in given.items()}


def test_converted_inception_resnet_v2_of_timm_answers_as_it_did(tmp_path, timm, torch):
    safetensors = pytest.importorskip("safetensors.torch")
    theirs = timm.create_model("inception_resnet_v2")
    randomize(torch, theirs)
    safetensors.save_file(theirs.state_dict(), tmp_path / "x.safetensors")
    conversion = matched(
        "inception_resnet_v2_released", "timm", str(tmp_path / "x.safetensors"))

    answer = logits_of(conversion, images())["logits"]

    assert conversion.gamma
    assert_equal(answer, answers(torch, theirs, images()))


def test_converted_inception_v3_of_torchvision_answers_as_it_did_with_both_heads(
        tmp_path, torchvision_inception, torch):
    theirs = torchvision_inception.Inception3(transform_input=True, init_weights=False)
    conversion = matched("inception_v3", "torchvision",
                         saved(torch, theirs, tmp_path / "x.pth"), aux_head=True)
    pictures, aux = images(2), []
    # torchvision runs its auxiliary head in training only.
    theirs.Mixed_6e.register_forward_hook(
        lambda _module, _given, grid: aux.append(theirs.AuxLogits(grid)))

    answer = logits_of(conversion, pictures)

    # Its input is normalized by ImageNet's mean and deviation, which transform_input undoes.
    expected = answers(torch, theirs, ((pictures + 1) / 2 - MEAN) / DEVIATION)
    assert_equal(answer["logits"], expected)
    assert_equal(answer["aux_logits"], aux[0].numpy())


def test_converted_inception_v3_of_gluon_takes_the_input_of_ours(tmp_path, timm, torch):
    config = timm.get_pretrained_cfg("inception_v3.gluon_in1k")
    np.testing.assert_allclose((config.mean, config.std), (gluon._MEAN, gluon._DEVIATION))
    theirs = timm.create_model("inception_v3")
    conversion = matched("inception_v3", "gluon", saved(torch, theirs, tmp_path / "x.pth"))

    answer = logits_of(conversion, images())["logits"]

    assert_equal(answer, answers(torch, theirs, ((images() + 1) / 2 - MEAN) / DEVIATION))


def test_facenet_pytorch_names_cover_every_key_once():
    keys = json.loads((GOLDEN / "facenet_pytorch_keys.json").read_text())
    wanted = [key for key in keys if not key.endswith("num_batches_tracked")]
    assert sorted(names("inception_resnet_v1", "facenet_pytorch").values()) == sorted(wanted)


def test_names_of_facenet_are_those_that_facenet_pytorch_reads(facenet_pytorch):
    """Its own converter says which scope of facenet's checkpoints belongs to which module."""
    source = Path(facenet_pytorch.__file__).parent / "utils" / "tensorflow2pytorch.py"
    scopes = dict(re.findall(r"'(\w+)': \['(InceptionResnetV1/[\w/]+)'", source.read_text()))
    ours, theirs = (names("inception_resnet_v1", kind) for kind in ("facenet", "facenet_pytorch"))
    assert len(scopes) == 14
    for path, name in ours.items():
        assert name.startswith(scopes[theirs[path].split(".")[0]]), path


def test_converted_inception_resnet_v1_of_facenet_pytorch_embeds_as_it_did(
        tmp_path, facenet_pytorch, torch):
    theirs = facenet_pytorch.InceptionResnetV1(classify=True, num_classes=7)
    path = saved(torch, theirs, tmp_path / "x.pt")
    theirs.classify = False  # the file keeps its classifier, as the published ones do
    conversion = matched("inception_resnet_v1", "facenet_pytorch", path)
    faces = images(2, 160)

    answer = keras.ops.convert_to_numpy(conversion.model()(faces, training=False))

    assert_equal(answer, answers(torch, theirs, faces))
    ignored = {row.name for row in conversion.rows if row.state == "ignored"}
    assert {name for name in ignored if "num_batches" not in name} == {
        "logits.weight", "logits.bias"}
