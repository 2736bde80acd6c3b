"""What a server answers: requests in, JSON out, as an application of Starlette.

    POST /predict                      a picture's bytes -> its likeliest classes
    POST /v1/models/NAME:predict       TensorFlow Serving's REST form, any number of pictures
    GET  /v1/models/NAME               the same: which version is served
    GET  /metrics                      counters for Prometheus

An error is one line of JSON, {"error": "..."}, as TensorFlow Serving's.
Source: https://www.tensorflow.org/tfx/serving/api_rest.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import numpy as np
import tensorflow as tf
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inception_tf.errors import DataError
from inception_tf.labels import readable_names
from inception_tf.runtime.memory import require_memory
from inception_tf.serving.batching import Batcher
from inception_tf.serving.intake import (
    DECODERS,
    Limits,
    Room,
    body_of,
    pictures_of_rows,
    unless_gone,
)
from inception_tf.serving.meters import Meters
from inception_tf.serving.predictor import Prediction, Predictor, answer_of, cutter_of
from inception_tf.serving.saved_model.signatures import TOP
from inception_tf.text import one_line

log = logging.getLogger("inception_tf")

# nginx's code: the client left before it had its answer.
CLIENT_LEFT = 499


class Service:
    """The application for one network: `app` is what an ASGI server calls.

    Args:
        predictor: the network, and how pictures are cut for it.
        name, version: what the REST form calls it.
        limits: what is taken; more is refused with 413 or 503.

    Raises: UsageError when the memory for a full queue is not there.
    """

    def __init__(self, predictor: Predictor, name: str, version: str, limits: Limits) -> None:
        _require_memory(predictor, limits)
        self._name, self._version, self._limits = name, version, limits
        self._class_names = predictor.class_names
        self._readable_names = readable_names(predictor.class_names)
        self._cut = cutter_of(predictor)
        self._room = Room(limits)
        self._meters = Meters(lambda: self._room.held["pictures"])
        self._run = predictor.probabilities
        self._batcher = Batcher(self._run, limits.max_batch, self._meters.count_batch)
        self._decoders = ThreadPoolExecutor(DECODERS, "decode")
        self.app = _counting(self._routes(), self._meters, (
            "/predict", "/metrics", f"/v1/models/{name}", f"/v1/models/{name}:predict"))

    def warm_up(self) -> None:
        """Has TensorFlow do now what it does at first: seconds that no request should wait."""
        black = np.zeros([8, 8, 3], np.uint8)
        png = tf.io.encode_png(black).numpy()
        for picture in (tf.io.encode_jpeg(black).numpy(), png, png[:-20]):
            with contextlib.suppress(DataError):
                crop = self._cut(picture)
        for number in {1, self._limits.max_batch}:
            self._run(np.stack([crop] * number))

    def close(self) -> None:
        """Ends its threads."""
        self._decoders.shutdown()
        self._batcher.close()

    def _routes(self):
        app = Starlette(
            routes=[Route("/predict", self._predict, methods=["POST"]),
                    Route("/metrics", self._metrics),
                    Route("/v1/models/{name}:predict", self._predict_rest, methods=["POST"]),
                    Route("/v1/models/{name}", self._status)],
            exception_handlers={404: self._unknown, 405: self._unknown, HTTPException: _refusal,
                                ClientDisconnect: _nobody, Exception: _mistake})
        app.router.redirect_slashes = False
        return app

    async def _predict(self, request):
        if request.headers.get("content-type", "").startswith("multipart/"):
            raise HTTPException(415, "a form: send the picture's bytes alone as the body, "
                                     "curl --data-binary @cat.jpg")
        (row,) = await self._probabilities(request, lambda body: [body])
        best = answer_of(Prediction("", None, row), self._readable_names, TOP)
        return _json({"top": best["top"]})

    async def _predict_rest(self, request):
        self._check_name(request)
        rows = await self._probabilities(request, pictures_of_rows)
        return _json({"predictions": [_rest_answer(row, self._class_names) for row in rows]})

    async def _status(self, request):
        self._check_name(request)
        return _json({"model_version_status": [
            {"version": self._version, "state": "AVAILABLE",
             "status": {"error_code": "OK", "error_message": ""}}]})

    async def _metrics(self, request):
        return Response(self._meters.text(), media_type=self._meters.CONTENT_TYPE)

    def _check_name(self, request):
        if request.path_params["name"] != self._name:
            raise HTTPException(404)

    async def _unknown(self, request, error):
        rest = f"/v1/models/{self._name}"
        path = request.scope["path"]
        return _json({"error": f"{request.method} {path:.100} is not answered: POST /predict or "
                               f"{rest}:predict, GET {rest} or /metrics"},
                     error.status_code, error.headers)

    async def _probabilities(self, request: Request,
                             pictures_of: Callable[[bytes], list[bytes]]) -> Sequence[np.ndarray]:
        """[K] of each picture that `pictures_of` finds in the body."""
        with self._room.hold() as take:
            take("pictures", 1)  # refused before it is read where there is no room
            pictures = pictures_of(await body_of(request, self._limits, take))
            if len(pictures) > self._limits.max_queue:
                raise HTTPException(413, f"{len(pictures)} pictures: at most "
                                         f"{self._limits.max_queue} are taken (--max_queue)")
            take("pictures", len(pictures) - 1)
            return await unless_gone(request, self._answers(pictures))

    async def _answers(self, pictures):
        crops = await self._crops(pictures)
        try:
            return await asyncio.gather(
                *(asyncio.wrap_future(self._batcher.submit(crop)) for crop in crops))
        except Exception as error:
            log.error("the network failed: %s", one_line(error))
            raise HTTPException(500, f"the network failed: {one_line(error)}") from None

    async def _crops(self, pictures):
        """All are decoded before any goes to the network: one bad picture costs it nothing."""
        loop = asyncio.get_running_loop()
        crops = await asyncio.gather(*(loop.run_in_executor(self._decoders, self._cut, picture)
                                       for picture in pictures), return_exceptions=True)
        for number, crop in enumerate(crops):
            if isinstance(crop, DataError):
                which = f"instance {number}: " * (len(crops) > 1)
                raise HTTPException(400, f"{which}{crop}")
            if isinstance(crop, BaseException):
                raise crop
        return crops


def _require_memory(predictor, limits):
    size, pictures = predictor.preprocessing.image_size, limits.max_queue + limits.max_batch
    require_memory(4 * 3 * size**2 * pictures,
                   f"{pictures:,} pictures of {size}x{size} in the queue and in a batch",
                   "lower --max_queue or --max_batch")


def _rest_answer(row: np.ndarray, class_names: Sequence[str]) -> dict[str, Any]:
    """Probabilities [K] as the signature serving_default gives them."""
    best = (-row).argsort(kind="stable")[:TOP]
    return {"probabilities": row.tolist(), "classes": best.tolist(),
            "scores": row[best].tolist(), "labels": [class_names[i] for i in best]}


def _json(value, status=200, headers=None):
    return Response(msgspec.json.encode(value) + b"\n", status, headers, "application/json")


async def _refusal(request, error):
    return _json({"error": error.detail}, error.status_code, error.headers)


async def _nobody(request, error):
    return Response(status_code=CLIENT_LEFT)


async def _mistake(request, error):
    """Of ours; the ASGI server prints the traceback."""
    return _json({"error": f"a mistake of the server: {one_line(error)}"}, 500)


def _counting(app: ASGIApp, meters: Meters, paths: Sequence[str]) -> ASGIApp:
    """`app` with its answers counted by path (of `paths`, or "other") and code."""

    async def counting(scope: Scope, receive: Receive, send: Send) -> None:
        code, started = CLIENT_LEFT, time.perf_counter()

        async def sending(message: Message) -> None:
            nonlocal code
            code = message.get("status", code)
            await send(message)

        try:
            await app(scope, receive, sending)
        except asyncio.CancelledError:
            await _json({"error": "the server was stopped"}, 503)(scope, receive, sending)
        finally:
            path = scope["path"] if scope["path"] in paths else "other"
            meters.count_request(path, code, time.perf_counter() - started)

    return counting
