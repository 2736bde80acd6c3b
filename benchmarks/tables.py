"""Tables of the documentation, made from the files in benchmarks/results.

    python -m benchmarks.tables

In a page a table goes between the comments `<!-- table NAME -->` and `<!-- end of table -->`.
A benchmark without a result file is "not run".
"""

import json
import re
from pathlib import Path

from benchmarks import gpu_tables, harness, readme_tables, targets

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
PLACE = re.compile(r"(<!-- table (\w+) -->\n).*?(<!-- end of table -->)", re.DOTALL)
NOT_RUN = "not run"


def main():
    """Rewrites every page that has a table."""
    for page in PAGES:
        page.write_text(filled(page.read_text()))


def filled(text):
    """`text` with its tables made again."""
    return PLACE.sub(lambda found: f"{found[1]}{table(found[2])}{found[3]}", text)


def table(name):
    """The table of that name in Markdown, or "not run"."""
    if name in SUMMARIES:
        return SUMMARIES[name]()
    result = result_of(name)
    return TABLES[name](result) if result else f"{NOT_RUN}\n"


def result_of(name):
    """What the benchmark kept, or None."""
    path = harness.RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.is_file() else None


def speed():
    """Each target and what was measured for it."""
    rows = [["what", "measured", "target", "", "from"]]
    for target in targets.TARGETS:
        measured = target.measured(result_of(target.benchmark))
        bound = f"{'at least' if target.at_least else 'at most'} {target.bound:g}"
        source = f"[{target.benchmark}.json](../benchmarks/results/{target.benchmark}.json)"
        if measured is None:
            rows.append([target.what, NOT_RUN, bound, "", ""])
        else:
            rows.append([target.what, f"{measured:.2f}", bound,
                         "met" if target.met(measured) else "not met", source])
    return _markdown(rows)


SUMMARIES = {
    "speed": speed,
    "headlines": lambda: _markdown(readme_tables.headlines(result_of)),
    "peers": lambda: _markdown(readme_tables.peers(result_of)),
}


def serving(result):
    """Images per second of each form of one network, and its ratio to Keras' own export."""
    sizes = list(result["batch_sizes"])
    rows = [["form", *(f"batch {n}: images/s" for n in sizes), *(f"ratio at {n}" for n in sizes),
             "MB", "peak MiB"]]
    measured = (name for cells in result["batch_sizes"].values() for name in cells)
    for name in dict.fromkeys((*measured, *result["not_measured"])):
        cells = [result["batch_sizes"][n].get(name, {}) for n in sizes]
        size, peak = (result.get(key, {}).get(name) for key in ("size_mb", "peak_mib"))
        rows.append([name, *_serving_rates(cells, result["not_measured"].get(name, "")),
                     *map(_serving_ratio, cells),
                     *(f"{number:.0f}" if number else "" for number in (size, peak))])
    note = (f"Floor: {result['floor_images_per_second']:.1f} images/s, the multiply-adds at "
            f"{result['matrix_gflops']:.0f} GFLOP/s of a matrix product in the same run.")
    return _markdown(rows) + f"\n{_where(result)} {note}\n"


def _serving_rates(cells, why_not):
    """Images per second at each batch size; the reason once where there are none."""
    for cell in cells:
        if cell:
            yield f"{cell['images_per_second']['median']:.1f}"
        else:
            yield why_not
            why_not = ""


def _serving_ratio(cell):
    """The ratio; in parentheses the one to Keras' export under the same setting."""
    if "ratio" not in cell:
        return ""
    alike = f" ({cell['ratio_alike']:.2f})" if "ratio_alike" in cell else ""
    return f"{cell['ratio']:.2f}{alike}"


def training(result):
    """A step of each trainer, its start and memory; what our step consists of."""
    rows = [["", "batch", "images/s", "ratio", "ratio by CPU time", "peak MiB",
             "start to first step", "by CPU time"]]
    for batch, cases in result["batches"].items():
        for name, row in cases.items():
            start = {k: v["median"] for k, v in result["starts"].get(name, {}).items()}
            start = start if start and batch == "8" else row["start"]
            ratio = row.get("ratio", {})
            rows.append([
                name, batch, f"{row['images_per_second']['median']:.2f}",
                *(f"{ratio[clock]:.2f}" if ratio else "" for clock in ("wall", "cpu")),
                f"{row['peak_mib']:.0f}", f"{start['wall']:.0f} s", f"{start['cpu']:.0f} s"])
    rows += [[name, why, *[""] * 6] for name, why in result["not_measured"].items()]
    rows += [[name, "32", f"{row['images_per_second']['median']:.0f}", "", "",
              f"{row['peak_mib']:.0f}", "", ""] for name, row in result["demo"].items()]
    parts = [["part of a step", "share"]]
    parts += [[part, f"{100 * share:.1f} %"] for part, share in result["shares"].items()]
    note = (f"Floor: {result['floor_images_per_second']:.2f} images/s, three times the "
            f"multiply-adds at {result['matrix_gflops']:.0f} GFLOP/s.")
    return f"{_markdown(rows)}\n{_markdown(parts)}\n{_where(result)} {note}\n"


def resume(result):
    """Time to the first step and peak memory when resuming at 0 % and 95 % of an epoch."""
    rows = [["records as", "0 %", "95 %", "ratio", "peak memory, ratio"]]
    for name, row in result["formats"].items():
        seconds = [f"{row['seconds'][at]['median']:.1f} s" for at in ("0 %", "95 %")]
        rows.append([name, *seconds, f"{row['ratio']:.3f}", f"{row['peak_ratio']:.3f}"])
    return _markdown(rows) + f"\n{_where(result)}\n"


def save(result):
    """What a checkpoint costs while it is written."""
    seconds = {name: f"{result[name]['median']:.2f} s"
               for name in ("held_up_seconds", "write_seconds")}
    rows = [["a checkpoint of", "training held up", "writing", "speed of updates meanwhile",
             "peak MiB", "without saving", "floor: a copy in memory", "floor: writing the bytes"],
            [f"{result['megabytes']:.0f} MB", *seconds.values(),
             f"{result['speed_while_writing']:.2f}", f"{result['peak_mib']:.0f}",
             f"{result['peak_mib_without_saving']:.0f}", f"{result['copy_floor_seconds']:.2f} s",
             f"{result['write_floor_seconds']:.2f} s"]]
    return _markdown(rows) + f"\n{_where(result)}\n"


def overhead(result):
    """What is not loss and gradients in an update, and what a worker sends."""
    rows = [["network", "ms an update", "share outside loss and gradients",
             "bytes sent / of parameters"]]
    for name, row in result["cases"].items():
        sent = (f"{row['sent_per_update'] / row['parameter_bytes']:.3f}"
                if "sent_per_update" in row else "")
        rows.append([name, f"{1000 * row['update']['median']:.0f}",
                     f"{100 * row['outside_share']:.0f} %", sent])
    return _markdown(rows) + f"\n{_where(result)}\n"


def crops(result):
    """Scoring with 144 crops over the network alone, and memory by the number of images."""
    rows = [["network", "by the clock", "by CPU time"]]
    rows += [[name, *(f"{row[clock]['ratio']:.2f}" for clock in ("wall", "cpu"))]
             for name, row in result["cases"].items()]
    peaks = [["images scored at 75 pixels", "peak MiB"]]
    peaks += [[f"{int(number):,}", f"{mib:.0f}"] for number, mib in result["peak_mib"].items()]
    return f"{_markdown(rows)}\n{_markdown(peaks)}\n{_where(result)}\n"


def input(result):
    """Images per second and CPU time of each pipeline, and the ratios with targets."""
    rows = [["pipeline", "images/s", "CPU ms per image", "peak MiB"]]
    for name, row in result["rows"].items():
        rows.append([name, f"{row['images_per_second']['median']:.0f}",
                     f"{row['cpu_ms']['median']:.2f}", f"{row['peak_mib']:.0f}"])
    rows += [[name, why, "", ""] for name, why in result["missing"].items()]
    ratios = [["times as fast as", "", "by the clock", "by CPU time"]]
    ratios += [[r["of"], r["to"], f"{r['wall']:.2f}", f"{r['cpu']:.2f}"] for r in result["ratios"]]
    return f"{_markdown(rows)}\n{_markdown(ratios)}\n{_where(result)}\n"


def growth(result):
    """Time an image, and time per multiply-add over that of the smallest, along each axis."""
    kinds = ("update", "inference")
    rows = [["", "G multiply-adds", *(f"{kind}: {column}" for kind in kinds for column in (
        "ms an image", "floor", "per multiply-add", "by CPU time")), ""]]
    for name, axis in result["axes"].items():
        for row in axis["rows"]:
            cells = [f"{name} {row['value']:g}", f"{row['multiply_adds'] / 1e9:.2f}"]
            for kind in kinds:
                ratios = row[kind]["per_multiply_add"]
                cells += [f"{row[kind]['ms']['median']:.0f}", f"{row[kind]['floor_ms']:.0f}",
                          f"{ratios['wall']['median']:.2f}", f"{ratios['cpu']['median']:.2f}"]
            faster = [kind for kind in kinds if row[kind]["grows_faster"]]
            rows.append([*cells, f"grows faster: {', '.join(faster)}" if faster else ""])
    picture = "![time an image against each setting](../benchmarks/results/growth.png)"
    return _markdown(rows) + f"\n{_where(result)}\n\n{picture}\n"


def predict(result):
    """A folder of pictures to classes, and the network alone."""
    rows = [["network", "network alone: images/s", "folder to top-5: images/s", "ratio",
             "ratio by CPU time", "floor: images/s"]]
    for name, row in result["cases"].items():
        rates = row["images_per_second"]
        rows.append([name, f"{rates['network']:.1f}", f"{rates['predict']:.1f}",
                     f"{row['ratio']:.2f}", f"{row['cpu_ratio']:.2f}",
                     f"{row['floor_images_per_second']:.1f}"])
    return _markdown(rows) + f"\n{_where(result)}\n"


def serve(result):
    """JPEG files over HTTP to several clients, and the network alone."""
    rows = [["clients", "network alone: images/s", "served: images/s", "ratio",
             "ratio by CPU time", "p50", "p99", "damaged picture refused, p99"]]
    for number, row in result["clients"].items():
        rates = row["images_per_second"]
        rows.append([number, *(f"{rates[name]['median']:.1f}" for name in ("alone", "served")),
                     f"{row['ratio']:.2f}", f"{row['cpu_ratio']:.2f}",
                     *(f"{row['latency_s'][p]:.2f} s" for p in ("p50", "p99")),
                     f"{1000 * row['refusal_s']['p99']:.0f} ms" if "refusal_s" in row else ""])
    return _markdown(rows) + f"\n{_where(result)}\n"


def gpu(result):
    """Images per second, memory and share of the matrix rate of our networks and timm's."""
    rows = [["", "batch", "network", "images/s", "ratio", "peak MiB", "share of the matrix rate",
             "first call"]]
    for kind, batches in result["kinds"].items():
        for batch, cases in sorted(batches.items(), key=lambda item: int(item[0])):
            base = cases.get("timm, PyTorch", {}).get("images_per_second", {}).get("median")
            rows += [[kind, batch, name, *_gpu_cells(row, base)] for name, row in cases.items()]
    rows += [["", "", name, why, "", "", "", ""] for name, why in result["not_measured"].items()]
    versions = ", ".join(f"{name} {number}" for name, number in
                         result["machine"]["versions"].items()
                         if name in ("keras", "jax", "torch", "timm"))
    return _markdown(rows) + (
        f"\n{result['device']}, {result['matrix_tflops']:.0f} TFLOP/s of a bfloat16 matrix product "
        f"(the floor's rate); {versions}. Ratio: to timm without torch.compile.\n")


def _gpu_cells(row, base):
    if "failed" in row:
        return [row["failed"], "", "", "", ""]
    rate = row["images_per_second"]["median"]
    return [f"{rate:.0f}", f"{rate / base:.2f}" if base else "", f"{row['peak_mib']:.0f}",
            f"{100 * row['matrix_share']:.1f} %", f"{row['first_call_seconds']:.0f} s"]


def gpu_tensorflow(result):
    """TensorFlow on a GPU: speed, checks and whole commands, kinds of kernels."""
    *parts, note = gpu_tables.gpu_tensorflow(result)
    return "\n".join(_markdown(rows) for rows in parts if len(rows) > 1) + f"\n{note}\n"


def convolutions(result):
    """Each form of the network's convolutions in each precision."""
    names = list(result["precisions"])
    rows = [["form", "of how many convolutions",
             *(f"{name}, times as fast" for name in names)]]
    for form in result["precisions"][names[0]]:
        found = [result["precisions"][name][form] for name in names]
        numbers = sorted({row["convolutions"] for row in found})
        rows.append([form, " and ".join(map(str, numbers)),
                     *(f"{row['ratio']:.2f} ({1e3 * row['seconds']:.0f} ms)" for row in found)])
    return _markdown(rows) + f"\nBatch {result['batch']}. {_where(result)}\n"


TABLES = {f.__name__: f for f in (serving, serve, training, resume, save, overhead, crops, input,
                                  growth, predict, convolutions, gpu, gpu_tensorflow)}
TABLES["gpu_tensorflow_h100"] = gpu_tensorflow


def _where(result):
    machine = result["machine"]
    return (f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GB, "
            f"TensorFlow {machine['versions']['tensorflow']}, Keras "
            f"{machine['versions']['keras']}.")


def _markdown(rows):
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + "---|" * len(rows[0]))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
