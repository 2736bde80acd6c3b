"""`inception-tf inspect`: what a network is made of, as a table or drawn; how fast input comes."""

import os
import sys
from collections.abc import Sequence

from inception_tf import flags
from inception_tf.commands.shell import import_tensorflow
from inception_tf.config import Config
from inception_tf.errors import UsageError, usage_errors_of
from inception_tf.figures import FORMATS
from inception_tf.flags import Flag
from inception_tf.networks import NETWORKS, stage_of
from inception_tf.runtime import outputs
from inception_tf.text import printable

OWN = (
    Flag("include_top", True, "with the classifier"),
    Flag("aux_head", False, "with the auxiliary classifier"),
    Flag("classes", 1000, "size of the classifier", low=1, high=1_000_000),
    Flag("diff", "none", "show what differs from this network instead", ("none", *NETWORKS)),
    Flag("draw", "", "draw the network into this file, .svg or .png, as the paper's figures do",
         path=True),
    Flag("block", "", "what --draw draws in place of the whole network: an endpoint as "
         "inception_a_1, or stem"),
    Flag("input", False, "measure the input pipeline of --dataset instead"),
    Flag("images_per_second", 1000.0, "rate for which --input says how many cores it needs", low=0),
)
FIELDS = ("net", "image_size", "width", "repeats", "batch_norm_gamma")
INPUT_FIELDS = ("dataset", "data_dir", "train_split", "color", "min_crop_area",
                "reduced_decoding", "max_bad_examples", "max_image_pixels",
                "allow_empty_classes", "color_on")
# How long each of the two measurements of --input takes.
SECONDS = 5.0

LEGEND = "3x3 96 /2 V: kernel, filters, stride, V for no padding; -: not in that network"


def main(argv: Sequence[str]) -> None:
    """Prints parts, shapes and costs of --net, its --diff, or --input; or draws it by --draw."""
    arguments = flags.parse(
        "inspect", "Shows what a network is made of, or how fast its input comes.", argv, OWN,
        fields=(*FIELDS, *INPUT_FIELDS))
    config = flags.config_from(arguments, Config())
    network, other = config.network, arguments.own["diff"]
    if not arguments.own["input"] and (stray := sorted(arguments.given.keys() & {*INPUT_FIELDS})):
        raise UsageError(f"--{stray[0]} is of the input: add --input")
    _check_drawing(arguments.own)
    import_tensorflow()
    if arguments.own["input"]:
        _print_input(config, arguments.own["images_per_second"])
        return

    model = _built(network.net, network, arguments.own)
    if arguments.own["draw"]:
        _draw(model, arguments.own["block"], arguments.own["draw"])
    elif other == "none":
        _print_parts(model, network.image_size)
    else:
        _print_difference(model, _built(other, network, arguments.own))


def _check_drawing(own):
    path, block = own["draw"], own["block"]
    if not path:
        if block:
            raise UsageError(f"--block={block} is of a drawing: add --draw=FILE.svg")
        return
    for flag, none in (("input", False), ("diff", "none")):
        if own[flag] != none:
            raise UsageError(f"--draw draws one network: leave out --{flag}")
    if _kind_of(path) not in FORMATS:
        raise UsageError(f"--draw={path!r} is no name of a drawing: it ends in .svg or .png")
    outputs.check_output("draw", path)


def _kind_of(path):
    return os.path.splitext(path)[1].lower().removeprefix(".")


def _draw(model, block, path):
    from inception_tf.figures.picture import draw, rendered

    with usage_errors_of(ValueError):
        figure = draw(model, block)
    outputs.write_output("draw", path, rendered(figure, _kind_of(path)))
    print(f"{printable(path)}: {block or 'the whole'} of {model.name}")


def _built(net, network, own):
    from inception_tf import nets

    size = network.image_size
    try:
        return nets.build(
            net, include_top=own["include_top"], aux_head=own["aux_head"],
            classes=own["classes"], input_shape=(size, size, 3), width=network.width,
            repeats=network.repeats, batch_norm_gamma=network.batch_norm_gamma)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _print_parts(model, image_size):
    from inception_tf.nets.anatomy import parts

    rows = parts(model)
    table = _table(f"{model.name} at {image_size}x{image_size}", "endpoint", "output", "trainable",
                   "multiply-adds", "sees (pixels)", "stride", "stage")
    for row in rows:
        table.add_row(
            row.name, _by(row.shape), f"{row.parameters.trainable:,}",
            f"{row.multiply_adds / 1e6:,.2f} M", _by(row.receptive_field) or "all",
            _by(row.strides) or "-", stage_of(row.name))
    _print(table, *_totals(rows))


def _totals(rows):
    body = [row for row in rows if row.name not in ("logits", "aux_logits")]
    for label, chosen in (("whole network", rows), ("without classifiers", body)):
        trainable = sum(row.parameters.trainable for row in chosen)
        total = sum(row.parameters.total for row in chosen)
        cost = sum(row.multiply_adds for row in chosen)
        yield (f"{label}: {trainable:,} trainable parameters, {total:,} with batch statistics, "
               f"{cost / 1e9:.4f} G multiply-adds")


def _print_input(config, images_per_second):
    """Pipeline and floor, at which rate, and how many cores `images_per_second` takes."""
    from inception_tf.data.open import open_source
    from inception_tf.data.speed import decoding_speed, pipeline_speed
    from inception_tf.runtime.devices import colors_on_device

    data, size = config.data, config.network.image_size
    source = open_source(data, data.train_split)
    on_device = colors_on_device(config.execution.color_on)
    rows = {"whole pipeline": pipeline_speed(source, config, on_device, SECONDS),
            "decoding of the crops alone": decoding_speed(source, config, SECONDS)}
    table = _table(f"input of {source.name}/{data.train_split} at {size}x{size}, --color="
                   f"{data.color} on the {'device' if on_device else 'host'}, "
                   f"{os.cpu_count()} processors", "", "images/s", "ms of CPU an image",
                   f"cores for {images_per_second:g} images/s")
    for name, speed in rows.items():
        table.add_row(name, f"{speed.images_per_second:,.0f}", f"{1e3 * speed.cpu_seconds:.2f}",
                      f"{speed.cores_for(images_per_second):.1f}")
    _print(table)


def _print_difference(model, other):
    from inception_tf.nets.difference import difference

    rows = difference(model, other)
    if not rows:
        print(f"{model.name} and {other.name}: no difference")
        return
    table = _table(f"{model.name} and {other.name}", "where")
    for column in ("what", model.name, other.name):
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    _print(table, LEGEND)


def _table(title, first_column, *numbers):
    """A table with a column of text; `numbers` are the names of columns of numbers."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    lines = box.SIMPLE_HEAD if sys.stdout.isatty() else None
    table = Table(title=Text(printable(title), "table.title"), title_justify="left", box=lines,
                  pad_edge=False)
    table.add_column(first_column, no_wrap=True)
    for column in numbers:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _print(table, *lines):
    """Drawn to the terminal's width; in a file or pipe as wide as it is."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else PIPE_WIDTH
    console = Console(file=sys.stdout, width=width, highlight=False)
    console.print(table)
    for line in lines:
        console.print(line, soft_wrap=True)


# Wider than any table here: rich would cut to 80 columns where there is no terminal.
PIPE_WIDTH = 160


def _by(sides):
    return "x".join(map(str, sides or ()))
