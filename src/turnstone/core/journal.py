"""The one way to write to a workstream: to the store, into the fold, on to the readers.

In that order, always, and one write at a time: what a reader sees is kept already, and the
transcript is never ahead of the disk nor behind it. Decides nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from turnstone.core.clock import Clock
from turnstone.core.events import Content, Event, EventId, EventT, Reasoning, ToolOutput, sound
from turnstone.core.host import WorkstreamInfo
from turnstone.core.livelog import LiveLog
from turnstone.core.store import Appended, Store, WorkstreamRow
from turnstone.core.summary import Summary
from turnstone.core.transcript import Transcript


class Journal:
    """A workstream's log, as its owner holds it. Use on one event loop only.

    `window` gives the context of its model, in tokens (0: unknown). `place` is the last id that was
    given out in this process, if the log was held before: ids go on from there. `on_record`
    is called with each record after everything else has been done with it.
    """

    def __init__(
        self,
        store: Store,
        row: WorkstreamRow,
        records: Sequence[Event],
        clock: Clock,
        *,
        window: Callable[[Summary], int] = lambda summary: 0,
        place: EventId | None = None,
        on_record: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self.ws_id = row.ws_id
        self._session_id = row.session_id
        self.transcript = Transcript()
        for record in records:
            self.transcript.apply(record)
        self.live = LiveLog(max(EventId(row.last_seq), place or EventId(0)), self._stamped)
        self._store = store
        self._epoch = row.epoch
        self._clock = clock
        self._window = window
        self._on_record = on_record
        self._writing = asyncio.Lock()
        self._writes: set[asyncio.Task[Appended]] = set()
        self._written: float | None = None  # when the last record was made, on the steady clock

    async def append(self, *events: Event) -> Appended:
        """Keep these records, in one transaction. Raises StoreError, NotOwner.

        A caller that is cancelled does not take the write with it: what has reached the disk
        must reach the fold and the readers too.
        """
        return await self.append_from(lambda: events)

    async def append_from(self, make: Callable[[], Sequence[Event]]) -> Appended:
        """The same, for records that depend on those before them: they are made when every
        write before is done. Where none are made, nothing is written.
        """
        write = asyncio.create_task(self._append(make))
        self._writes.add(write)
        write.add_done_callback(self._writes.discard)
        return await asyncio.shield(write)

    def publish(self, event: Event, correlation_id: str = "") -> None:
        """Tell readers something that is not kept."""
        self.live.publish(msgspec.structs.replace(event, correlation_id=correlation_id))

    def piece(self, event: Content | Reasoning | ToolOutput, correlation_id: str) -> None:
        """Tell readers a piece of a stream."""
        self.live.piece(msgspec.structs.replace(event, correlation_id=correlation_id))

    def info(self) -> WorkstreamInfo:
        """What lists show of this workstream."""
        summary = self.transcript.summary
        info = summary.info(
            self.ws_id,
            self._session_id,
            window=self._window(summary),
            queued=len(self.transcript.waiting),
        )
        left = self.transcript.ledger.left(self.worked)
        return msgspec.structs.replace(info, left=left)

    @property
    def session_id(self) -> str:
        """Of the conversation that is in it now."""
        return self.transcript.summary.session_id or self._session_id

    @property
    def worked(self) -> float:
        """Seconds of work of all turns, up to now."""
        transcript, turn = self.transcript, self.transcript.turn
        if turn is None or turn.time.asking or self._written is None:
            return transcript.worked
        return transcript.worked + max(0.0, self._clock.monotonic() - self._written)

    @property
    def writing(self) -> bool:
        """A write is under way, whether or not whoever asked for it still waits."""
        return bool(self._writes)

    async def settle(self) -> None:
        """Wait for the writes that are under way."""
        await asyncio.gather(*self._writes, return_exceptions=True)

    async def _append(self, make: Callable[[], Sequence[Event]]) -> Appended:
        async with self._writing:
            events = [self._timed(event) for event in make()]
            if not events:
                return Appended([])
            summary = self.transcript.summary
            for event in events:
                summary = summary.after(event)
            appended = await self._store.append(
                self.ws_id, self._epoch, events, msgspec.to_builtins(summary)
            )
            if not appended.duplicate:
                for event in appended.events:
                    self.transcript.apply(event)
                    self.live.record(event)
                    self._on_record(event)
            return appended

    def _timed(self, event: EventT) -> EventT:
        now = self._clock.monotonic()
        elapsed = None if self._written is None else round(now - self._written, 6)
        self._written = now
        timestamp = round(self._clock.now(), 6)
        return sound(msgspec.structs.replace(event, timestamp=timestamp, elapsed=elapsed))

    def _stamped(self, event: Event, event_id: EventId) -> Event:
        """A live event as it is published: once for all the pieces that were gathered in it."""
        stamped = msgspec.structs.replace(
            event, ws_id=self.ws_id, id=str(event_id), timestamp=round(self._clock.now(), 6)
        )
        return sound(stamped)
