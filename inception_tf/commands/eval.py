"""`inception-tf eval`: top-1 and top-5 error of a trained network on a whole split."""

import json
import sys
from pathlib import Path

from inception_tf import flags
from inception_tf.commands.shell import import_tensorflow
from inception_tf.flags import Flag

OWN = (
    Flag("weights", "ema", "averaged or raw weights", ("ema", "raw")),
    Flag("batch_size", 32, "images per pass"),
    Flag("output", "", "also write the result as JSON to this file"),
)
FIELDS = ("model_dir", "strategy", "dataset", "data_dir", "manual_dir", "eval_split",
          "crop_fraction", "interpolation", "pixel_centers", "antialias", "max_image_pixels")


def main(argv):
    """Scores the newest valid checkpoint of --model_dir; prints a table."""
    arguments = flags.parse(
        "eval", "Scores a trained network; settings come from its model_dir.", argv, OWN,
        groups=("data", "runtime"), fields=FIELDS)

    import_tensorflow()
    from inception_tf.evaluation.single_crop import score_folder

    result = score_folder(arguments.given, weights=arguments.own["weights"],
                          batch_size=arguments.own["batch_size"])
    _print_table(result)
    if arguments.own["output"]:
        Path(arguments.own["output"]).write_text(json.dumps(result, indent=2) + "\n")


def _print_table(result):
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{result['model_dir']}, step {result['step']}, "
                        f"{result['weights']} weights")
    for column in ("network", "split", "crops", "top-1 error", "top-5 error", "images", "images/s"):
        table.add_column(column, justify="left" if column in ("network", "split") else "right")
    table.add_row(
        result["network"], f"{result['dataset']} {result['split']}", "1",
        f"{100 * result['top1_error']:.2f} %", f"{100 * result['top5_error']:.2f} %",
        str(result["num_examples"]), f"{result['images_per_second']:.1f}")
    width = None if sys.stdout.isatty() else 120
    Console(file=sys.stdout, width=width).print(table)
