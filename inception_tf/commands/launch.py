"""`inception-tf launch --num_workers=2 -- train --flags`: workers on this machine.

For one machine and for tests: starts the workers on loopback with the right
TF_CONFIG, prints their lines with a prefix, ends all when one fails, and can start
the group again.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time

from inception_tf import flags
from inception_tf.errors import InceptionError, UsageError
from inception_tf.flags import Flag
from inception_tf.runtime.cluster import Cluster

log = logging.getLogger("inception_tf")
OWN = (
    Flag("num_workers", 2, "processes to start"),
    Flag("max_restarts", 0, "times the group is started again after storage errors, a stall or a "
                            "lost peer (exit codes 4, 7, 8, or death by a signal)"),
)
RESTARTABLE = (4, 7, 8)
# After one worker failed the others get this long to notice by themselves, then
# SIGTERM, then SIGKILL.
GRACE_SECONDS = 30.0


class GroupFailed(InceptionError):
    """A worker ended with an error; carries its exit code."""

    def __init__(self, index, code):
        super().__init__(f"worker {index} ended with code {code}")
        self.exit_code = code if code > 0 else 128 - code


def main(argv):
    """Runs the words after `--` in every worker; raises GroupFailed when one fails."""
    if "--" not in argv or argv[-1] == "--":
        raise UsageError("launch needs a command: inception-tf launch --num_workers=2 -- train ...")
    cut = argv.index("--")
    own = flags.parse("launch", "Starts local workers: launch [--flags] -- COMMAND ...",
                      argv[:cut], OWN, groups=()).own
    if own["num_workers"] < 1:
        raise UsageError(f"--num_workers={own['num_workers']} is below 1")
    for restart in range(own["max_restarts"] + 1):
        index, code, stopped = run_group(argv[cut + 1:], own["num_workers"])
        if code == 0:
            return
        if not stopped and restart < own["max_restarts"] and (code in RESTARTABLE or code < 0):
            log.warning("worker %d ended with code %d: starting the group again (%d of %d)",
                        index, code, restart + 1, own["max_restarts"])
            continue
        raise GroupFailed(index, code)


def run_group(words, num_workers):
    """(index, code, stopped): the first worker that failed or (0, 0), and whether we were told to.

    A worker that is still importing dies by the signal we hand on (code -15), which looks like a
    fault and is none.
    """
    received = []

    def hand_on(number, _):
        received.append(number)
        _send(workers, number)

    addresses = tuple(f"127.0.0.1:{port}" for port in free_ports(num_workers))
    workers = [_start(words, Cluster(addresses, i)) for i in range(num_workers)]
    printers = [threading.Thread(target=_prefix_lines, args=(i, w), daemon=True)
                for i, w in enumerate(workers)]
    for printer in printers:
        printer.start()
    previous = {s: signal.signal(s, hand_on)
                for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        return *_wait(workers), bool(received)
    finally:
        _end(workers)
        for printer in printers:
            printer.join(5.0)
        for number, handler in previous.items():
            signal.signal(number, handler)


def free_ports(count):
    """`count` ports of loopback that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


def _start(words, cluster):
    environment = {**os.environ, "TF_CONFIG": cluster.tf_config(), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen([sys.executable, "-m", "inception_tf", *words], env=environment,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            start_new_session=True)


def _prefix_lines(index, worker):
    with worker.stdout as lines:
        for line in lines:
            print(f"[worker {index}] {line}", end="", flush=True)


def _wait(workers):
    while True:
        codes = [w.poll() for w in workers]
        failed = [(i, c) for i, c in enumerate(codes) if c not in (None, 0)]
        if failed:
            return failed[0]
        if all(c == 0 for c in codes):
            return 0, 0
        time.sleep(0.1)


def _end(workers):
    for number, patience in ((None, GRACE_SECONDS), (signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0)):
        if number is not None:
            _send(workers, number)
        deadline = time.monotonic() + patience
        while any(w.poll() is None for w in workers) and time.monotonic() < deadline:
            time.sleep(0.1)


def _send(workers, number):
    for worker in workers:
        if worker.poll() is None:
            worker.send_signal(number)
