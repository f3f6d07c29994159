"""A stream of events as an ASGI response: one reader, at its own pace.

Frames that are ready together leave in one write. A reader that does not read holds up
nothing but itself: its iterator is not advanced, and the node's ring passes it by. The
stream ends with its events, with its reader, or with the server, whichever is first.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Protocol

import msgspec
from starlette.types import Message, Receive, Scope, Send

from turnstone.api import sse
from turnstone.api.problems import body_of
from turnstone.core.errors import TurnstoneError

#: Seconds without an event after which a comment is sent (contract, section 2.5).
KEEPALIVE = 5.0

#: Seconds between two writes: frames that come closer together share one. It costs a third
#: of one write for each, and is less than the eye sees.
GATHER = 0.02

#: Seconds within which a stream that cannot be begun says so, and gets its proper status. An
#: error that comes later is told in the stream.
_FIRST_WAIT = 0.25

#: Bytes that may wait for a reader before its events are no longer fetched.
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


class EventStream:
    """One answer. Use once: `open`, then call. `still`: whether its reader may have it; asked
    as often as a quiet stream is kept alive, and no is its end."""

    def __init__(
        self,
        source: Frames,
        closing: asyncio.Event,
        *,
        keepalive: float = KEEPALIVE,
        still: Callable[[], bool] = lambda: True,
    ) -> None:
        self._source = source
        self._events: AsyncIterator[bytes] = source.frames()
        self._closing = closing
        self._keepalive = keepalive
        self._still = still
        self._first: asyncio.Task[bytes] | None = None
        self._frames: list[bytes] = []
        self._size = 0
        self._ended = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()

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
            if scope["method"] == "HEAD" or await self._serve(receive, send):
                await send(_body(b"", more=False))
        finally:
            await self._release()

    async def _serve(self, receive: Receive, send: Send) -> bool:
        """Whether all that was ready has left; a reader that is stuck does not get an ending."""
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(self._read())
            writing = group.create_task(self._write(send))
            gone = group.create_task(_until_gone(receive))
            stopping = group.create_task(self._closing.wait())
            await asyncio.wait((writing, gone, stopping), return_when=asyncio.FIRST_COMPLETED)
            reading.cancel()
            if not gone.done():
                if stopping.done() and not self._ended:
                    self._add(sse.farewell(_COME_BACK))
                self._end()
                await asyncio.wait((writing, gone), timeout=_LAST_WORDS)
            whole = writing.done()
            for task in (writing, gone, stopping):
                task.cancel()
        return whole

    async def _read(self) -> None:
        """Fetch events while there is room for them."""
        try:
            if self._first is not None:
                self._add(await self._first)
            async for frame in self._events:
                self._add(frame)
                while self._size > _BUFFER:
                    self._room.clear()
                    await self._room.wait()
        except StopAsyncIteration:
            pass  # there was not even a first one
        except TurnstoneError as error:
            self._add(sse.frame("", error_event(error)))
        self._end()

    async def _write(self, send: Send) -> None:
        loop = asyncio.get_running_loop()
        written = -GATHER
        asked = loop.time()
        while not (self._ended and not self._frames):
            try:
                async with asyncio.timeout(self._keepalive):
                    await self._news.wait()
            except TimeoutError:
                self._add(sse.keepalive(self._source.settled()))
            if loop.time() - asked >= self._keepalive:
                asked = loop.time()
                if not self._still():
                    return
            if not self._ended:
                await asyncio.sleep(max(0.0, written + GATHER - loop.time()))
            chunk = b"".join(self._frames)
            self._frames.clear()
            self._size = 0
            self._news.clear()
            if self._ended:
                self._news.set()
            await send(_body(chunk, more=True))
            written = loop.time()
            self._room.set()

    def _add(self, frame: bytes) -> None:
        self._frames.append(frame)
        self._size += len(frame)
        self._news.set()

    def _end(self) -> None:
        self._ended = True
        self._news.set()

    async def _release(self) -> None:
        """Let the events go, wherever they stand."""
        if self._first is not None and not self._first.done():
            self._first.cancel()
            await asyncio.wait({self._first})
        if isinstance(self._events, AsyncGenerator):
            await self._events.aclose()


def error_event(error: TurnstoneError, ws_id: str = "") -> bytes:
    """An error after the beginning: in the form of an event that 0.2 knows, and with no id."""
    told = {"type": "error", "ws_id": ws_id, "message": str(error)}
    return msgspec.json.encode(told | msgspec.to_builtins(body_of(error)))


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _body(payload: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": payload, "more_body": more}
