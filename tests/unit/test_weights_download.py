"""Weights by their address: downloaded once, checked, and one line for each way to fail."""

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from inception_tf.commands.convert import main
from inception_tf.errors import StorageError, UsageError
from inception_tf.runs.folder import read_config
from inception_tf.runs.network import load_model
from inception_tf.weights import download
from tests.loopback import Answer, serving
from tests.weight_files import WIDTH, arrays

NET = "inception_v3"
BODY = b"weights " * 1000
NARROW = [f"--net={NET}", "--from=timm", f"--width={WIDTH}", "--image_size=75"]


@pytest.fixture
def server(trusted):
    return trusted


@pytest.fixture
def cache(trusted, tmp_path, monkeypatch):
    """Keras' folder for downloads, empty; the server is trusted."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path / "keras" / "downloads"


def in_cache(cache):
    return [path.name for path in cache.glob("*")]


def refused(address, kind=UsageError):
    """The line with which `address` is refused."""
    with pytest.raises(kind) as caught:
        download.local_path(address)
    message = str(caught.value)
    assert message.isprintable() and message.startswith(address.partition("#")[0])
    assert len(message) < 450
    return message


def test_file_is_downloaded_once_and_then_taken_from_the_cache(server, cache):
    address = server.url("/a/x.pth?download=true", Answer(BODY))
    path = download.local_path(address)
    assert Path(path).read_bytes() == BODY
    assert os.path.dirname(path) == str(cache) and path.endswith("-x.pth")
    assert download.local_path(address) == path
    assert server.asked == ["GET /a/x.pth?download=true"]
    assert download.local_path("x.pth") == "x.pth"


def test_hash_after_the_address_is_checked(server, cache):
    address = server.url("/hashed.pth", Answer(BODY))
    digest = hashlib.sha256(BODY).hexdigest()
    assert f"the file there has the hash {digest}, not" in refused(f"{address}#sha256={'0' * 64}")
    assert in_cache(cache) == []
    assert os.path.isfile(download.local_path(f"{address}#sha256={digest.upper()}"))
    server.answers["/hashed.pth"] = Answer(b"changed")
    assert os.path.isfile(download.local_path(f"{address}#sha256={digest}"))
    assert "64 hexadecimal digits" in refused(f"{address}#main")
    assert len(server.asked) == 2


@pytest.mark.parametrize("path, answer, words", [
    ("/gone.pth", Answer(status=404), "the server says 404 Not Found"),
    ("/login", Answer(b"<html>", headers={"Content-Type": "text/html; charset=utf-8"}),
     "is a web page: give the address of the file itself"),
    ("/huge", Answer(BODY, length=10**15), "is larger than 4 GiB"),
    ("/short.pth", Answer(BODY, length=len(BODY) + 9), "the connection broke off"),
    ("/moved", Answer(status=302, headers={"Location": "http://127.0.0.1:9/x.pth"}),
     "could not be downloaded: .*refused|not encrypted"),
    ("/slow", Answer(hangs=True), "no answer within 0.3 seconds"),
])
def test_failure_of_the_server_is_one_line_and_leaves_nothing(
        server, cache, monkeypatch, path, answer, words):
    monkeypatch.setattr(download, "TIMEOUT_SECONDS", 0.3)
    with pytest.raises(UsageError, match=words):
        download.local_path(server.url(path, answer))
    refused(server.url(path, answer))
    assert in_cache(cache) == []


@pytest.mark.parametrize("address, words", [
    ("https://", "No host supplied"), ("https://[::1", "Invalid IPv6 URL"),
    ("https://a..b/x", "label empty"), ("https://127.0.0.1:x/y", "is not a valid host or port"),
])
def test_address_that_is_none_is_one_line(cache, address, words):
    assert words in refused(address)


def test_redirect_to_an_unencrypted_server_is_refused(server, cache):
    with serving() as plain:
        address = server.url("/away.pth", Answer(
            status=302, headers={"Location": plain.url("/x.pth", Answer(BODY))}))
        assert "which is not encrypted" in refused(address)
    assert in_cache(cache) == []


def test_answer_without_end_is_cut(server, cache, monkeypatch):
    monkeypatch.setattr(download, "MAX_BYTES", 4096)
    assert "is larger than" in refused(server.url("/endless", Answer(BODY, length=0)))
    assert in_cache(cache) == []


def test_server_that_is_not_there_or_not_trusted_is_one_line(server, cache, monkeypatch):
    assert "refused" in refused("https://127.0.0.1:9/x.pth")
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    assert "CERTIFICATE_VERIFY_FAILED" in refused(server.url("/x.pth", Answer(BODY)))


def test_cache_that_cannot_be_written_or_is_full_is_an_error_of_storage(
        server, cache, tmp_path, monkeypatch):
    address = server.url("/x.pth", Answer(BODY))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: types.SimpleNamespace(free=10))
    assert "has no room" in refused(address, StorageError)
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "file"))
    assert "KERAS_HOME names another" in refused(address, StorageError)


def test_command_converts_an_address_and_the_result_names_it(server, cache, tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    body = safetensors.save(arrays(NET, "timm"))
    address = server.url("/model.safetensors", Answer(body))
    signed = server.url("/model.safetensors?token=secret", Answer(body))
    main([*NARROW, f"--input={signed.replace('://', '://me:secret@')}",
          f"--output={tmp_path / 'run'}"])
    _, _, facts = load_model(tmp_path / "run")
    assert facts["origin"]["address"] == address
    assert list(facts["origin"]["files"].values()) == [hashlib.sha256(body).hexdigest()]
    assert read_config(tmp_path / "run").network.pool_counts_padding


def test_downloaded_file_is_read_like_that_of_a_stranger(server, cache, tmp_path):
    claims = (2**40).to_bytes(8, "little") + b"{}"
    address = server.url("/bad.safetensors", Answer(claims))
    with pytest.raises(UsageError, match="header claims 1,099,511,627,776 bytes"):
        main([*NARROW, f"--input={address}", f"--output={tmp_path / 'x.keras'}"])
    assert not (tmp_path / "x.keras").exists()


def test_network_without_a_table_is_refused_before_anything_is_downloaded(
        server, cache, tmp_path):
    address = server.url("/x.pth", Answer(BODY))
    with pytest.raises(UsageError, match="no table"):
        main(["--net=inception_v4", "--from=torchvision", f"--input={address}",
              f"--output={tmp_path / 'x.keras'}"])
    assert server.asked == []


def test_hub_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert 'pip install ".[hub]"' in refused("hf://timm/inception_v4.tf_in1k")


@pytest.mark.parametrize("address", ["hf://timm", "hf://", "hf://a/b@", "hf://a b/c"])
def test_hub_address_that_is_none_says_how_one_looks(address):
    assert "hf://OWNER/NAME[@REVISION][/FILE]" in refused(address)


# Each address in a process of its own: the library reads its settings when it is imported.
ASK = """
import json, sys
from inception_tf.errors import InceptionError
from inception_tf.weights.download import local_path
found = []
for address in sys.argv[1:]:
    try:
        found.append(local_path(address))
    except InceptionError as error:
        found.append(f"{type(error).__name__}: {error}")
import huggingface_hub
print(json.dumps([found, huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY]))
"""


@pytest.fixture
def hub(tmp_path):
    """A server that answers as Hugging Face does, and the environment that leads there."""
    if importlib.util.find_spec("huggingface_hub") is None:
        pytest.skip("huggingface_hub is not installed")
    with serving() as server:
        yield server, {**os.environ, "HF_ENDPOINT": server.url("", Answer()), "NO_PROXY": "*",
                       "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0"}


def on_hub(body, commit="c"):
    """An Answer with what the library asks for: the file's hash and the commit."""
    digest = hashlib.sha256(body).hexdigest()
    return Answer(body, headers={"ETag": f'"{digest}"', "X-Repo-Commit": commit * 40})


def missing(code):
    return Answer(status=404, headers={"X-Error-Code": code})


def test_hub_files_are_found_by_name_revision_and_path(hub):
    server, environment = hub
    server.answers |= {
        "/timm/v4/resolve/main/model.safetensors": on_hub(b"main"),
        "/timm/v4/resolve/v1.0/model.safetensors": on_hub(b"tag", commit="d"),
        "/timm/v4/resolve/main/a/x.bin": on_hub(b"other"),
        "/timm/none/resolve/main/model.safetensors": missing("RepoNotFound"),
        "/timm/v4/resolve/v9/model.safetensors": missing("RevisionNotFound"),
        "/timm/v4/resolve/main/x.bin": missing("EntryNotFound"),
    }
    addresses = ["hf://timm/v4", "hf://timm/v4@v1.0", "hf://timm/v4/a/x.bin", "hf://timm/v4",
                 "hf://timm/none", "hf://timm/v4@v9", "hf://timm/v4/x.bin"]
    asked = subprocess.run([sys.executable, "-c", ASK, *addresses], env=environment, check=True,
                           capture_output=True, text=True)
    found, is_silent = json.loads(asked.stdout)
    assert [Path(path).read_bytes() for path in found[:4]] == [b"main", b"tag", b"other", b"main"]
    for line, words in zip(found[4:], ("no such repository", "no such revision", "no such file"),
                           strict=True):
        assert line.startswith("UsageError: hf://timm/") and words in line
    assert server.asked.count("GET /timm/v4/resolve/main/model.safetensors") == 1
    assert is_silent and asked.stderr == ""


def test_command_converts_what_timm_has_on_the_hub(hub, tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    server, environment = hub
    named = arrays(NET, "timm")
    path = "/timm/inception_v3.tf_in1k/resolve/main/model.safetensors"
    server.answers[path] = on_hub(safetensors.save(named))
    command = [sys.executable, "-m", "inception_tf", "convert", *NARROW,
               "--input=hf://timm/inception_v3.tf_in1k"]
    done = subprocess.run([*command, f"--output={tmp_path / 'run'}"], env=environment,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    model, _, facts = load_model(tmp_path / "run")
    np.testing.assert_array_equal(model.get_layer("logits").bias.numpy(), named["fc.bias"])
    assert facts["origin"]["address"] == "hf://timm/inception_v3.tf_in1k"
