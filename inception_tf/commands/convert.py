"""`inception-tf convert`: published weights of other projects into one of our files."""

import collections
import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import Any

from inception_tf import flags
from inception_tf.commands.shell import import_tensorflow
from inception_tf.config import Config
from inception_tf.errors import DataError, UsageError
from inception_tf.flags import Flag
from inception_tf.runtime import outputs
from inception_tf.runtime.files import aside_of, complete_or_absent
from inception_tf.runtime.progress import working
from inception_tf.text import printable
from inception_tf.weights.download import ADDRESSES
from inception_tf.weights.matching import TABLES, Conversion

OWN = (
    Flag("from", "slim", "whose weights they are", tuple(TABLES)),
    Flag("input", "", "the file, the prefix of a TF-slim checkpoint (model.ckpt), or an address: "
         "https://... or hf://OWNER/NAME of Hugging Face", path=True, addresses=ADDRESSES),
    Flag("output", "", "X.keras, X.weights.h5 or the folder of a run, for eval, export and "
         "--init_from; must not exist yet", path=True),
    Flag("weights", "ema", "moving averages where the file has them (TF-slim), or the weights "
         "themselves; a folder gets both", ("ema", "raw")),
    Flag("classes", "as_found", "1000 leaves out the background class of TF-slim's 1001",
         ("as_found", "1000", "1001")),
    Flag("aux_head", False, "with the auxiliary classifier, where the file has one (TF-slim, "
         "torchvision)"),
    Flag("check", "", "image to classify with the converted network; prints its top 5",
         path=True),
)
FIELDS = ("net", "image_size", "width")
ENDINGS = (".weights.h5", ".keras")


def main(argv: Sequence[str]) -> None:
    """Converts --input, prints what became of every array, writes --output."""
    arguments = flags.parse(
        "convert", "Turns published weights into one of our networks.", argv, OWN,
        fields=FIELDS)
    network = flags.config_from(arguments, Config()).network
    own = arguments.own
    _check_paths(own)
    import_tensorflow()

    size = network.image_size
    is_folder = _is_folder(own["output"])
    classes = None if own["classes"] == "as_found" else int(own["classes"])
    build = network_builder(network.net, own["from"], own["aux_head"],
                            input_shape=(size, size, 3), width=network.width)
    with working(f"reading {own['input']}"):
        conversion = Conversion(
            build, network.net, own["from"], own["input"], classes, own["aux_head"],
            "both" if is_folder else own["weights"], network.width)
    if own["check"] and conversion.classes not in (1000, 1001):
        raise UsageError(f"--check names ImageNet's classes; the file has {conversion.classes}")
    print(*(printable(row) for row in conversion.rows), sep="\n")
    model = conversion.model()
    if own["check"]:
        _print_top_5(model, own, network)
    with working(f"writing {own['output']}"):
        _write(conversion, model, own, network)
    print(printable(_summary(conversion, own["output"])))


def network_builder(net: str, source: str, aux_head: bool = False, **options: Any) -> Callable:
    """What a Conversion builds the network `net` with, whose weights come from `source`."""
    from inception_tf import nets

    options |= TABLES[source].options.get(net, {})

    def build(classes, gamma):
        if not TABLES[source].gives_classes:
            return nets.FacenetInceptionResNetV1(classes, batch_norm_gamma=gamma, **options)
        return nets.build(
            net, classes=classes, aux_head=aux_head, batch_norm_gamma=gamma, **options)

    return build


def _check_paths(own):
    if not own["input"] or not own["output"]:
        raise UsageError("convert needs --input=PATH and --output=X.keras, X.weights.h5 or "
                         "a new folder")
    is_address = own["input"].startswith(ADDRESSES)
    name = own["input"] if is_address else os.path.basename(own["input"])
    if own["from"] != "gluon" and "gluon" in name:
        raise UsageError(f"--input={own['input']} has GluonCV's weights, whose images are "
                         "normalized differently: take --from=gluon")
    output = own["output"]
    if not output.endswith(ENDINGS) and not _is_folder(output):
        raise UsageError(f"--output={output!r} ends neither in .keras nor in .weights.h5; a "
                         "folder's name has no ending")
    if not TABLES[own["from"]].gives_classes and (_is_folder(output) or own["check"]):
        raise UsageError(f"--from={own['from']} gives an embedding, not classes: write X.keras or "
                         "X.weights.h5, without --check")
    if _is_folder(output):
        outputs.check_new_folder("output", output)
    else:
        outputs.check_output("output", output, replace=False)
    if own["check"] and not os.path.isfile(own["check"]):
        raise UsageError(f"--check: no file {own['check']!r}")


def _print_top_5(model, own, network):
    from inception_tf.nets.imagenet import decode_predictions

    image = _image(own["check"], own["from"], network)
    # With an auxiliary head the main classifier is the first of two outputs.
    answer = model(image[None], training=False)
    answer = answer[0] if isinstance(answer, list) else answer
    print(f"top 5 of {printable(own['check'])}:")
    for wordnet_id, name, score in decode_predictions(answer)[0]:
        print(f"  {score:.4f} {wordnet_id} {name}")


def _image(path, source, network):
    """The image as it was cut and resized for the weights of `source`."""
    import tensorflow as tf

    from inception_tf.data.images import MAX_PIXELS, cause_of_failure
    from inception_tf.data.views import Preprocessing, scoring_crop

    with open(path, "rb") as file:
        encoded = file.read()
    settings = Preprocessing(network.image_size, **TABLES[source].networks[network.net])
    try:
        return scoring_crop(tf.constant(encoded), settings)
    except tf.errors.OpError:
        cause = cause_of_failure(encoded, MAX_PIXELS)
        raise DataError(f"--check: {path}: {cause}") from None


def _is_folder(output):
    return not os.path.splitext(os.path.basename(output.rstrip("/")))[1]


def _write(conversion, model, own, network):
    """A run's folder, or one file that says which network it is; an embedding's says nothing."""
    from inception_tf.runs.new_run import facts_of, write_run

    if not conversion.gives_classes:
        _save(model, own["output"], None)
        return
    options = TABLES[conversion.source].options.get(conversion.net, {})
    network = dataclasses.replace(network, aux_head=own["aux_head"], **options)
    facts = facts_of(conversion, network)
    if _is_folder(own["output"]):
        write_run(own["output"], conversion, facts)
    else:
        _save(model, own["output"], facts)


def _save(model, output, facts):
    """Complete under its name, or absent."""
    from inception_tf.weights.card import write_facts

    ending = next(ending for ending in ENDINGS if output.endswith(ending))
    with outputs.blaming("output", output), complete_or_absent(
            output, aside_of(output, ending)) as unfinished:
        if ending == ".keras":
            model.save(unfinished)
        else:
            model.save_weights(unfinished)
        if facts is not None:
            write_facts(unfinished, facts)


def _summary(conversion, output):
    counts = collections.Counter(row.state for row in conversion.rows)
    gamma = " and a learned scale in batch norm (batch_norm_gamma=True)" * conversion.gamma
    kind = "classes" if conversion.gives_classes else "numbers per face"
    which = "moving averages" if conversion.averages else "weights as they are"
    return (f"{output}: {conversion.net} with {conversion.classes} {kind}{gamma}, {which}; "
            f"{counts['used']} arrays used, {counts['ignored']} ignored")
