"""What tests of more than one file need."""

import shutil

import pytest
import safetensors.numpy

from tests.loopback import serving, write_certificate


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory):
    """Of files over TLS, on loopback; `trusted` makes a test trust it."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    certificate = write_certificate(openssl, tmp_path_factory.mktemp("tls") / "server.pem")
    with serving(certificate) as running:
        yield running


@pytest.fixture
def trusted(tls_server, monkeypatch):
    """`tls_server` with its certificate among those that are trusted."""
    tls_server.asked.clear()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", tls_server.certificate)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tls_server


@pytest.fixture
def write_state(tmp_path):
    """Function that writes name -> array as a file that is read like a .pth, without torch."""
    def write(named):
        safetensors.numpy.save_file(named, tmp_path / "model.safetensors")
        return str(tmp_path / "model.safetensors")

    return write
