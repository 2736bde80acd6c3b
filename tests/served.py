"""A server in a process of its own, and clients good and bad."""

import base64
import contextlib
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bad_images import bomb, jpeg

ROOT = Path(__file__).parents[1]
JPEG, OTHER_JPEG = jpeg(1), jpeg(2)


class Server:
    """`inception-tf serve` of one export, called NAME; ended with SIGTERM."""

    def __init__(self, model, *flags):
        self._errors = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "inception_tf", "serve", f"--model={model}", "--port=0", *flags],
            cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=self._errors)
        self.line = self._process.stdout.readline()
        found = re.search(r"http://127.0.0.1:(\d+)$", self.line)
        self.port = int(found[1]) if found else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def connect(self):
        """A socket to it."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def ask(self, method, path, body=None, **headers):
        """(code, decoded JSON or text, headers) of one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            return ask(connection, method, path, body, **headers)

    def meter(self, name):
        """A number of /metrics: its name, with labels as they stand there."""
        (line,) = re.findall(rf"^inception_tf_{re.escape(name)} (\S+)$",
                             self.ask("GET", "/metrics")[1], re.MULTILINE) or ["0"]
        return float(line)

    def wait_until(self, name, number):
        """Waits until a meter has that number."""
        deadline = time.monotonic() + 60
        while self.meter(name) != number:
            assert time.monotonic() < deadline, (name, self.meter(name))
            time.sleep(0.02)

    def resident_mib(self):
        """Its resident memory."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def terminate(self):
        self._process.send_signal(signal.SIGTERM)

    def end(self):
        """(exit code, what it printed on standard error) once it has ended."""
        code = self._process.wait(timeout=60)
        self._errors.seek(0)
        return code, self._errors.read()


def ask(connection, method, path, body=None, **headers):
    """As Server.ask, over an open connection."""
    connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
    response = connection.getresponse()
    content = response.read().decode()
    is_json = response.headers["content-type"] == "application/json"
    return response.status, json.loads(content) if is_json else content, response.headers


def rows(*pictures):
    """A body in TensorFlow Serving's REST form."""
    return json.dumps({"instances": [
        {"image_bytes": {"b64": base64.b64encode(one).decode()}} for one in pictures]})


def upload(server, path="/predict", body=JPEG, part=0.5):
    """A socket over which the head of a request and a part of its body were sent; the rest."""
    connection = server.connect()
    sent = int(part * len(body))
    connection.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
                       .encode() + body[:sent])
    return connection, body[sent:]


def received(connection):
    """(code, JSON) of what comes over a socket, which is closed; code None where nothing comes."""
    with connection, contextlib.suppress(ConnectionResetError):
        response = http.client.HTTPResponse(connection)
        try:
            response.begin()
        except (http.client.BadStatusLine, ConnectionResetError):
            return None, {}
        return response.status, json.loads(response.read())
    return None, {}


def of_slow_upload(server):
    return received(upload(server)[0])


def of_broken_upload(server):
    upload(server)[0].close()
    return None, {}


def of_slow_head(server):
    connection = server.connect()
    connection.sendall(b"POST /predict HTTP/1.1\r\nHost:")
    return received(connection)


def of_garbage(server):
    connection = server.connect()
    connection.sendall(b"\x16\x03\x01 no request\r\n\r\n")
    return received(connection)


def of_large_chunks(server):
    connection = server.connect()
    connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(9):
        connection.sendall(b"20000\r\n" + bytes(2**17) + b"\r\n")
    connection.sendall(b"0\r\n\r\n")
    return received(connection)


def posting(path, body, **headers):
    return lambda server: server.ask("POST", path, body, **headers)[:2]


REST = "/v1/models/cats:predict"
# Of a server with --max_request_mib=1. What is sent -> (code of the answer, words in its error).
BAD_REQUESTS = {
    "damaged": (posting("/predict", JPEG[:-300]), 400, "truncated or damaged JPEG"),
    "bomb": (posting("/predict", bomb()), 400, "13000x13000"),
    "text": (posting("/predict", b"<html>404</html>"), 400, "not a JPEG"),
    "nothing": (posting("/predict", b""), 400, "empty"),
    "form": (posting("/predict", b"--x", content_type="multipart/form-data; boundary=x"), 415,
             "--data-binary"),
    "no JSON": (posting(REST, JPEG), 400, "JSON is malformed"),
    "deep JSON": (posting(REST, b'{"instances":' + b"[" * 900_000), 400, "instances"),
    "no instances": (posting(REST, b"{}"), 400, "missing required field `instances`"),
    "other input": (posting(REST, b'{"instances": [{"b64": "AA=="}]}'), 400, "unknown field `b64`"),
    "no base64": (posting(REST, b'{"instances": [{"image_bytes": {"b64": "@"}}]}'), 400, "base64"),
    "one of three damaged": (posting(REST, rows(JPEG, JPEG[:-300], JPEG)), 400, "instance 1: "),
    "other model": (posting("/v1/models/dogs:predict", rows(JPEG)), 404, "/v1/models/cats:predict"),
    "other path": (posting("/", JPEG), 404, "POST /predict"),
    "other method": (lambda server: server.ask("GET", "/predict")[:2], 405, "POST"),
    "too large": (posting("/predict", bytes(2**20 + 1)), 413, "--max_request_mib"),
    "too large, in chunks": (of_large_chunks, 413, "--max_request_mib"),
    "too many": (posting(REST, b'{"instances": [' + b",".join(
        [b'{"image_bytes": {"b64": ""}}'] * 1000) + b"]}"), 413, "--max_queue"),
    "no HTTP": (of_garbage, 400, "no HTTP/1.1"),
    "slow upload": (of_slow_upload, 408, "--upload_timeout_s"),
    "broken off": (of_broken_upload, None, ""),
    "slow head": (of_slow_head, None, ""),
}
