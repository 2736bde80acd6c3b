"""Which processes train together: read from TF_CONFIG or from SLURM's variables.

Every worker starts the same command; only the environment differs. TensorFlow's
own SLURM resolver asks for GPUs on every node, so the variables are read here and
CPU-only nodes work too.
"""

import json
import re
from dataclasses import dataclass

from inception_tf.errors import UsageError

# First port of SLURM workers; TF_CONFIG names its own.
SLURM_PORT = 8470


@dataclass(frozen=True)
class Cluster:
    """The workers' addresses ("host:port") in order, and which of them this process is."""

    workers: tuple[str, ...]
    index: int

    @property
    def is_chief(self):
        """Worker 0 is the only one that writes."""
        return self.index == 0

    @property
    def peers(self):
        """Addresses of the other workers."""
        return tuple(a for i, a in enumerate(self.workers) if i != self.index)

    def part(self, batch_size):
        """The slots [low, high) of a batch over all workers that this one holds."""
        share = batch_size // len(self.workers)
        return self.index * share, (self.index + 1) * share

    def tf_config(self):
        """This cluster as TF_CONFIG's JSON text."""
        return json.dumps({"cluster": {"worker": list(self.workers)},
                           "task": {"type": "worker", "index": self.index}})


ALONE = Cluster(("localhost:0",), 0)


def read_cluster(environ):
    """The Cluster that the variables describe; ALONE when they describe none.

    Raises:
        UsageError: TF_CONFIG or SLURM's variables contradict themselves.
    """
    if environ.get("TF_CONFIG"):
        return _from_tf_config(environ["TF_CONFIG"])
    if int(environ.get("SLURM_STEP_NUM_TASKS", environ.get("SLURM_NTASKS", "1"))) > 1:
        return _from_slurm(environ)
    return ALONE


def _from_tf_config(text):
    try:
        config = json.loads(text)
        workers, task = config["cluster"]["worker"], config["task"]
        extra = set(config["cluster"]) - {"worker"}
        index, kind = int(task["index"]), task["type"]
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"TF_CONFIG is not a cluster of workers ({error!r}): {text:.200}") from None
    if extra or kind != "worker":
        raise UsageError(f"TF_CONFIG may only have workers (worker 0 is the chief), got "
                         f"{', '.join(sorted(extra)) or kind}")
    if not 0 <= index < len(workers):
        raise UsageError(f"TF_CONFIG: task index {index} of {len(workers)} workers")
    return Cluster(tuple(workers), index)


def _from_slurm(environ):
    try:
        hosts = expand_hosts(environ.get("SLURM_STEP_NODELIST") or environ["SLURM_JOB_NODELIST"])
        tasks = expand_counts(environ.get("SLURM_STEP_TASKS_PER_NODE")
                              or environ["SLURM_TASKS_PER_NODE"])
        index = int(environ["SLURM_PROCID"])
    except KeyError as missing:
        raise UsageError(f"SLURM's variable {missing} is not set: start the workers with srun") \
            from None
    if len(hosts) != len(tasks) or not 0 <= index < sum(tasks):
        raise UsageError(f"SLURM's variables contradict each other: {len(hosts)} nodes, tasks per "
                         f"node {tasks}, this is task {index}")
    workers = [f"{host}:{SLURM_PORT + local}"
               for host, count in zip(hosts, tasks, strict=True) for local in range(count)]
    return Cluster(tuple(workers), index)


def expand_hosts(text):
    """SLURM's host list as names: "n[01-03,7],gpu" -> n01 n02 n03 n7 gpu."""
    names = []
    for part in re.findall(r"[^,\[]+(?:\[[^\]]*\])?[^,\[]*", text):
        match = re.fullmatch(r"([^\[]*)\[([^\]]*)\](.*)", part)
        if not match:
            names.append(part)
            continue
        prefix, ranges, suffix = match.groups()
        names += [f"{prefix}{number}{suffix}" for number in _expand_ranges(ranges)]
    return names


def expand_counts(text):
    """SLURM's tasks per node as numbers: "2(x3),1" -> 2 2 2 1."""
    counts = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if not match:
            raise UsageError(f"SLURM's tasks per node {text!r} are not understood")
        counts += [int(match[1])] * int(match[2] or 1)
    return counts


def _expand_ranges(text):
    for part in text.split(","):
        first, _, last = part.partition("-")
        for number in range(int(first), int(last or first) + 1):
            yield f"{number:0{len(first)}d}"
