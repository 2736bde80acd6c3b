"""Which processes train together: read from TF_CONFIG or from SLURM's variables.

Every worker starts the same command; only the environment differs. TensorFlow's
own SLURM resolver asks for GPUs on every node, so the variables are read here and
CPU-only nodes work too.
"""

import ipaddress
import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

from inception_tf import strict_json
from inception_tf.errors import UsageError
from inception_tf.text import printable

# First port of SLURM workers; TF_CONFIG names its own.
SLURM_PORT = 8470
# More tasks than anybody starts of one run: a range beyond that is a mistake.
_MAX_TASKS = 100_000
# A name, an IPv4 address, or an IPv6 address in brackets; TensorFlow wants the brackets too.
_ADDRESS = re.compile(r"(\[[^\s\[\]]+\]|[^\s:\[\]/@,]+):([0-9]{1,5})")


@dataclass(frozen=True)
class Cluster:
    """The workers' addresses ("host:port") in order, and which of them this process is.

    Raises:
        UsageError: an address is none, or is there twice: TensorFlow would wait without end.
    """

    workers: tuple[str, ...]
    index: int

    def __post_init__(self):
        seen = {}
        for i, address in enumerate(self.workers if len(self.workers) > 1 else ()):
            same = seen.setdefault(_endpoint(address), i)
            if same != i:
                raise UsageError(f"workers {same} and {i} have one address "
                                 f"({self.workers[same]}, {address}): give each its own")

    @property
    def is_chief(self) -> bool:
        """Worker 0 is the only one that writes."""
        return self.index == 0

    @property
    def peers(self) -> tuple[str, ...]:
        """Addresses of the other workers."""
        return tuple(a for i, a in enumerate(self.workers) if i != self.index)

    def part(self, batch_size: int) -> tuple[int, int]:
        """The slots [low, high) of a batch over all workers that this one holds."""
        share = batch_size // len(self.workers)
        return self.index * share, (self.index + 1) * share

    def tf_config(self) -> str:
        """This cluster as TF_CONFIG's JSON text."""
        return json.dumps({"cluster": {"worker": list(self.workers)},
                           "task": {"type": "worker", "index": self.index}})


ALONE = Cluster(("localhost:0",), 0)


def host_and_port(address: str) -> tuple[str, int]:
    """("::1", 8470) of "[::1]:8470", as sockets take it.

    Raises:
        UsageError: `address` is no host with a port.
    """
    found = _ADDRESS.fullmatch(address)
    in_brackets = found and found[1].startswith("[")
    if not found or not 0 < int(found[2]) < 2**16 or in_brackets and not _ip(found[1][1:-1]):
        raise UsageError(f"a worker's address is host:port, with a port of 1 to 65535 and an IPv6 "
                         f"address in brackets, got {printable(address)!r:.80}")
    return found[1].strip("[]"), int(found[2])


def _endpoint(address):
    """What two spellings of one address have in common. Servers listen on all interfaces."""
    host, port = host_and_port(address)
    host = host.lower().rstrip(".")
    ip = _ip(host)
    if ip is None:
        return ("localhost" if host.startswith("localhost.") else host), port
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return ("localhost" if ip.is_loopback or ip.is_unspecified else str(ip)), port


def _ip(host):
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def read_cluster(environ: Mapping[str, str], strategy: str = "auto") -> Cluster:
    """The Cluster that the variables describe; ALONE when they describe none.

    They are not read for a `strategy` of one process, "one" or "mirrored".

    Raises:
        UsageError: TF_CONFIG or SLURM's variables are damaged, or contradict themselves.
    """
    if strategy in ("one", "mirrored"):
        return ALONE
    if environ.get("TF_CONFIG"):
        return _from_tf_config(environ["TF_CONFIG"])
    name = "SLURM_STEP_NUM_TASKS" if "SLURM_STEP_NUM_TASKS" in environ else "SLURM_NTASKS"
    if _number(environ, name, "1") > 1:
        return _from_slurm(environ)
    return ALONE


class _Task(TypedDict):
    type: str
    index: int | str


class _TfConfig(TypedDict, total=False):
    cluster: dict[str, list[str]]
    task: _Task


def _from_tf_config(text):
    config = strict_json.parse(text, _TfConfig, "TF_CONFIG")
    jobs = {job: addresses for job, addresses in config.get("cluster", {}).items() if addresses}
    if not jobs or jobs.keys() == {"chief"} and len(jobs["chief"]) == 1:
        return ALONE
    if "task" not in config:
        raise UsageError("TF_CONFIG has a cluster and no 'task': which worker is this?")
    kind = config["task"]["type"]
    if strange := sorted(jobs.keys() - {"worker"}) or [kind] * (kind != "worker"):
        raise UsageError("TF_CONFIG may only have workers (worker 0 is the chief), got "
                         f"{printable(', '.join(strange)):.80}")
    index = str(config["task"]["index"])
    if not re.fullmatch("[0-9]{1,9}", index) or int(index) >= len(jobs["worker"]):
        raise UsageError(f"TF_CONFIG: task index {printable(index):.40} of "
                         f"{len(jobs['worker'])} workers")
    for address in jobs["worker"]:
        host_and_port(address)
    return Cluster(tuple(jobs["worker"]), int(index))


def _from_slurm(environ):
    _refuse_outside_srun(environ)
    try:
        hosts = expand_hosts(environ.get("SLURM_STEP_NODELIST") or environ["SLURM_JOB_NODELIST"])
        tasks = expand_counts(environ.get("SLURM_STEP_TASKS_PER_NODE")
                              or environ["SLURM_TASKS_PER_NODE"])
        index = _number(environ, "SLURM_PROCID")
    except KeyError as missing:
        raise UsageError(f"SLURM's variable {missing} is not set: start the workers with srun") \
            from None
    if len(hosts) != len(tasks) or not 0 <= index < sum(tasks):
        raise UsageError(f"SLURM's variables contradict each other: {len(hosts)} nodes, tasks per "
                         f"node {tasks!s:.80}, this is task {index}")
    workers = [f"{host}:{SLURM_PORT + local}"
               for host, count in zip(hosts, tasks, strict=True) for local in range(count)]
    return Cluster(tuple(workers), index)


def _refuse_outside_srun(environ):
    """The shell of salloc and the script of sbatch know the job's tasks, and are none of them."""
    in_step = any(name.startswith("SLURM_STEP") for name in environ)
    in_job = environ.keys() & {"SLURM_JOB_ID", "SLURM_JOBID"}
    if in_job and not in_step and environ.get("SLURM_PROCID", "0") == "0":
        raise UsageError("this is the shell of a SLURM job (salloc or sbatch) of several tasks, "
                         "and none of them: start with srun, or give --strategy=one")


def _number(environ, name, default=None):
    text = environ[name] if default is None else environ.get(name, default)
    if not re.fullmatch("[0-9]{1,9}", text):
        raise UsageError(f"SLURM's variable {name}={printable(text)!r:.60} is not a number: start "
                         "the workers with srun, or give --strategy=one")
    return int(text)


def expand_hosts(text: str) -> list[str]:
    """SLURM's host list as names, in its order: "n[01-03,7],r[0-1]b[0-1]" -> n01 n02 n03 n7 r0b0..

    Raises:
        UsageError: it is not one.
    """
    names = []
    # Parts between commas, where those in brackets do not count.
    for part in re.split(r",(?![^\[]*\])", text):
        pieces = re.split(r"\[([^\[\]]*)\]", part)  # literal, ranges, literal, ...
        if not part or re.search(r"[\[\]\s]", "".join(pieces[::2])):
            raise _not_understood("host list", text)
        choices = [_expand_ranges(piece, text) if i % 2 else [piece]
                   for i, piece in enumerate(pieces)]
        names += map("".join, itertools.islice(itertools.product(*choices), _MAX_TASKS + 1))
        if len(names) > _MAX_TASKS:
            raise _not_understood("host list", text)
    return names


def expand_counts(text: str) -> list[int]:
    """SLURM's tasks per node as numbers: "2(x3),1" -> 2 2 2 1.

    Raises:
        UsageError: they are none.
    """
    counts = []
    for part in text.split(","):
        match = re.fullmatch(r"([0-9]{1,5})(?:\(x([0-9]{1,5})\))?", part)
        if not match:
            raise _not_understood("tasks per node", text)
        counts += [int(match[1])] * int(match[2] or 1)
    return counts


def _expand_ranges(ranges, text):
    numbers = []
    for part in ranges.split(","):
        match = re.fullmatch(r"([0-9]{1,18})(?:-([0-9]{1,18}))?", part)
        first, last = (match[1], match[2] or match[1]) if match else ("1", "0")
        if not 0 <= int(last) - int(first) < _MAX_TASKS:
            raise _not_understood("host list", text)
        numbers += [f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1)]
    return numbers


def _not_understood(what, text):
    return UsageError(f"SLURM's {what} {printable(text)!r:.100} is not understood: start the "
                      "workers with srun, or give --strategy=one")
