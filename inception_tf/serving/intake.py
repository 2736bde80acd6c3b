"""What a server takes in: bodies read against their limits, and room for what it holds."""

import asyncio
import collections
import contextlib
import dataclasses
import os
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Literal

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

# Bodies held at once, counted in the largest that one may be.
HELD_BODIES = 16
# Threads that decode. A large picture takes one of them half a second; others go past it.
DECODERS = max(4, os.cpu_count() or 1)
_RETRY = {"Retry-After": "1"}  # seconds
# The client may still be sending, and what it sends is of no use.
_CLOSE = {"Connection": "close"}


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a server takes at most.

    max_batch: pictures that go through the network together.
    max_queue: pictures accepted and not answered.
    max_request_bytes: of one body.
    upload_timeout_s: seconds for the head of a request, and again for its body.
    """

    max_batch: int
    max_queue: int
    max_request_bytes: int
    upload_timeout_s: float


class Room:
    """Bytes of bodies and pictures that are held, and how many may be."""

    def __init__(self, limits: Limits) -> None:
        self.held = collections.Counter(bytes=0, pictures=0)
        self._most = {"bytes": HELD_BODIES * limits.max_request_bytes,
                      "pictures": limits.max_queue}

    @contextlib.contextmanager
    def hold(self) -> Iterator[Callable[[str, int], None]]:
        """A function that takes a number of "bytes" or "pictures", given back at the end.

        It raises HTTPException 503 where there is no room for them.
        """
        taken = collections.Counter()

        def take(what: str, number: int) -> None:
            if self.held[what] + number > self._most[what]:
                raise HTTPException(503, f"busy with {self.held['pictures']} pictures: "
                                         "try again in a second", _RETRY)
            self.held[what] += number
            taken[what] += number

        try:
            yield take
        finally:
            self.held.subtract(taken)


async def body_of(request: Request, limits: Limits, take: Callable[[str, int], None]) -> bytes:
    """The body of a request, each piece of it taken from a Room.

    Raises:
        HTTPException: 413 for too large a body, 408 for too slow a one, 503 where there is no room.
        ClientDisconnect: the client left.
    """
    _check_size(int(request.headers.get("content-length", 0)), limits)
    pieces, size = [], 0
    try:
        async with asyncio.timeout(limits.upload_timeout_s):
            async for piece in request.stream():
                size += len(piece)
                _check_size(size, limits)
                take("bytes", len(piece))
                pieces.append(piece)
    except TimeoutError:
        raise HTTPException(408, f"{size:,} bytes of the body came in {limits.upload_timeout_s:g} "
                                 "s (--upload_timeout_s)", _CLOSE) from None
    return b"".join(pieces)


def _check_size(size, limits):
    if size > limits.max_request_bytes:
        raise HTTPException(413, f"a body of {size:,} bytes or more: at most "
                                 f"{limits.max_request_bytes:,} are taken (--max_request_mib)")


async def unless_gone(request: Request, work: Coroutine[Any, Any, Any]) -> Any:
    """The result of `work`, which is cancelled where the client leaves before.

    Raises: ClientDisconnect then; what `work` raises.
    """
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()


async def _left(request):
    while (await request.receive())["type"] != "http.disconnect":
        pass


class _Base64(msgspec.Struct, forbid_unknown_fields=True):
    b64: bytes


class _Instance(msgspec.Struct, forbid_unknown_fields=True):
    image_bytes: _Base64


class _Rows(msgspec.Struct, forbid_unknown_fields=True):
    instances: list[_Instance]
    signature_name: Literal["serving_default"] = "serving_default"


def pictures_of_rows(body: bytes) -> list[bytes]:
    """The pictures of a request in TensorFlow Serving's REST form.

    Raises: HTTPException 400 with the place in the JSON that is not of it.
    """
    try:
        return [row.image_bytes.b64 for row in msgspec.json.decode(body, type=_Rows).instances]
    except (msgspec.DecodeError, RecursionError) as error:
        raise HTTPException(400, f'{error}: send {{"instances": [{{"image_bytes": {{"b64": '
                                 '"BASE64_OF_A_FILE"}}]}') from None
