"""Batches, room, names and answers of a server, without a port."""

import asyncio
import importlib.util
import json
import threading

import numpy as np
import pytest

from inception_tf.commands import serve
from inception_tf.commands.export import main as export
from inception_tf.commands.shell import exit_code_of
from inception_tf.serving.batching import Batcher
from inception_tf.serving.formats import FORMATS
from inception_tf.serving.predictor import cutter_of, open_predictor
from tests.bad_images import jpeg
from tests.runs import write_run

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in serve.PACKAGES),
    reason=f"not installed: {', '.join(serve.PACKAGES)}")


class Network:
    """Answers an image with its first number; the first batch waits for `go`."""

    def __init__(self):
        self.go, self.started, self.sizes = threading.Event(), threading.Event(), []

    def __call__(self, images):
        self.started.set()
        assert self.go.wait(60)
        self.sizes.append(len(images))
        if images[0, 0] < 0:
            raise MemoryError("no room")
        return images[:, 0]


@pytest.fixture
def network():
    return Network()


@pytest.fixture
def batcher(network):
    seen = []
    batcher = Batcher(network, 4, lambda size, seconds: seen.append(size))
    batcher.seen = seen
    yield batcher
    network.go.set()
    batcher.close()


def image(number):
    return np.float32([number, 0])


def test_what_comes_while_the_network_is_busy_is_the_next_batches(batcher, network):
    first = batcher.submit(image(0))
    assert network.started.wait(60)
    others = [batcher.submit(image(i)) for i in range(1, 8)]
    network.go.set()
    assert [one.result(60) for one in (first, *others)] == list(range(8))
    assert network.sizes == batcher.seen == [1, 4, 3]


def test_image_that_nobody_waits_for_any_more_is_left_out(batcher, network):
    batcher.submit(image(0))
    assert network.started.wait(60)
    left, kept = batcher.submit(image(1)), batcher.submit(image(2))
    assert left.cancel()
    network.go.set()
    assert kept.result(60) == 2 and network.sizes == [1, 1]


def test_network_that_fails_fails_its_batch_and_no_other(batcher, network):
    network.go.set()
    with pytest.raises(MemoryError, match="no room"):
        batcher.submit(image(-1)).result(60)
    assert batcher.submit(image(5)).result(60) == 5


def test_closing_answers_what_waits(batcher, network):
    answers = [batcher.submit(image(i)) for i in range(9)]
    network.go.set()
    batcher.close()
    assert [one.result(0) for one in answers] == list(range(9))


def test_room_is_given_back_and_its_limit_is_503():
    from starlette.exceptions import HTTPException

    from inception_tf.serving.intake import HELD_BODIES, Limits, Room

    room = Room(Limits(max_batch=8, max_queue=3, max_request_bytes=10, upload_timeout_s=1.0))
    with room.hold() as take:
        take("pictures", 3)
        take("bytes", 10 * HELD_BODIES)
        for what in ("pictures", "bytes"):
            with pytest.raises(HTTPException) as refused, room.hold() as other:
                other(what, 1)
            assert refused.value.status_code == 503
            assert refused.value.headers == {"Retry-After": "1"}
    assert set(room.held.values()) == {0}


def test_work_is_cancelled_when_its_client_leaves():
    from starlette.requests import ClientDisconnect, Request

    from inception_tf.serving.intake import unless_gone

    async def leaving():
        return {"type": "http.disconnect"}

    async def check():
        work = asyncio.ensure_future(asyncio.Event().wait())
        with pytest.raises(ClientDisconnect):
            await unless_gone(Request({"type": "http", "headers": []}, leaving), work)
        await asyncio.wait([work])
        assert work.cancelled()

    asyncio.run(check())


@pytest.mark.parametrize("path, found", [
    ("exports/cats/3", ("cats", "3")), ("exports/cats", ("cats", "1")),
    ("runs/demo.1/", ("demo.1", "1")), ("net.weights.h5", ("net", "1")), ("/7", ("7", "1")),
])
def test_name_and_version_are_those_of_the_folders(path, found, tmp_path, monkeypatch):
    from inception_tf.serving.server import name_and_version

    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.weights.h5").touch()
    assert name_and_version(path) == found


def ask(app, method, path, body=b""):
    """(code, headers, body) of one request to an ASGI application."""
    sent = []
    incoming = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive():
        return incoming.pop() if incoming else await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": []}
    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


@pytest.fixture
def service():
    """Makes the Service of a network that is a function."""
    from inception_tf.data.views import Preprocessing
    from inception_tf.serving.intake import Limits
    from inception_tf.serving.predictor import Predictor
    from inception_tf.serving.service import Service

    made = []

    def make(network):
        predictor = Predictor(network, Preprocessing(75), 10**6, ("ant", "bee", "cat"))
        made.append(Service(predictor, "x", "1", Limits(8, 8, 2**20, 5.0)))
        return made[-1].app

    yield make
    for one in made:
        one.close()


def test_classes_of_one_score_are_named_in_their_order(service):
    app = service(lambda images: np.full([len(images), 3], 1 / 3, np.float32))
    code, headers, body = ask(app, "POST", "/predict", jpeg())
    assert code == 200 and headers[b"content-type"] == b"application/json"
    assert [one["label"] for one in json.loads(body)["top"]] == ["ant", "bee", "cat"]


def test_network_that_fails_is_500_and_one_line(service, caplog):
    def network(images):
        raise MemoryError("no room\nat all")

    code, _, body = ask(service(network), "POST", "/predict", jpeg())
    assert code == 500 and json.loads(body) == {"error": "the network failed: no room at all"}
    assert "the network failed: no room at all" in caplog.text


@pytest.mark.parametrize("kind", [
    pytest.param(kind, marks=pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in FORMATS[kind].packages),
        reason=f"not installed: {', '.join(FORMATS[kind].packages)}"))
    for kind in ("onnx", "openvino", "litert")])
def test_exports_of_every_format_are_served(tmp_path, kind):
    from inception_tf.serving.intake import Limits
    from inception_tf.serving.service import Service

    run, folder = write_run(tmp_path / "run", ["ant", "bee"]), tmp_path / "exports" / "1"
    assert exit_code_of(export, [f"--model_dir={run}", f"--export_dir={folder}",
                                 f"--format={kind}", "--check_images=0"]) == 0
    predictor = open_predictor(str(folder))
    service = Service(predictor, "x", "1", Limits(8, 8, 2**20, 5.0))
    service.warm_up()
    code, _, body = ask(service.app, "POST", "/predict", jpeg())
    service.close()
    (expected,) = predictor.probabilities(cutter_of(predictor)(jpeg())[np.newaxis])
    assert code == 200
    assert {one["class"]: one["probability"] for one in json.loads(body)["top"]} == pytest.approx(
        dict(enumerate(expected.tolist())), abs=1e-5)
