"""`inception-tf serve`: answers HTTP requests with the classes of pictures."""

import importlib.util
import os
from collections.abc import Sequence

from inception_tf import flags
from inception_tf.commands.shell import import_tensorflow
from inception_tf.errors import UsageError
from inception_tf.flags import Flag
from inception_tf.runtime.signals import importing
from inception_tf.text import printable

OWN = (
    Flag("model", "", "a run's folder, an exported folder, or a file that convert wrote",
         path=True),
    flags.CHECKPOINT,
    Flag("host", "127.0.0.1", "address to listen at; 0.0.0.0: all of this machine's"),
    Flag("port", 8501, "port to listen at; 0: any free one", low=0, high=65535),
    Flag("max_batch", 8, "pictures that go through the network together", low=1),
    Flag("max_queue", 128, "pictures accepted and not answered; beyond it the answer is 503",
         low=1),
    Flag("max_request_mib", 32, "MiB of a request's body", low=1, high=1024),
    Flag("upload_timeout_s", 30.0, "seconds that a request may take to come in", low=0.1,
         high=3600),
)
PACKAGES = ("prometheus_client", "starlette", "uvicorn")


def main(argv: Sequence[str]) -> None:
    """Prints a line when it listens; a stop signal ends it with 0, all accepted answered."""
    arguments = flags.parse("serve", "Answers HTTP requests with the classes of pictures: "
                            "inception-tf serve --model=PATH.", argv, OWN, fields=())
    own = arguments.own
    arguments.require_model()
    _check_packages()
    from inception_tf.serving.intake import DECODERS, Limits

    # With its default, one a core, decoding waits behind the network: a damaged picture is then
    # refused after half a second instead of a tenth.
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", str((os.cpu_count() or 1) + DECODERS))
    import_tensorflow()
    from inception_tf.serving import server
    from inception_tf.serving.predictor import open_predictor
    from inception_tf.serving.service import Service

    limits = Limits(own["max_batch"], own["max_queue"], own["max_request_mib"] * 2**20,
                    own["upload_timeout_s"])
    with server.bound_socket(own["host"], own["port"]) as bound:
        predictor = open_predictor(own["model"], arguments.own_if_given("checkpoint"))
        name, version = server.name_and_version(own["model"])
        service = Service(predictor, name, version, limits)
        with importing():  # AutoGraph would take the error of a stop signal for its own
            service.warm_up()
        said = f"serving {name}, version {version}, {len(predictor.class_names)} classes, at "
        server.serve(service, bound, limits,
                     lambda address: print(printable(said + address), flush=True))


def _check_packages():
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"serve needs {' and '.join(missing)}: pip install 'inception_tf[serve]'")
