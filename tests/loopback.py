"""A server of files on this machine's loopback, with or without TLS, and how it can fail."""

import contextlib
import dataclasses
import http.server
import ssl
import subprocess
import threading


@dataclasses.dataclass
class Answer:
    """What a path gives. `length` is what Content-Length claims: None its body's, 0 nothing."""

    body: bytes = b""
    status: int = 200
    headers: dict = dataclasses.field(default_factory=dict)
    length: int | None = None
    hangs: bool = False


class Server:
    """Serves `answers` (path -> Answer); `asked` has "METHOD path" of every request."""

    def __init__(self, certificate):
        self.certificate, self.answers, self.asked = certificate, {}, []
        self.closing = threading.Event()

    def url(self, path, answer):
        """The address at which `answer` is from now on."""
        self.answers[path] = answer
        return f"http{'s' * bool(self.certificate)}://127.0.0.1:{self.port}{path}"


def _handler(server):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            server.asked.append(f"{self.command} {self.path}")
            answer = server.answers.get(self.path, Answer(status=404))
            if answer.hangs:
                server.closing.wait()
                return
            self.send_response(answer.status)
            length = len(answer.body) if answer.length is None else answer.length
            if length or not answer.body:
                self.send_header("Content-Length", str(length))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(answer.body)

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    return Handler


class _Quiet(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        pass  # a client that gives up


@contextlib.contextmanager
def serving(certificate=None):
    """A running Server; over TLS with `certificate`, a file of key and certificate."""
    server = Server(certificate)
    listener = _Quiet(("127.0.0.1", 0), _handler(server))
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        listener.socket = context.wrap_socket(listener.socket, server_side=True)
    server.port = listener.server_port
    thread = threading.Thread(target=listener.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        listener.shutdown()
        listener.server_close()
        thread.join()


def write_certificate(openssl, path):
    """A key and a certificate for 127.0.0.1, valid for a day, in one file at `path`."""
    made = subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1", "-addext",
         "subjectAltName=IP:127.0.0.1", "-keyout", "-", "-out", "-"],
        capture_output=True, check=True)
    path.write_bytes(made.stdout)
    return str(path)
