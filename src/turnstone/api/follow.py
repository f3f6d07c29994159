"""Following a node's event stream: one connection after another, each event to its reader once.

Takes a broken stream up again at the last id, for as long as the node may come back. Decides
nothing about events.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import httpx2
import msgspec

from turnstone.api.problems import not_a_node, read_error
from turnstone.api.sse import Decoder, Frame
from turnstone.core import events as ev
from turnstone.core.errors import NodeUnavailable

#: Seconds without a byte after which a stream is dead: four keep-alives of 5 s were missed.
SILENCE = 20.0

#: Seconds before the first attempt to come back, and at most before any. Doubled each time,
#: and drawn at random below that, so that many readers of one node do not return at once.
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0

#: Statuses that a node which is starting, stopping or overloaded, or a proxy before it, gives.
_PASSING = (408, 425, 429, 500, 502, 503, 504)

_KNOWN = frozenset(str(kind.__struct_config__.tag) for kind in ev.Event.__subclasses__())


class _Head(msgspec.Struct):
    type: str
    id: str = ""


class _Place:
    """Where to take the stream up after a break.

    The events of a snapshot share one id, so having seen that id does not mean having seen
    the whole snapshot. It counts once something shows that nothing more of it is to come: a
    later event, or a keep-alive, which is only sent when there is nothing else to send.
    """

    def __init__(self, after: ev.EventId | None) -> None:
        self.safe = after
        self._seen = after
        self._in_snapshot = False

    def saw(self, event: ev.Event) -> None:
        place = ev.EventId.parse(event.id)
        if isinstance(event, ev.Connected | ev.Truncated):
            self._in_snapshot = True
        elif self._in_snapshot and place != self._seen:
            self._in_snapshot = False
        self._seen = place
        if not self._in_snapshot:
            self.safe = place

    def quiet(self) -> None:
        self.safe = self._seen
        self._in_snapshot = False


async def follow(
    client: httpx2.AsyncClient, path: str, query: dict[str, str], after: ev.EventId | None
) -> AsyncIterator[ev.Event]:
    """The events of a stream, until `ws_closed` or until the iterator is closed.

    A break in the middle of a snapshot is healed by the whole snapshot again (`connected` or
    `truncated`, then `history`). Raises the node's own error when it refuses for good, and
    NodeUnavailable for an answer that is no stream of events.
    """
    place = _Place(after)
    pause = FIRST_PAUSE
    while True:
        try:
            async with aclosing(_connection(client, path, query, place)) as events:
                async for event in events:
                    pause = FIRST_PAUSE
                    yield event
                    if isinstance(event, ev.WsClosed) and "ws" in query:
                        return
        except (httpx2.TransportError, _Passing):
            pass  # a node that restarts, a network that wakes up: it may come back
        await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 - spreads load, keeps no secret
        pause = min(pause * 2, LONGEST_PAUSE)


class _Passing(Exception):
    """The node is there, but not now."""


async def _connection(
    client: httpx2.AsyncClient, path: str, query: dict[str, str], place: _Place
) -> AsyncGenerator[ev.AnyEvent]:
    """The events of one connection, until it ends."""
    headers = {"Accept": "text/event-stream"}
    if place.safe is not None:
        headers["Last-Event-ID"] = str(place.safe)
    timeout = httpx2.Timeout(SILENCE, connect=client.timeout.connect)
    async with client.stream(
        "GET", path, params=query, headers=headers, timeout=timeout
    ) as response:
        await _check(response, str(client.base_url))
        decoder = Decoder()
        async for piece in response.aiter_bytes():
            for found in decoder.feed(piece):
                event = _event_of(found, str(client.base_url))
                if event is not None:
                    place.saw(event)
                    yield event
                elif found.data is None:
                    place.quiet()


async def _check(response: httpx2.Response, where: str) -> None:
    if response.status_code in _PASSING:
        raise _Passing
    if response.status_code != 200:
        raise read_error(response.status_code, await response.aread(), where)
    kind = response.headers.get("content-type", "")
    if not kind.startswith("text/event-stream"):
        raise not_a_node(where, f"{kind or 'no content type'} where events are expected")


def _event_of(found: Frame, where: str) -> ev.AnyEvent | None:
    """The event of a frame; None for comments, and for types that a newer node may send."""
    if found.data is None:
        return None
    try:
        head = msgspec.json.decode(found.data, type=_Head)
        if not head.id:
            raise read_error(200, found.data, where)
        if head.type not in _KNOWN:
            return None
        return ev.decode(found.data)
    except msgspec.DecodeError as error:
        raise NodeUnavailable(
            f"The node at {where} sends events that this version cannot read ({error}).",
            hint="Bring both to the same version.",
        ) from error
