"""`inception-tf launch --num_workers=2 -- train --flags`: workers on this machine.

Starts the workers on loopback with the right TF_CONFIG, prints their lines with a prefix, ends
all when one fails, and can start the group again.
"""

import glob
import itertools
import logging
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence

from inception_tf import flags
from inception_tf.errors import InceptionError, PeerLostError, UsageError, can_pass
from inception_tf.flags import Flag
from inception_tf.runtime.cluster import Cluster
from inception_tf.runtime.signals import PARENT, StopSignals, patience

log = logging.getLogger("inception_tf")
OWN = (
    Flag("num_workers", 2, "processes to start", low=1, high=1000),
    Flag("max_restarts", 0, "times the group is started again after storage errors, a stall, a "
                            "lost peer or a signal to a worker (exit codes 4, 7, 8 and above 128 "
                            "except 130), unless launch itself was told to stop", low=0),
)
GPU_FILES = "/dev/nvidia"  # and a number: the driver's files
GRACE_SECONDS = 30.0  # for the other workers to notice that one failed
PATIENCE_SECONDS = 10.0  # for SIGTERM, then SIGKILL, to work


class GroupFailed(InceptionError):
    """Workers failed; has the exit code of the worker that failed first."""

    def __init__(self, failures: Sequence[tuple[int, int]]):
        (index, self.exit_code), *others = failures
        text = f"worker {index} ended with code {_named(self.exit_code)}"
        super().__init__(", ".join([text, *(f"worker {i} with {_named(c)}" for i, c in others)]))


def main(argv: Sequence[str]) -> None:
    """Runs the words after `--` in every worker; raises GroupFailed when one fails."""
    cut = argv.index("--") if "--" in argv else len(argv)
    own = flags.parse("launch", "Starts local workers: launch [--flags] -- COMMAND ...",
                      argv[:cut], OWN, fields=()).own
    if not argv[cut + 1:]:
        raise UsageError("launch needs a command: inception-tf launch --num_workers=2 -- train ...")
    for restart in range(own["max_restarts"] + 1):
        failures, stopped = run_group(argv[cut + 1:], own["num_workers"])
        if not failures:
            return
        failed = GroupFailed(failures)
        if stopped or restart == own["max_restarts"] or not can_pass(failed.exit_code):
            raise failed
        log.warning("%s: starting the group again (%d of %d)", failed, restart + 1,
                    own["max_restarts"])


def run_group(words: Sequence[str], num_workers: int) -> tuple[list[tuple[int, int]], bool]:
    """(failures, stopped): worker and code of each failure, the first one first; whether launch
    was told to stop. Then a worker that is still importing dies by the signal that is passed on
    (code 143), which is no failure.
    """
    workers, printers = [], []
    shares = gpu_shares(num_workers, visible_gpus(os.environ))
    addresses = tuple(f"127.0.0.1:{port}" for port in free_ports(num_workers))
    with StopSignals() as stop, patience():
        try:
            for i in range(num_workers):
                workers.append(_start(words, Cluster(addresses, i), shares[i]))
                printers.append(threading.Thread(target=_prefix_lines, args=(i, workers[i]),
                                                 daemon=True))
                printers[i].start()
            return _wait(workers, stop), stop.requested
        finally:
            _end(workers)
            for printer in printers:
                printer.join(5.0)


def visible_gpus(environ: Mapping[str, str]) -> list[str]:
    """The NVIDIA GPUs that a process of this machine may use, as CUDA_VISIBLE_DEVICES names them.

    environ: whose CUDA_VISIBLE_DEVICES is taken, where it is set; a number below 0 ends it.
    """
    named = environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return sorted((path.removeprefix(GPU_FILES) for path in glob.glob(f"{GPU_FILES}[0-9]*")),
                      key=int)
    gpus = [name.strip() for name in named.split(",")]
    return list(itertools.takewhile(lambda name: name and not name.startswith("-"), gpus))


def gpu_shares(num_workers: int, gpus: Sequence[str]) -> list[dict[str, str]]:
    """What each worker's environment gets, so that no two of them compute on one GPU.

    Raises:
        UsageError: there are GPUs, but not one for each worker.
    """
    if not gpus:
        return [{}] * num_workers
    if len(gpus) < num_workers:
        plural = "s" if len(gpus) > 1 else ""
        raise UsageError(f"--num_workers={num_workers}, but {len(gpus)} GPU{plural} may be used: "
                         "start fewer, or set CUDA_VISIBLE_DEVICES=-1 to train on processors")
    cuts = [i * len(gpus) // num_workers for i in range(num_workers + 1)]
    return [{"CUDA_VISIBLE_DEVICES": ",".join(gpus[low:high])}
            for low, high in itertools.pairwise(cuts)]


def free_ports(count: int) -> list[int]:
    """Unused ports of loopback."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


def _start(words, cluster, gpus):
    environment = {**os.environ, **gpus, "TF_CONFIG": cluster.tf_config(), "PYTHONUNBUFFERED": "1",
                   PARENT: str(os.getpid())}
    return subprocess.Popen([sys.executable, "-m", "inception_tf", *words], env=environment,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            start_new_session=True)


def _prefix_lines(index, worker):
    with worker.stdout as lines:
        for line in lines:
            print(f"[worker {index}] {line}", end="", flush=True)


def _wait(workers, stop):
    """The failures when all have ended, or GRACE_SECONDS after the first of them.

    A signal is passed on; the second SIGINT ends this process, and thereby the workers.
    """
    failures, deadline = {}, math.inf  # worker -> code, in order of failure
    passed_on = False
    while any(w.poll() is None for w in workers) and time.monotonic() < deadline:
        if stop.requested and not passed_on:
            _send(workers, stop.received)
            passed_on = True
        failures |= _failures_of(workers, failures)
        if failures and deadline == math.inf:
            deadline = time.monotonic() + GRACE_SECONDS
        time.sleep(0.1)
    failures |= _failures_of(workers, failures)
    # A worker that lost its peer may end before that peer, whose code says why.
    return sorted(failures.items(), key=lambda f: f[1] == PeerLostError.exit_code)


def _failures_of(workers, known):
    codes = {i: w.poll() for i, w in enumerate(workers) if i not in known}
    return {i: c if c > 0 else 128 - c for i, c in codes.items() if c}


def _named(code):
    """The code, with its signal's name."""
    names = {128 + s: s.name for s in signal.Signals}
    return f"{code} ({names[code]})" if code in names else str(code)


def _end(workers):
    for number in (signal.SIGTERM, signal.SIGKILL):
        _send(workers, number)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while any(w.poll() is None for w in workers) and time.monotonic() < deadline:
            time.sleep(0.1)


def _send(workers, number):
    for worker in workers:
        if worker.poll() is None:
            worker.send_signal(number)
