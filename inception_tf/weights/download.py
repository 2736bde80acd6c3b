"""Files of weights by their address, downloaded once: https://... and hf://OWNER/NAME.

What comes from there is read as every other file of strangers (`readers`).
"""

import logging
import math
import os
import re
import shutil
from typing import Any

import requests

from inception_tf.errors import InceptionError, StorageError, UsageError
from inception_tf.runtime.progress import bar
from inception_tf.text import first_line

log = logging.getLogger("inception_tf")

ADDRESSES = ("https://", "hf://")
# The published files have 92 to 225 MB; with all that training keeps, four times as much.
MAX_BYTES = 4 * 2**30
# To connect, and between two pieces of an answer.
TIMEOUT_SECONDS = 20
_PIECE_BYTES = 2**20
_SHA256 = re.compile(r"sha256=([0-9a-fA-F]{64})")
# As in Hugging Face's own addresses; without a file it is the one that timm writes.
_HUB = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:@([^/@]+))?(?:/(.+))?")
_HUB_FILE = "model.safetensors"


def local_path(path: str) -> str:
    """`path` itself, or that of the file downloaded from it where it is an address.

    Addresses are https://HOST/FILE[#sha256=HEX], cached in Keras' folder, and
    hf://OWNER/NAME[@REVISION][/FILE], cached by huggingface_hub.

    Raises: UsageError when there is no such file, it cannot be had or has another hash;
        StorageError when it cannot be written.
    """
    if not path.startswith(ADDRESSES):
        return path
    found = (_from_hub if path.startswith("hf://") else _from_server)(path)
    log.info("%s is in the cache: %s", path, found)
    return found


def _from_server(address):
    url, _, fragment = address.partition("#")
    return fetched(url, _hash_of(address, fragment), os.path.join(keras_home(), "downloads"))


def without_secrets(address: str) -> str:
    """`address` for others to read: without user name, password and query (signatures, tokens)."""
    return re.sub(r"(?<=//)[^/@]*@|\?[^#]*", "", address)


def keras_home() -> str:
    """Keras' own folder, where keras.applications puts its files too."""
    return os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras")


def fetched(url: str, known_hash: str | None, folder: str, name: str | None = None) -> str:
    """Path of the file of an https:// address in `folder`, downloaded where it is not there.

    Args:
        url: its address.
        known_hash: "sha256:HEX" or "md5:HEX", with which it is checked; None: it is not.
        folder: made where it is missing.
        name: of the file there; None: its own behind the address' hash.

    Raises: UsageError when it cannot be had or has another hash, StorageError when it cannot
        be written; nothing is then left of it.
    """
    import pooch

    pooch.get_logger().setLevel(logging.ERROR)
    try:
        return pooch.retrieve(url, known_hash, name, folder, downloader=_receive)
    except requests.RequestException as error:
        raise _not_had(url, _cause(error)) from None
    except ValueError as error:  # pooch: another hash than the known one, or no address
        got = str(error).partition(" but got ")[2].partition(".")[0]
        raise _not_had(url, f"the file there has the hash {got}, not {known_hash}" if got
                       else first_line(error)) from None
    except OSError as error:
        raise StorageError(f"{url}: {folder} cannot be written ({error.strerror or error}); "
                           "KERAS_HOME names another") from None


def _hash_of(address, fragment):
    """pooch's form of what stands behind the # of an address; None without one."""
    match = _SHA256.fullmatch(fragment)
    if fragment and not match:
        raise UsageError(f"{address}: after # comes sha256= with 64 hexadecimal digits")
    return f"sha256:{match[1].lower()}" if match else None


def _receive(url, output, _pooch):
    """Writes the answer of `url` into `output`: what pooch calls a downloader."""
    with requests.get(url, stream=True, timeout=TIMEOUT_SECONDS) as answer:
        answer.raise_for_status()
        length = answer.headers.get("Content-Length", "")
        size = int(length) if length.isdecimal() else 0
        _check_answer(answer, size, os.path.dirname(output))
        pieces = bar(answer.iter_content(_PIECE_BYTES), math.ceil(size / _PIECE_BYTES), "MiB",
                     f"downloading {url}")
        with open(output, "wb") as file:
            for piece in pieces:
                _check_size(url, file.tell() + len(piece))
                file.write(piece)


def _check_answer(answer, size, folder):
    """Refuses what is no file of weights before it is received."""
    hops = [hop.url for hop in (*answer.history, answer)]
    if insecure := [url for url in hops if not url.startswith("https://")]:
        raise UsageError(f"{hops[0]} leads to {insecure[0]}, which is not encrypted")
    if answer.headers.get("Content-Type", "").startswith("text/html"):
        raise UsageError(f"{hops[0]} is a web page: give the address of the file itself")
    _check_size(hops[0], size)
    if size > shutil.disk_usage(folder).free:
        raise StorageError(f"{hops[0]} has {size:,} bytes, for which {folder} has no room")


def _check_size(url, size):
    if size > MAX_BYTES:
        raise UsageError(f"{url} is larger than {MAX_BYTES / 2**30:.0f} GiB: no file of "
                         "weights of these networks")


def _cause(error):
    """What happened on the way to a server, in a user's words."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server says {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return f"no answer within {TIMEOUT_SECONDS} seconds"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off; start again"
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return f"{reason or error!s:.200}"


def _from_hub(address):
    match = _HUB.fullmatch(address)
    if not match:
        raise UsageError(f"{address}: write hf://OWNER/NAME[@REVISION][/FILE], such as "
                         "hf://timm/inception_v4.tf_in1k")
    repository, revision, file = match.groups()
    hub = _imported_hub(address)
    log.info("asking Hugging Face for %s of %s", file or _HUB_FILE, repository)
    try:
        return hub.hf_hub_download(repository, file or _HUB_FILE, revision=revision)
    except InceptionError:
        raise  # a signal that stops the command
    # The network's and the operating system's errors come through beside the library's own.
    except Exception as error:
        if isinstance(error, OSError) and error.errno:
            raise StorageError(f"{address}: {error.filename or 'the cache'} cannot be "
                               f"written ({error.strerror}); HF_HOME names another") from None
        raise _not_had(address, _hub_cause(error, hub)) from None


def _imported_hub(address) -> Any:
    """huggingface_hub, which asks several times and says so each time: its last word will do."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    for name in ("huggingface_hub", "httpx", "httpx2"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        import huggingface_hub.errors
    except ImportError:
        raise UsageError(f"{address} needs the package huggingface_hub: "
                         'pip install ".[hub]" in the repository') from None
    return huggingface_hub


def _hub_cause(error, hub):
    """What Hugging Face's library raised, in a user's words."""
    known = {
        hub.errors.LocalEntryNotFoundError: "no network, and it is not in the cache",
        hub.errors.EntryNotFoundError: "no such file there",
        hub.errors.RevisionNotFoundError: "no such revision there",
        hub.errors.GatedRepoError: "its owner must grant you access, then `hf auth login`",
        hub.errors.RepositoryNotFoundError: "no such repository, or a private one",
    }
    return next((words for kind, words in known.items() if isinstance(error, kind)),
                first_line(error))


def _not_had(address, cause):
    return UsageError(f"{address} could not be downloaded: {cause}")
