"""One connection to the server: within limits of time, size and number, whatever it sends.

What uvicorn's own leaves open is closed here: a head that never ends, a body that nobody
reads, a client that has stopped to send and still reads, words that are no HTTP. Knows
nothing of what is asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import h11
import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

from turnstone.api.problems import BadRequest, body_of
from turnstone.core.errors import NodeUnavailable, TurnstoneError

#: Bytes of a request's head. A reader of 64 workstreams that comes back needs 4 KiB.
MAX_HEAD: Final = 16 * 1024

#: Seconds for a head to arrive, from the connection or from its first byte on.
HEAD_TIME: Final = 10.0

#: Seconds for which what a client still sends of a body that was refused is read and dropped,
#: so that it comes to read the refusal.
_LINGER: Final = 2.0

#: In the extensions of a request's scope: its `Wire`.
WIRE: Final = "turnstone.wire"

Timer = asyncio.TimerHandle | None


class Wire:
    """Where a stream writes the body of its answer, once that has begun, without a task for it.

    What ASGI has for that is a coroutine through each layer of the app: for a frame to many
    readers that costs more than all else together.
    """

    def __init__(self, transport: asyncio.Transport, flow: FlowControl) -> None:
        self._transport = transport
        self._flow = flow
        self._chunked = True
        self._on_gone: Callable[[], None] | None = None
        self.gone = False

    def begin(self, http_version: str, on_gone: Callable[[], None]) -> None:
        """For one answer, without a length; `on_gone` is called when its reader hangs up."""
        self._chunked = http_version != "1.0"
        self._on_gone = on_gone

    def end(self) -> None:
        self._on_gone = None

    def write(self, data: bytes) -> None:
        """Never empty: that would be the end. Waits for nothing; ask `full` before."""
        self._transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    @property
    def full(self) -> bool:
        """Whether the reader does not keep up: then write when it is `drained`."""
        return self._flow.write_paused

    async def drained(self) -> None:
        """Returns also when the reader has hung up."""
        await self._flow.drain()

    def lost(self) -> None:
        """The connection is gone."""
        self.gone = True
        if self._on_gone is not None:
            self._on_gone()


def protocol(max_connections: int, head_time: float = HEAD_TIME) -> type[H11Protocol]:
    """What makes a connection for `uvicorn.Config(http=…)`, with these limits."""

    class Limited(Connection):
        most = max_connections
        patience = head_time

    return Limited


def head_too_long() -> BadRequest:
    return BadRequest(
        "This is no HTTP request, or its head is too long.",
        hint=f"A head may have {MAX_HEAD} bytes.",
    )


class Connection(H11Protocol):
    most = 10_000
    patience = HEAD_TIME

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._head_timer: Timer = None
        self._linger_timer: Timer = None
        self._wire: Wire | None = None  # from connection_made on

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own: its transports can be written to
        super().connection_made(transport)
        self._wire = Wire(transport, self.flow)
        if len(self.connections) > self.most:
            self._refuse(
                NodeUnavailable(
                    "There are too many connections to this node.",
                    hint="Close some, or raise [server] max_connections.",
                )
            )
            return
        self._head_timer = self.loop.call_later(self.patience, self._too_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timers()
        super().connection_lost(exc)
        if self._wire is not None:
            self._wire.lost()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

    def handle_events(self) -> None:
        super().handle_events()
        scope: Any = self.scope  # None before a request; the app does not run before we return
        if scope is not None:
            scope["extensions"] = {WIRE: self._wire}

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self.conn.their_state is h11.SEND_BODY:
            self._linger_timer = self.loop.call_later(_LINGER, self.transport.close)
        else:
            self._watch_head()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio looks at what it returns
        """A client that has sent all, and waits for its answer, gets that. A stream ends: most
        who stop to send have gone."""
        cycle: RequestResponseCycle | None = self.cycle  # uvicorn's is None before a request
        if cycle is None or cycle.more_body or cycle.response_started:
            return False
        cycle.keep_alive = False
        return True

    def send_400_response(self, msg: str) -> None:
        self._refuse(head_too_long())

    def _watch_head(self) -> None:
        """The time runs while a head has begun and is not whole."""
        begun = self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])
        if not begun:
            self._stop_head()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(self.patience, self._too_late)

    def _too_late(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()

    def _refuse(self, error: TurnstoneError) -> None:
        """Say so, where an answer can still be begun, and hang up."""
        self._stop_timers()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = msgspec.json.encode(body_of(error))
            headers = [
                ("content-type", "application/json"),
                ("content-length", str(len(body))),
                ("connection", "close"),
            ]
            if error.status == 503:
                headers.append(("retry-after", "2"))
            for part in (
                h11.Response(status_code=error.status, headers=headers),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(part) or b"")
        self.transport.close()

    def _stop_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_timers(self) -> None:
        self._stop_head()
        if self._linger_timer is not None:
            self._linger_timer.cancel()
            self._linger_timer = None
