"""A stream of events as an ASGI response: one reader, at its own pace, in the task of its request.

Frames that are ready together leave in one write. A reader that does not read holds up
nothing but itself: its iterator is not advanced, and the node's ring passes it by. The
stream ends with its events, with its reader, or with the server, whichever is first.

A node has thousands of streams that wait. So each has no task, no event and no timeout of its own
beside the request's: what happens to it comes as a call (`_flush`, `_beat`, `_stop`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Protocol

import msgspec
from starlette.types import Receive, Scope, Send

from turnstone.api import sse
from turnstone.api.problems import body_of
from turnstone.core.errors import TurnstoneError
from turnstone.server.connection import WIRE, Wire

#: Seconds without an event after which a comment is sent (contract, section 2.5).
KEEPALIVE = 5.0

#: Seconds between two writes: frames that come closer together share one, as the records of a
#: step do. Text was gathered before, in the live log; more here would only make it late.
GATHER = 0.005

#: Seconds within which a stream that cannot be begun says so, and gets its proper status. An
#: error that comes later is told in the stream.
_FIRST_WAIT = 0.25

#: Bytes of frames that share one write, at most.
_BUFFER = 256 * 1024

#: Seconds that a stopping server leaves a stream to send what is ready.
_LAST_WORDS = 1.0

_HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


#: Milliseconds after which a browser is to come back to a server that stops: a restart
#: takes about as long.
_COME_BACK = 2000


class Frames(Protocol):
    """What a stream is made of: the frames, and where its reader is when all were sent."""

    def frames(self) -> AsyncGenerator[bytes]:
        """Each whole; they may come in pieces of several. Raises TurnstoneErrors."""

    def settled(self) -> str:
        """Asked when the reader has had all frames: the place that it was not told yet."""


class Closing(asyncio.Event):
    """Set when the server stops; then those who asked to be are called, once."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: set[Callable[[], None]] = set()

    def set(self) -> None:
        super().set()
        for call in list(self.calls):
            call()


class EventStream:
    """One answer. Use once: `open`, then call. `still`: whether its reader may have it; asked
    as often as a quiet stream is kept alive, and no is its end. To be served by a `Connection`:
    it writes to the `Wire` of that."""

    __slots__ = (
        "_closing",
        "_ended",
        "_events",
        "_first",
        "_frames",
        "_held",
        "_keepalive",
        "_loop",
        "_reader",
        "_size",
        "_source",
        "_still",
        "_stopped",
        "_timer",
        "_wire",
        "_writer",
        "_written",
    )

    def __init__(
        self,
        source: Frames,
        closing: Closing,
        *,
        keepalive: float = KEEPALIVE,
        still: Callable[[], bool] = lambda: True,
    ) -> None:
        self._source = source
        self._events = source.frames()
        self._closing = closing
        self._keepalive = keepalive
        self._still = still
        self._first: asyncio.Task[bytes] | None = None
        self._frames: list[bytes] = []
        self._size = 0
        self._held = False  # there may be more frames, which are not fetched for lack of room
        self._ended = False  # by itself: the reader was told all there is
        self._stopped = False
        self._loop = asyncio.get_running_loop()
        self._written = self._loop.time() - GATHER
        self._wire: Wire | None = None  # while it is served
        self._reader: asyncio.Task[object] | None = None  # while it waits for events
        self._writer: asyncio.Handle | None = None  # while frames wait
        self._timer: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Raises what keeps the stream from beginning (`UnknownWorkstream`, …)."""
        self._first = asyncio.ensure_future(anext(self._events))
        try:
            await asyncio.wait({self._first}, timeout=_FIRST_WAIT)
        except asyncio.CancelledError:
            await self._release()
            raise
        if self._first.done() and isinstance(self._first.exception(), TurnstoneError):
            self._first.result()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            if scope["method"] == "HEAD" or await self._serve(scope):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await self._release()

    async def _serve(self, scope: Scope) -> bool:
        """Whether all that was ready has left; a reader that is stuck does not get an ending."""
        wire: Wire = scope["extensions"][WIRE]
        self._wire = wire
        wire.begin(scope["http_version"], self._stop)
        self._closing.calls.add(self._stop)
        self._timer = self._loop.call_later(self._keepalive, self._beat)
        try:
            if not (wire.gone or self._closing.is_set()):
                await self._read(wire)
            if self._closing.is_set() and not self._ended:
                self._add(sse.farewell(_COME_BACK))
            self._flush()
            if wire.full and not wire.gone:
                await asyncio.wait_for(wire.drained(), _LAST_WORDS)
            return not wire.gone
        except TimeoutError:
            return False
        finally:
            self._closing.calls.discard(self._stop)
            wire.end()
            self._wire = None
            self._timer.cancel()

    async def _read(self, wire: Wire) -> None:
        """Fetch events while there is room for them, until they end or `_stop`."""
        self._reader = asyncio.current_task()
        try:
            if self._first is not None:
                self._add(await self._first)
                self._first = None
            async for frame in self._events:
                self._add(frame)
                if wire.full or self._size > _BUFFER:
                    await self._make_room(wire)
            self._ended = True
        except StopAsyncIteration:
            self._ended = True  # there was not even a first one
        except TurnstoneError as error:
            self._ended = True
            self._add(sse.frame("", error_event(error)))
        except asyncio.CancelledError:
            if not self._stopped or self._reader is None or self._reader.uncancel():
                raise
        finally:
            self._reader = None

    async def _make_room(self, wire: Wire) -> None:
        self._held = True
        try:
            self._flush()
            await asyncio.sleep(0)  # a reader may be quick, and others wait
            if wire.full:
                await wire.drained()
        finally:
            self._held = False

    def _stop(self) -> None:
        """Read no more: the reader is gone, or the server stops, or it may not have it."""
        self._stopped = True
        if self._reader is not None:
            self._reader.cancel()

    def _beat(self) -> None:
        """Called when the stream may have been quiet for long."""
        assert self._wire is not None
        if not self._still():
            self._stop()
            return
        now = self._loop.time()
        quiet = now - self._written
        if quiet >= self._keepalive and not (self._frames or self._held or self._wire.full):
            self._wire.write(sse.keepalive(self._source.settled()))
            self._written, quiet = now, 0.0
        wait = self._keepalive - quiet if quiet < self._keepalive else self._keepalive
        self._timer = self._loop.call_later(wait, self._beat)

    def _add(self, frame: bytes) -> None:
        self._frames.append(frame)
        self._size += len(frame)
        if self._writer is None:
            wait = self._written + GATHER - self._loop.time()
            if wait > 0:
                self._writer = self._loop.call_later(wait, self._flush)
            else:
                self._writer = self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Write what waits, unless nobody is there to have it."""
        if self._writer is not None:
            self._writer.cancel()
            self._writer = None
        frames, self._frames, self._size = self._frames, [], 0
        if frames and self._wire is not None and not self._wire.gone:
            self._wire.write(b"".join(frames))
            self._written = self._loop.time()

    async def _release(self) -> None:
        """Let the events go, wherever they stand."""
        if self._first is not None and not self._first.done():
            self._first.cancel()
            await asyncio.wait({self._first})
        await self._events.aclose()


def error_event(error: TurnstoneError, ws_id: str = "") -> bytes:
    """An error after the beginning: in the form of an event that 0.2 knows, and with no id."""
    told = {"type": "error", "ws_id": ws_id, "message": str(error)}
    return msgspec.json.encode(told | msgspec.to_builtins(body_of(error)))
