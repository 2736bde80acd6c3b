"""A server among many good and bad clients: it answers all of them, and does not grow."""

import concurrent.futures
import importlib.util
import itertools

import numpy as np
import pytest

from inception_tf.commands import serve
from inception_tf.commands.export import main as export
from inception_tf.commands.shell import exit_code_of
from tests.bad_images import jpeg
from tests.runs import write_served_run
from tests.served import BAD_REQUESTS, REST, Server, rows

pytestmark = [pytest.mark.faults, pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in serve.PACKAGES),
    reason=f"not installed: {', '.join(serve.PACKAGES)}")]

NUM_REQUESTS = 10_000
PICTURES = [jpeg(seed) for seed in range(16)]
# What a server may hold at the end beyond what it held after its first tenth.
MAX_GROWTH_MIB = 48


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    run, exported = write_served_run(folder), folder / "cats" / "1"
    assert exit_code_of(export, [f"--model_dir={run}", f"--export_dir={exported}"]) == 0
    with Server(exported, "--max_request_mib=1", "--upload_timeout_s=2") as server:
        yield server


def test_f70_ten_thousand_requests_a_tenth_of_them_bad(server):
    expected = [server.ask("POST", REST, rows(picture))[1] for picture in PICTURES]
    bad = itertools.cycle(BAD_REQUESTS.values())
    work = [next(bad) if i % 10 == 9 else i % len(PICTURES) for i in range(NUM_REQUESTS)]

    def wrong(one):
        """What was answered, where that is not right."""
        if isinstance(one, int):
            code, answer, _ = server.ask("POST", REST, rows(PICTURES[one]))
            return None if code == 200 and _alike(answer, expected[one]) else (code, answer)
        send, right_code, words = one
        code, answer = send(server)
        error = answer.get("error", "")
        right = code == right_code and words in error and "\n" not in error
        return None if right else (right_code, words, code, answer)

    with concurrent.futures.ThreadPoolExecutor(16) as clients:
        tenth = NUM_REQUESTS // 10
        found = list(clients.map(wrong, work[:tenth]))
        warm = server.resident_mib()
        found += clients.map(wrong, work[tenth:])
    server.wait_until("waiting_pictures", 0)
    assert [one for one in found if one] == []
    assert server.resident_mib() < warm + MAX_GROWTH_MIB
    server.terminate()
    code, errors = server.end()
    assert code == 0 and "Traceback" not in errors


def _alike(answer, expected):
    ours, theirs = (one["predictions"][0]["probabilities"] for one in (answer, expected))
    return np.allclose(ours, theirs, atol=1e-5)
