"""JPEG files over HTTP to `inception-tf serve`, against its network alone: what serving costs.

    python -m benchmarks.serve [--quick]

The released Inception-ResNet-v2 (random weights, 299x299) as our SavedModel, served by the command
itself on loopback; photographs of 500x375 pixels, about 60 kB each, sent by 1, 4, 16 and 64 clients
that ask again as soon as they have an answer. In turn with each number of clients, in a process of
its own: the network alone on as many images in memory, in batches of what the clients can fill, at
most 8. Medians over rounds; the ratios are of images a second in the same round, and of the CPU
seconds of either process, which other work on the machine does not change. With 16 clients and
more, damaged pictures come in between, and it is measured how soon they are refused. Clients,
server and network share the processor: the network alone is the floor.
"""

import concurrent.futures
import contextlib
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from benchmarks import harness

# Clients: pictures that they send together in a round.
CLIENTS = {1: 16, 4: 32, 16: 96, 64: 192}
QUICK = {1: 4, 4: 12}
ROUNDS = 3
MAX_BATCH = 8
# Seconds between two damaged pictures.
REFUSED_EVERY = 0.25
PHOTOGRAPHS = 64


def main():
    """Prints a line for each number of clients; keeps the result."""
    arguments = harness.arguments(__doc__, load="")
    if arguments.load:
        return harness.answer_questions(lambda: _answers(arguments.load))
    return harness.keep("serve", run(arguments.quick), arguments.quick)


def run(quick):
    """The whole comparison; a dict for the results file."""
    rounds, clients = (1, QUICK) if quick else (ROUNDS, CLIENTS)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        harness.call("serve", "prepare", folder, "tiny" if quick else "full")
        pictures = [path.read_bytes() for path in sorted(folder.glob("*.jpg"))]
        network = stack.enter_context(
            harness.Child(["-m", "benchmarks.serve", f"--load={folder / 'network'}"]))
        server = stack.enter_context(served(folder / "network"))
        rows = {str(number): _row(number, [measure(network, server, pictures, number, total)
                                           for _ in range(rounds)])
                for number, total in clients.items()}
    return {"max_batch": MAX_BATCH, "picture_bytes": round(statistics.mean(map(len, pictures))),
            "clients": rows}


def measure(network, server, pictures, number, total):
    """Seconds of `total` pictures by the network alone, and served to `number` clients."""
    port, cpu_seconds = server
    alone = network.ask("seconds", min(number, MAX_BATCH), total)
    with refusing(port, number) as refused:
        before = cpu_seconds()
        seconds, latencies = send(port, pictures, number, total)
    return {"alone": alone, "served": {"wall": seconds, "cpu": cpu_seconds() - before},
            "images": total, "latencies": latencies, "refused": refused}


def _row(number, rounds):
    latencies = sorted(t for one in rounds for t in one["latencies"])
    refused = sorted(t for one in rounds for t in one["refused"])
    ratio, cpu_ratio = (harness.ratio(*([one[name][clock] for one in rounds]
                                        for name in ("alone", "served")))
                        for clock in ("wall", "cpu"))
    row = {"pictures": rounds[0]["images"], "images_per_second": {
               name: harness.spread([one["images"] / one[name]["wall"] for one in rounds])
               for name in ("alone", "served")},
           "ratio": ratio, "cpu_ratio": cpu_ratio, "latency_s": percentiles(latencies),
           **({"refusal_s": percentiles(refused)} if refused else {})}
    print(f"{number:2} clients: {row['images_per_second']['served']['median']:6.2f} images/s, "
          f"{ratio:.2f} of the network alone by the clock, {cpu_ratio:.2f} by CPU seconds; p50 "
          f"{row['latency_s']['p50']:.2f} s, p99 {row['latency_s']['p99']:.2f} s", flush=True)
    return row


def percentiles(ascending):
    """The median and the 99th percentile, the nearest that was measured."""
    return {f"p{p}": ascending[min(len(ascending) - 1, p * len(ascending) // 100)]
            for p in (50, 99)}


def send(port, pictures, number, total):
    """Wall seconds of `total` pictures from `number` clients, and the seconds of each answer."""
    next_picture = iter(range(total))

    def client(_):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
            return [_seconds_of(connection, pictures[i % len(pictures)], 200)
                    for i in next_picture]

    started = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(number) as clients:
        found = list(clients.map(client, range(number)))
    return time.perf_counter() - started, [t for seconds in found for t in seconds]


def _seconds_of(connection, body, expected_code):
    started = time.perf_counter()
    connection.request("POST", "/predict", body)
    response = connection.getresponse()
    response.read()
    if response.status != expected_code:
        raise RuntimeError(f"answered with {response.status} instead of {expected_code}")
    return time.perf_counter() - started


@contextlib.contextmanager
def refusing(port, number):
    """Sends a damaged picture now and then, if `number` clients keep the queue filled.

    Gives the list to which the seconds of each refusal are added.
    """
    stop, seconds = threading.Event(), []
    damaged = _damaged()

    def client():
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
            while not stop.wait(REFUSED_EVERY):
                seconds.append(_seconds_of(connection, damaged, 400))

    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        running = thread.submit(client) if number >= 2 * MAX_BATCH else None
        try:
            yield seconds
        finally:
            stop.set()
        if running:
            running.result()


def _damaged():
    """A photograph that ends too early, which only its decoder notices."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photograph.jpg"
        harness.photograph().save(path)
        return path.read_bytes()[:-2000]


@contextlib.contextmanager
def served(folder):
    """(port, function that gives the CPU seconds so far) of the command that serves `folder`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "inception_tf", "serve", f"--model={folder}", "--port=0",
         f"--max_batch={MAX_BATCH}"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    times = Path(f"/proc/{process.pid}/stat")

    def cpu_seconds():
        # What follows the name: utime and stime are fields 14 and 15 (man proc).
        ticks = times.read_text().rpartition(")")[2].split()[11:13]
        return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")

    try:
        yield int(process.stdout.readline().rpartition(":")[2]), cpu_seconds
    finally:
        process.terminate()
        process.communicate()


def _answers(folder):
    """What the process of the network alone is asked (harness.answer_questions)."""
    import numpy as np

    from inception_tf.commands.shell import import_tensorflow

    import_tensorflow()
    from inception_tf.serving.predictor import open_predictor

    predictor = open_predictor(folder)
    size = predictor.preprocessing.image_size

    def seconds(batch_size, total):
        images = np.zeros([batch_size, size, size, 3], np.float32)
        predictor.probabilities(images)
        return harness.clocked(lambda: [predictor.probabilities(images)
                                        for _ in range(total // batch_size)])

    return {"seconds": seconds}


def prepare(folder, size):
    """Writes photographs and an export of the network into `folder`; returns where, as JSON."""
    from benchmarks.predict import write_photographs
    from inception_tf.commands.shell import import_tensorflow

    import_tensorflow()
    from inception_tf.config import Config
    from inception_tf.runs.network import build_network
    from inception_tf.serving.classifier import Classifier
    from inception_tf.serving.export import ExportRequest, export

    folder = Path(folder)
    write_photographs(folder, PHOTOGRAPHS)
    config = Config().replace(net="inception_resnet_v2_released", aux_head=False)
    if size == "tiny":
        config = config.replace(width=0.07, repeats=(1, 1, 1), image_size=75)
    names = tuple(map(str, range(1000)))
    model = build_network(config.network, len(names))
    export(Classifier(model, config.network, config.data, names, "raw", {}),
           str(folder / "network"), ExportRequest(check_images=0))
    return json.dumps(str(folder))


if __name__ == "__main__":
    sys.exit(not main())
