"""What readers of one workstream follow: its records and its live events, in one order.

A bounded ring in memory, one writer, any number of readers with a cursor of their own. No
reader takes anything from another, and a slow one neither holds up the writer nor makes the
ring grow: it falls behind it, and is told so (`Lagged`). Keeps nothing on disk.

Pieces of streamed text are gathered for a moment before they become an event, so that a
fast model does not cost an event per token.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TypeAlias

import msgspec

from turnstone.core.events import (
    Content,
    Event,
    EventId,
    Reasoning,
    StepFailed,
    StepFinished,
    StepStarted,
    StreamReset,
    ToolFinished,
    ToolOutput,
    TurnEnded,
    encode,
)

#: Events kept for readers that come back. At 25 ms a piece, some 100 s of streaming.
CAPACITY = 4096

#: Bytes of events kept, as they are sent, whatever their number.
MAX_BYTES = 8_000_000

#: The largest number behind a record that a reader is believed to have seen: all that read ids
#: can count on from there.
MOST = 2**53

#: Characters of a stream in progress (an answer, what a call prints) that readers who come late
#: are shown: the last ones.
MAX_STREAMED = 1_000_000

#: Seconds for which pieces of text are gathered: shorter than the eye notices.
GATHER = 0.025

#: Events after which the text streamed so far is no longer in progress.
_ENDS_STREAM = (StepStarted, StepFinished, StepFailed, StreamReset)


AnyPiece: TypeAlias = Content | Reasoning | ToolOutput


class Lagged(Exception):
    """The events after the reader's cursor are gone (or never were): start from a snapshot."""


class LiveLog:
    """The live log of one workstream. Use on one event loop only.

    `stamp` fills an event's common fields in, given its id.
    """

    def __init__(
        self,
        last: EventId,
        stamp: Callable[[Event, EventId], Event],
        *,
        capacity: int = CAPACITY,
        gather: float = GATHER,
    ) -> None:
        self.last = last
        self._floor = last  # the id just before the oldest event in the ring
        self._ring: deque[Event] = deque()
        self._sizes: deque[int] = deque()  # bytes of each
        self._dropped = 0  # events that have left the ring, so that positions stay absolute
        self._capacity = capacity
        self._gather = gather
        self._stamp = stamp
        self._waiting: set[asyncio.Future[None]] = set()  # of readers who have had all
        self._pending: list[AnyPiece] = []
        self._flusher: asyncio.TimerHandle | None = None
        self._streamed = _InProgress()
        self._printed: dict[str, _InProgress] = {}  # by the calls that run
        self._bytes = 0  # in the ring
        self._told = False  # something live has come behind the last record

    def record(self, event: Event) -> None:
        """Take in a record, which has its id from the journal."""
        self.flush()
        self._told = False
        self._add(event, EventId.parse(event.id))

    def publish(self, event: Event) -> None:
        """Take in a live event, and give it the next id."""
        self.flush()
        self._publish(event)

    def piece(self, event: AnyPiece) -> None:
        """Take in a piece of a stream; it is published with its neighbours, in a moment."""
        self._pending.append(event)
        if self._flusher is None:
            loop = asyncio.get_running_loop()
            self._flusher = loop.call_later(self._gather, self.flush)

    def flush(self) -> None:
        """Publish the gathered pieces now, neighbours of one kind as one event."""
        if self._flusher is not None:
            self._flusher.cancel()
            self._flusher = None
        pending, self._pending = self._pending, []
        for event in _joined(pending):
            self._publish(event)

    def streamed(self) -> list[Event]:
        """What the step in progress has streamed already, as one event of each kind."""
        self.flush()
        return list(_joined(self._streamed.pieces))

    def printed(self, call_id: str) -> list[Event]:
        """What a call that runs has printed already, as one event; none if it has not."""
        self.flush()
        return list(_joined(self._printed.get(call_id, _InProgress()).pieces))

    @property
    def cut(self) -> bool:
        """Whether more was streamed than readers who come now are shown."""
        return self._streamed.cut or any(printed.cut for printed in self._printed.values())

    def meet(self, after: EventId) -> bool:
        """Whether a reader that comes with `after` can go on from here without a snapshot.

        A process before this one may have given out more ids behind the last record than this
        one has. The log goes on behind the reader's then: for no reader do ids ever go back.
        """
        if after.seq != self.last.seq or after <= self.last or after.n > MOST:
            return self.covers(after)
        self.last = after
        return not self._told

    def covers(self, after: EventId) -> bool:
        """Whether the log has all that came behind `after`."""
        return self._floor <= after <= self.last

    async def read(self, after: EventId) -> AsyncIterator[Event]:
        """Every event behind `after`, for ever. Raises Lagged when those are gone."""
        if not self.covers(after):
            raise Lagged
        place = self._dropped + sum(EventId.parse(e.id) <= after for e in self._ring)
        while True:
            if place < self._dropped:
                raise Lagged
            if place == self._dropped + len(self._ring):
                await self._news()
                continue
            yield self._ring[place - self._dropped]
            place += 1

    def _publish(self, event: Event) -> None:
        self._told = True
        next_id = EventId(self.last.seq, self.last.n + 1)
        self._add(self._stamp(event, next_id), next_id)

    def _add(self, event: Event, event_id: EventId) -> None:
        match event:
            case Content() | Reasoning():
                self._streamed.add(event)
            case ToolOutput():
                self._printed.setdefault(event.call_id, _InProgress()).add(event)
            case ToolFinished():
                self._printed.pop(event.call_id, None)
            case TurnEnded() if event.ends_turn:
                self._streamed = _InProgress()
                self._printed.clear()
            case _ if isinstance(event, _ENDS_STREAM):
                self._streamed = _InProgress()
        self._ring.append(event)
        self._sizes.append(len(encode(event)))
        self._bytes += self._sizes[-1]
        self.last = event_id
        while len(self._ring) > self._capacity or (self._bytes > MAX_BYTES and len(self._ring) > 1):
            dropped = self._ring.popleft()
            self._bytes -= self._sizes.popleft()
            self._floor = EventId.parse(dropped.id)
            self._dropped += 1
        waiting, self._waiting = self._waiting, set()
        for news in waiting:
            if not news.done():
                news.set_result(None)

    async def _news(self) -> None:
        """Until something is added. Of each reader its own: thousands wait here at a time."""
        news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(news)
        try:
            await news
        finally:
            self._waiting.discard(news)


class _InProgress:
    """The pieces of a stream that goes on, the last MAX_STREAMED characters of them. `cut`: there
    were more."""

    def __init__(self) -> None:
        self.pieces: deque[AnyPiece] = deque()
        self.cut = False
        self._size = 0

    def add(self, piece: AnyPiece) -> None:
        self.pieces.append(piece)
        self._size += len(piece.text)
        while self._size > MAX_STREAMED and len(self.pieces) > 1:
            self._size -= len(self.pieces.popleft().text)
            self.cut = True


def _joined(pieces: Iterable[AnyPiece]) -> list[AnyPiece]:
    """Neighbours that carry text of one stream, as one event each."""
    joined: list[AnyPiece] = []
    texts: list[list[str]] = []
    for piece in pieces:
        if joined and _same_stream(joined[-1], piece):
            texts[-1].append(piece.text)
        else:
            joined.append(piece)
            texts.append([piece.text])
    return [
        msgspec.structs.replace(piece, text="".join(text))
        for piece, text in zip(joined, texts, strict=True)
    ]


def _same_stream(one: AnyPiece, other: AnyPiece) -> bool:
    if isinstance(one, ToolOutput):
        return isinstance(other, ToolOutput) and one.call_id == other.call_id
    return type(one) is type(other)
