"""`inception-tf serve` in a process of its own: answers, limits, its end."""

import concurrent.futures
import importlib.util
import itertools

import numpy as np
import pytest

from inception_tf.commands import serve
from inception_tf.commands.export import main as export
from inception_tf.commands.shell import exit_code_of
from inception_tf.serving.predictor import cutter_of, open_predictor
from tests.runs import write_served_run
from tests.served import (
    BAD_REQUESTS,
    JPEG,
    OTHER_JPEG,
    REST,
    Server,
    received,
    rows,
    upload,
)

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in serve.PACKAGES),
    reason=f"not installed: {', '.join(serve.PACKAGES)}")

MAX_QUEUE = 32


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_served_run(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports") / "cats" / "3"
    assert exit_code_of(export, [f"--model_dir={run}", f"--export_dir={folder}"]) == 0
    return folder


@pytest.fixture(scope="module")
def expected(exported):
    """Probabilities of JPEG and OTHER_JPEG."""
    predictor = open_predictor(str(exported))
    cut = cutter_of(predictor)
    return predictor.probabilities(np.stack([cut(JPEG), cut(OTHER_JPEG)]))


@pytest.fixture(scope="module")
def server(exported):
    with Server(exported, "--max_request_mib=1", "--upload_timeout_s=2", "--max_batch=4",
                f"--max_queue={MAX_QUEUE}") as server:
        yield server


def test_one_line_says_what_is_served_and_where(server):
    assert server.line == (f"serving cats, version 3, 5 classes, at http://127.0.0.1:"
                           f"{server.port}\n")


def test_bytes_of_a_picture_are_answered_with_its_likeliest_classes(server, expected):
    code, answer, _ = server.ask("POST", "/predict", JPEG)
    assert code == 200
    assert [one["class"] for one in answer["top"]] == (-expected[0]).argsort().tolist()
    best = answer["top"][0]
    assert best["label"] == f"class_{best['class']}"
    assert best["probability"] == pytest.approx(expected[0].max(), abs=1e-5)


def test_rest_form_of_tensorflow_serving_is_answered_as_its_signature(server, expected):
    code, answer, _ = server.ask("POST", REST, rows(JPEG, OTHER_JPEG))
    assert code == 200 and len(answer["predictions"]) == 2
    for row, probabilities in zip(answer["predictions"], expected, strict=True):
        best = (-probabilities).argsort().tolist()
        assert row["classes"] == best and row["labels"] == [f"class_{i}" for i in best]
        np.testing.assert_allclose(row["probabilities"], probabilities, atol=1e-5)
        np.testing.assert_allclose(row["scores"], probabilities[best], atol=1e-5)
    assert server.ask("POST", REST, rows())[:2] == (200, {"predictions": []})


def test_status_and_metrics_are_answered(server):
    code, answer, _ = server.ask("GET", "/v1/models/cats")
    (version,) = answer["model_version_status"]
    assert (code, version["version"], version["state"]) == (200, "3", "AVAILABLE")
    name = 'requests_total{code="404",path="other"}'
    before = server.meter(name), server.meter("batch_size_count")
    server.ask("GET", "/nothing")
    server.ask("POST", "/predict", JPEG)
    assert server.meter(name) == before[0] + 1
    assert server.meter("batch_size_count") == before[1] + 1
    assert server.meter("waiting_pictures") == 0 < server.meter("network_seconds_sum")


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_bad_request_is_answered_with_a_code_and_one_line(server, name):
    send, expected_code, words = BAD_REQUESTS[name]
    code, answer = send(server)
    assert code == expected_code
    assert words in answer.get("error", "") and "\n" not in answer.get("error", "")
    assert server.ask("POST", "/predict", JPEG)[0] == 200
    server.wait_until("waiting_pictures", 0)


def test_good_requests_among_bad_ones_have_their_own_answers(server, expected):
    """1,000 at once from eight clients, a tenth of them bad; the batches are mixed."""
    bad = itertools.cycle(BAD_REQUESTS[name] for name in (
        "damaged", "bomb", "text", "one of three damaged", "no JSON", "too large", "broken off"))

    def good(server, number):
        code, answer, _ = server.ask("POST", REST, rows((JPEG, OTHER_JPEG)[number % 2]))
        (row,) = answer["predictions"]
        np.testing.assert_allclose(row["probabilities"], expected[number % 2], atol=1e-5)
        return code, 200

    def one(number, wrong):
        return good(server, number) if wrong is None else (wrong[0](server)[0], wrong[1])

    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        codes = list(clients.map(one, range(1000),
                                 (next(bad) if i % 10 == 9 else None for i in range(1000))))
    assert all(found == right for found, right in codes)
    assert server.meter("batch_size_sum") > server.meter("batch_size_count")


def test_full_queue_is_answered_with_503_and_when_to_try_again(server):
    held = [upload(server) for _ in range(MAX_QUEUE)]
    server.wait_until("waiting_pictures", MAX_QUEUE)
    code, answer, headers = server.ask("POST", "/predict", JPEG)
    assert (code, headers["retry-after"]) == (503, "1") and "busy" in answer["error"]
    for connection, rest in held:
        connection.sendall(rest)
        assert received(connection)[0] == 200
    assert server.ask("POST", "/predict", JPEG)[0] == 200


def test_run_is_served_and_sigterm_finishes_what_is_in_flight(run, expected):
    with Server(run, "--checkpoint=1") as server:
        assert server.line.startswith("serving run, version 1,")
        idle, rest_form = server.connect(), "/v1/models/run:predict"
        held = [upload(server, rest_form, rows(JPEG).encode()) for _ in range(20)]
        server.wait_until("waiting_pictures", 20)
        server.terminate()
        idle.recv(1)  # closed by it: the signal was heard
        idle.close()
        with pytest.raises(ConnectionRefusedError):
            server.connect()
        for connection, rest in held:
            connection.sendall(rest)
        for connection, _ in held:
            code, answer = received(connection)
            assert code == 200
            np.testing.assert_allclose(answer["predictions"][0]["probabilities"], expected[0],
                                       atol=1e-5)
        assert server.end() == (0, "")


@pytest.mark.parametrize("flags, words", [
    ([], "--model: name a run's folder"),
    (["--model=nothing"], "no folder of a run or an export"),
    (["--model=nothing", "--port=70000"], "--port=70000 is above 65535"),
    (["--model=nothing", "--host=no.such.host.invalid"], "--host=no.such.host.invalid --port=8501"),
])
def test_what_cannot_be_served_is_one_line_and_2(flags, words, capsys):
    assert exit_code_of(serve.main, flags) == 2
    assert words in capsys.readouterr().err


def test_port_in_use_is_said_before_the_model_is_read(server, capsys):
    assert exit_code_of(serve.main, ["--model=nothing", f"--port={server.port}"]) == 2
    assert f"--port={server.port} cannot be served at: Address" in capsys.readouterr().err


def test_missing_package_is_named_before_anything_is_done(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda module: None)
    assert exit_code_of(serve.main, ["--model=nothing"]) == 2
    assert "pip install 'inception_tf[serve]'" in capsys.readouterr().err


def test_queue_that_does_not_fit_in_memory_is_refused(exported, capsys):
    flags = [f"--model={exported}", "--port=0", "--max_queue=2000000000"]
    assert exit_code_of(serve.main, flags) == 2
    assert "lower --max_queue" in capsys.readouterr().err
