"""Tables of benchmarks/gpu_tensorflow.py: speed, where the time goes, checks."""


def gpu_tensorflow(result):
    """Rows of Markdown tables (lists of cells), and a line below them."""
    rows = result["rows"]
    yield _speed({n: r for n, r in rows.items() if "images_per_second" in r})
    yield _peers(result.get("peers", {}))
    yield [["not measured", "why"], *([n, r["failed"]] for n, r in rows.items() if "failed" in r)]
    yield _said({n: r for n, r in rows.items() if "says" in r})
    yield _updates(rows.get("check updates_as_on_cpu", {}).get("networks", {}))
    yield _profiles({n: r["profile"] for n, r in rows.items() if r.get("profile")})
    devices = ", ".join(sorted({row["device"] for row in rows.values() if "device" in row}))
    versions = result["machine"]["versions"]
    yield (f"{devices}, {result['machine']['processor']}, {result['machine']['cores']} cores, "
           f"TensorFlow {versions['tensorflow']}, Keras {versions['keras']}. Share: of the rate of "
           "a bfloat16 matrix product in the same process.")


def _speed(rows):
    lines = [["", "images/s", "ms", "peak MiB", "first call", "share of the matrix rate"]]
    for name, row in rows.items():
        lines.append([
            name, f"{row['images_per_second']['median']:.0f}", f"{row['ms']:.1f}",
            f"{row['peak_mib']:.0f}", f"{row['first_call_seconds']:.0f} s",
            f"{100 * row['matrix_share']:.1f} %"])
    return lines


def _peers(peers):
    """What benchmarks/gpu.py measured on the same machine in the same stay."""
    lines = [["beside them, bfloat16", "images/s", "peak MiB", "first call"]]
    for kind in ("training", "inference"):
        for batch, rows in peers.get(kind, {}).items():
            lines += [[f"{kind} {name} {batch}", f"{row['images_per_second']['median']:.0f}",
                       f"{row['peak_mib']:.0f}", f"{row['first_call_seconds']:.0f} s"]
                      for name, row in rows.items()]
    return lines


def _said(rows):
    """What other rows found; of one with a table of its own the verdict."""
    return [["", "found"]] + [
        [name, row["says"].partition(":")[0] if "networks" in row
         else row["says"].strip().partition("\n")[0]] for name, row in rows.items()]


def _updates(networks):
    """Relative differences of an update of each network from the CPU's."""
    kinds = ("loss", "norm", "update")
    return [["an update on the GPU and on the CPU", *kinds]] + [
        [name, *(f"{row[kind]:.0e}" for kind in kinds)] for name, row in networks.items()]


def _profiles(profiles):
    """A column a profiled row: ms of each kind of kernel, busy, in all."""
    kinds = dict.fromkeys(kind for profile in profiles.values() for kind in profile["kinds"])
    lines = [["ms", *profiles]]
    for kind in kinds:
        lines.append([kind, *(f"{p['kinds'].get(kind, 0.0):.1f}" for p in profiles.values())])
    lines.append(["some kernel runs", *(f"{p['busy_ms']:.1f}" for p in profiles.values())])
    lines.append(["by the clock", *(f"{p['wall_ms']:.1f}" for p in profiles.values())])
    lines.append(["kernels", *(f"{p['kernels']:.0f}" for p in profiles.values())])
    return lines
