"""What readers of streams are sent: the frames of one source of events, or of many in one.

Each source is read at the pace of the reader; what a slow one missed is told by the source
itself (`truncated`, and a snapshot). Nothing here waits for the network.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TypeAlias, cast

from turnstone.api import sse, wire02
from turnstone.core import events as ev
from turnstone.core.errors import TurnstoneError
from turnstone.server.sse import error_event

#: The name of the source that tells of all workstreams, in a place of many.
EVERYTHING = "*"

#: Events that wait between the sources of one reader and its answer, in all.
_WAITING = 32

#: Events whose bytes are kept for the other readers, who come for them in the same moment.
_KEPT = 256

#: What a reader is always told, whatever types it asked for: else it would wait for more.
_ALWAYS = frozenset({"truncated", "ws_closed"})

Encode: TypeAlias = Callable[[ev.Event], bytes]
Wanted: TypeAlias = Collection[str] | None


class Place:
    """Up to where the reader of one source has seen all; empty: there is no such place yet.

    The events of a snapshot share one id, and a reader that came back with it would miss what
    of the snapshot it had not seen. So it counts only when the snapshot is over.
    """

    def __init__(self, safe: str = "") -> None:
        self.safe = safe
        self._snapshot = ""
        self._inside = False

    def saw(self, event: ev.Event) -> None:
        if isinstance(event, ev.Connected | ev.Truncated):
            self._snapshot = event.id
        self._inside = event.id == self._snapshot
        if not self._inside:
            self.safe = event.id

    def settle(self) -> None:
        """There is nothing more on its way."""
        if self._inside:
            self.safe = self._snapshot


class Once:
    """An encoder that keeps what it made for the next readers of the same event."""

    def __init__(self, encode: Encode) -> None:
        self._encode = encode
        self._kept: dict[int, tuple[ev.Event, bytes]] = {}

    def __call__(self, event: ev.Event) -> bytes:
        kept = self._kept.get(id(event))
        if kept is not None:
            return kept[1]  # the event is held beside it, so its address is of no other
        data = self._encode(event)
        if not isinstance(event, ev.History):  # made for one reader, and large
            self._kept[id(event)] = (event, data)
            if len(self._kept) > _KEPT:
                del self._kept[next(iter(self._kept))]
        return data


class One:
    """The frames of one source. `companions`: of the 0.2 wire, where that is spoken."""

    def __init__(
        self,
        events: AsyncIterator[ev.Event],
        encode: Encode,
        *,
        types: Wanted = None,
        companions: wire02.Companions | None = None,
    ) -> None:
        self._events = events
        self._encode = encode
        self._types = types
        self._companions = companions
        self._place = Place()
        self._told = ""

    async def frames(self) -> AsyncGenerator[bytes]:
        async with aclosing(cast("AsyncGenerator[ev.Event]", self._events)) as events:
            async for event in events:
                self._place.saw(event)
                if _wanted(event, self._types):
                    yield self._framed(event)

    def settled(self) -> str:
        self._place.settle()
        return self._news()

    def _framed(self, event: ev.Event) -> bytes:
        frame = sse.frame(self._news(), self._encode(event))
        if self._companions is None:
            return frame
        before, behind = self._companions.before(event), self._companions.behind(event)
        return b"".join(
            (
                sse.frame("", before) if before else b"",
                frame,
                sse.frame("", behind) if behind else b"",
            )
        )

    def _news(self) -> str:
        told, self._told = self._told, self._place.safe
        return "" if told == self._told else self._told


@dataclass(slots=True)
class _Source:
    """One of many. `name` is a workstream's id, or EVERYTHING."""

    name: str
    events: AsyncIterator[ev.Event]
    place: Place = field(default_factory=Place)


class Many:
    """The frames of many sources, in the order in which they come; each under a place in all.

    A source that is not there, or ends, is told of as an event, and the others go on. What
    breaks a source that is there (a store that cannot be read) ends the stream, so that its
    reader comes back.
    """

    def __init__(
        self,
        sources: Mapping[str, AsyncIterator[ev.Event]],
        places: Mapping[str, ev.EventId],
        *,
        types: Wanted = None,
        encode: Encode,
    ) -> None:
        self._sources = [
            _Source(name, events, Place(str(places[name]) if name in places else ""))
            for name, events in sources.items()
        ]
        self._types = types
        self._encode = encode
        self._told = self._cursor()
        self._queue: asyncio.Queue[tuple[_Source, ev.Event | Exception]] = asyncio.Queue(_WAITING)

    async def frames(self) -> AsyncGenerator[bytes]:
        tasks = [asyncio.create_task(self._read(source)) for source in self._sources]
        try:
            while True:
                source, came = await self._queue.get()
                if isinstance(came, ev.Event):
                    source.place.saw(came)
                    if _wanted(came, self._types):
                        yield sse.frame(self._news(), self._bytes(source, came))
                elif isinstance(came, TurnstoneError) and came.status < 500:
                    source.place.safe = ""
                    yield sse.frame(self._news(), error_event(came, source.name))
                else:
                    raise came
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def settled(self) -> str:
        for source in self._sources:
            source.place.settle()
        return self._news()

    async def _read(self, source: _Source) -> None:
        try:
            async with aclosing(cast("AsyncGenerator[ev.Event]", source.events)) as events:
                async for event in events:
                    await self._queue.put((source, event))
        except Exception as error:  # it is raised, or told, where the frames are made
            await self._queue.put((source, error))

    def _bytes(self, source: _Source, event: ev.Event) -> bytes:
        """What comes from the source that tells of all is marked: its ids are of another log
        than those of the workstream that it tells of."""
        data = self._encode(event)
        return data[:-1] + b',"global":true}' if source.name == EVERYTHING else data

    def _news(self) -> str:
        told, self._told = self._told, self._cursor()
        return "" if told == self._told else self._told

    def _cursor(self) -> str:
        return write_places({s.name: s.place.safe for s in self._sources if s.place.safe})


def write_places(places: Mapping[str, str]) -> str:
    """`A@12-3,B@4-0`."""
    return ",".join(f"{name}@{place}" for name, place in places.items())


def read_places(text: str) -> dict[str, ev.EventId]:
    """The inverse. Raises ValueError."""
    found = {}
    for part in filter(None, text.split(",")):
        name, at, place = part.rpartition("@")
        if not at or not name:
            raise ValueError(f"a place in many streams looks like ID@12-3, not {part[:60]!r}")
        found[name] = ev.EventId.parse(place)
    return found


def known_types() -> frozenset[str]:
    return frozenset(str(kind.__struct_config__.tag) for kind in ev.Event.__subclasses__())


def _wanted(event: ev.Event, types: Wanted) -> bool:
    return types is None or event.type in types or event.type in _ALWAYS


#: Our own envelopes, and those of 0.2: made once for all readers.
NATIVE, OF_0_2 = Once(ev.encode), Once(wire02.encode)
