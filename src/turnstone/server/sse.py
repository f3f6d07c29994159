"""A stream of events as an ASGI response: one reader, at its own pace.

Frames that are ready together leave in one write. A reader that does not read holds up
nothing but itself: its iterator is not advanced, and the node's ring passes it by. The
stream ends with its events, with its reader, or with the server, whichever is first.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable

import msgspec
from starlette.types import Message, Receive, Scope, Send

from turnstone.api import sse
from turnstone.api.problems import body_of
from turnstone.core.errors import TurnstoneError
from turnstone.core.events import Connected, Event, Truncated

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


class EventStream:
    """`encode` turns an event into one line of JSON. Use once: `open`, then call."""

    def __init__(
        self,
        events: AsyncIterator[Event],
        encode: Callable[[Event], bytes],
        closing: asyncio.Event,
        *,
        keepalive: float = KEEPALIVE,
    ) -> None:
        self._events = events
        self._encode = encode
        self._closing = closing
        self._keepalive = keepalive
        self._first: asyncio.Task[Event] | None = None
        self._frames: list[bytes] = []
        self._size = 0
        self._ended = False
        self._snapshot = ""  # the id of the snapshot that is being sent, or was last
        self._due = ""  # that id, where it must still be told
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
                self._put(await self._first)
            async for event in self._events:
                self._put(event)
                while self._size > _BUFFER:
                    self._room.clear()
                    await self._room.wait()
        except StopAsyncIteration:
            pass  # there was not even a first one
        except TurnstoneError as error:
            self._add(sse.frame("", _last_words(error)))
        self._end()

    async def _write(self, send: Send) -> None:
        loop = asyncio.get_running_loop()
        written = -GATHER
        while not (self._ended and not self._frames):
            try:
                async with asyncio.timeout(self._keepalive):
                    await self._news.wait()
            except TimeoutError:
                self._add(sse.keepalive(self._due))
                self._due = ""
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

    def _put(self, event: Event) -> None:
        """The events of a snapshot share one id, and a reader that came back with it would miss
        what of the snapshot it had not seen. So they are sent without; the id follows them, alone
        or with the next event."""
        if isinstance(event, Connected | Truncated):
            self._snapshot = event.id
        inside = event.id == self._snapshot
        self._due = event.id if inside else ""
        self._add(sse.frame("" if inside else event.id, self._encode(event)))

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


def _last_words(error: TurnstoneError) -> bytes:
    """An error after the beginning: in the form of an event that 0.2 knows, and with no id."""
    told = {"type": "error", "message": str(error)} | msgspec.to_builtins(body_of(error))
    return msgspec.json.encode(told)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _body(payload: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": payload, "more_body": more}
