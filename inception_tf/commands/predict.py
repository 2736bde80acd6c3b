"""`inception-tf predict IMAGE...|FOLDER`: the likeliest classes of pictures."""

import contextlib
import json
import logging
import os
import sys
from collections.abc import Sequence

from inception_tf import flags
from inception_tf.commands.shell import import_tensorflow
from inception_tf.errors import DataError, UsageError
from inception_tf.flags import Flag
from inception_tf.runtime import outputs
from inception_tf.text import printable

log = logging.getLogger("inception_tf")

OWN = (
    Flag("model", "", "a run's folder, an exported folder, or one of our .keras files",
         path=True),
    flags.CHECKPOINT,
    Flag("batch_size", 32, "pictures that go through the network together", low=1),
    Flag("top", 5, "classes named per picture", low=1),
    Flag("output", "", "also write one JSON line per picture to this file; must not exist",
         path=True),
    Flag("explain", "", "folder for heat maps, one per picture, of where its classes were seen; "
                        "must not exist", path=True),
)


def main(argv: Sequence[str]) -> None:
    """Prints a line per picture; unreadable ones are named, and end the command with 6."""
    arguments = flags.parse(
        "predict", "The likeliest classes of pictures: inception-tf predict IMAGE...|FOLDER "
        "--model=PATH.", argv, OWN, fields=(), takes_words=True)
    own = arguments.own
    _check(arguments)
    import_tensorflow()
    from inception_tf.serving.predictor import image_paths, open_predictor, require_room

    paths = image_paths(arguments.words)
    predictor = open_predictor(own["model"], arguments.own_if_given("checkpoint"))
    require_room(predictor, own["batch_size"])
    bad = _predict(predictor, paths, own)
    if bad:
        raise DataError(f"{bad} of {len(paths)} pictures could not be read; each is named above")


def _check(arguments):
    own = arguments.own
    if not arguments.words:
        raise UsageError("predict needs pictures: inception-tf predict IMAGE...|FOLDER "
                         "--model=PATH")
    arguments.require_model()
    if own["output"]:
        outputs.check_output("output", own["output"], replace=False)
    if own["explain"]:
        outputs.check_new_folder("explain", own["explain"])


def _predict(predictor, paths, own):
    """Prints and writes as answers come; the number of pictures that could not be read."""
    from inception_tf.labels import readable_names
    from inception_tf.runtime.progress import bar
    from inception_tf.serving.predictor import answer_of, predictions

    names = readable_names(predictor.class_names)
    width = min(48, max(map(len, paths)))
    bad = 0
    prints = not own["output"] or not outputs.is_standard_output(own["output"])
    draw = _pictures_to(own, predictor, paths, names)
    with _lines_to(own["output"]) as write:
        stream = bar(predictions(predictor, paths, own["batch_size"]), len(paths), "image",
                     "predict")
        for prediction in stream:
            answer = answer_of(prediction, names, own["top"])
            if prediction.error:
                bad += 1
                stream.write(printable(f"{prediction.path}: {prediction.error}"), file=sys.stderr)
            elif prints:
                stream.write(printable(f"{prediction.path:{width}}  {_line(answer)}"),
                             file=sys.stdout)
            write(answer)
            if not prediction.error:
                draw(prediction)
    return bad


def _line(answer):
    return "  ".join(f"{100 * one['probability']:5.1f} % {one['label']}" for one in answer["top"])


@contextlib.contextmanager
def _lines_to(path):
    """A function that appends an object as one JSON line; it does nothing without a path."""
    if not path:
        yield lambda line: None
        return
    with outputs.open_output("output", path) as file:
        def write(line):
            with outputs.blaming("output", path):
                print(json.dumps(line), file=file)

        yield write


def _pictures_to(own, predictor, paths, class_names):
    """A function that draws a prediction; it does nothing without --explain."""
    folder = own["explain"]
    if not folder:
        return lambda prediction: None
    if predictor.classifier is None:
        raise UsageError(f"--explain looks inside the network, --model={own['model']} gives only "
                         "its answers: take the run's folder or a .keras file")
    from inception_tf.serving.explain import Explainer, picture_names, write_picture

    explainer, names = Explainer(predictor.classifier), picture_names(paths)
    if explainer.grid_shape == (1, 1):
        log.warning("the last grid of this network is 1x1: its heat maps say how much, not where")
    with outputs.blaming("explain", folder):
        os.makedirs(folder)

    def draw(prediction):
        with outputs.blaming("explain", folder):
            write_picture(os.path.join(folder, names[prediction.path]), explainer, prediction,
                          class_names)

    return draw
