"""Our networks against timm's under torch: same weights, same answers."""

import json
from pathlib import Path

import keras
import pytest

from inception_tf.commands.convert import network_builder
from inception_tf.weights.arrays import assign
from inception_tf.weights.timm import TABLE
from tests.parity.arrays import images
from tests.parity.torch_peers import answers, assert_equal, randomize
from tests.weight_files import names, ours

GOLDEN = Path(__file__).parent.parent / "golden"
# Our network -> its name in timm; of the variants with other weights names and shapes are the same.
MODELS = {"inception_v3": "inception_v3", "inception_v4": "inception_v4",
          "inception_resnet_v2_released": "inception_resnet_v2"}


@pytest.mark.parametrize("network", TABLE.networks)
def test_timm_names_of_network_cover_every_key_once(network):
    keys = json.loads((GOLDEN / f"timm_{MODELS[network]}_keys.json").read_text())
    wanted = [key for key in keys if not key.endswith("num_batches_tracked")]
    assert sorted(names(network, "timm").values()) == sorted(wanted)


@pytest.mark.parametrize("network", TABLE.networks)
def test_outputs_with_the_weights_of_timm_equal_its_outputs(network, timm, torch):
    has_aux = network == "inception_v3"
    theirs = timm.create_model(MODELS[network], **({"aux_logits": True} if has_aux else {}))
    state = randomize(torch, theirs)
    build = network_builder(network, "timm", has_aux, classifier_activation=None)
    model = build(1000, True)
    assign(model, ours(network, "timm", state))

    expected = answers(torch, theirs, images())
    answer = model(images(), training=False)

    for one, other in zip(answer, expected, strict=True) if has_aux else [(answer, expected)]:
        assert_equal(keras.ops.convert_to_numpy(one), other)


# name of timm's weights -> our network. Each has its published tensors under the same names.
VARIANTS = {"inception_v3.tf_in1k": "inception_v3", "inception_v3.tf_adv_in1k": "inception_v3",
            "inception_v3.gluon_in1k": "inception_v3", "inception_v4.tf_in1k": "inception_v4",
            "inception_resnet_v2.tf_in1k": "inception_resnet_v2_released",
            "inception_resnet_v2.tf_ens_adv_in1k": "inception_resnet_v2_released"}


@pytest.mark.parametrize("variant", VARIANTS)
def test_published_variants_are_scored_as_timm_does(variant, timm):
    """Crop and resize of the table are those of timm's own configuration of each file."""
    config = timm.get_pretrained_cfg(variant)
    settings = TABLE.networks[VARIANTS[variant]]
    assert (config.num_classes, config.input_size) == (1000, (3, 299, 299))
    assert settings["crop_fraction"] == config.crop_pct
    assert settings["interpolation"] == config.interpolation
    is_gluon = "gluon" in variant
    assert (config.mean == (0.5, 0.5, 0.5)) == (config.std == (0.5, 0.5, 0.5)) != is_gluon
