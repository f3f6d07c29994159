"""The one way to write to a workstream: to the store, into the fold, on to the readers.

In that order, always, and one write at a time: what a reader sees is kept already, and the
transcript is never ahead of the disk nor behind it. Where the store does not say whether it has
written, nothing else is written before it does; what is there then is taken in as if it had been
told at once. Decides nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence

import msgspec

from turnstone.core.clock import Clock
from turnstone.core.errors import NotOwner, StoreError, Unsettled
from turnstone.core.events import Error as ErrorEvent
from turnstone.core.events import Event, EventId, EventT, sound
from turnstone.core.host import WorkstreamInfo
from turnstone.core.livelog import LiveLog
from turnstone.core.store import Appended, Store, WorkstreamRow
from turnstone.core.store.base import PART
from turnstone.core.summary import Summary
from turnstone.core.transcript import Transcript

#: Seconds between two questions to a store that did not say whether it has written.
ASK = 1.0

#: Seconds before something is tried again that could not be recorded (a full disk, say).
RETRY = 5.0

_KEPT = "The turn is kept, and goes on by itself as soon as the store takes records again."

log = logging.getLogger(__name__)


class InDoubt(Unsettled):
    """A write of a journal is in doubt. `written` tells, once the store does."""

    def __init__(self, error: Unsettled, written: asyncio.Future[bool]) -> None:
        super().__init__(error.message, hint=error.hint)
        self.written = written


async def folded(store: Store, ws_id: str) -> Transcript:
    """The fold of all records of a workstream. They are read and taken in by parts; between two
    of them others get their turn, however long it is. Raises StoreError."""
    transcript, after = Transcript(), 0
    while True:
        records = await store.records(ws_id, after, PART)
        for record in records:
            transcript.apply(record)
        after += len(records)
        if len(records) < PART:
            return transcript


class Journal:
    """A workstream's log, as its owner holds it. Use on one event loop only.

    `transcript` is the fold of the records up to the row's last; it is the journal's from then on.
    `window` gives the context of its model, in tokens (0: unknown). `place` is the last id that was
    given out in this process, if the log was held before: ids go on from there. `on_record`
    is called with each record after everything else has been done with it.
    """

    def __init__(
        self,
        store: Store,
        row: WorkstreamRow,
        transcript: Transcript,
        clock: Clock,
        *,
        window: Callable[[Summary], int] = lambda summary: 0,
        place: EventId | None = None,
        on_record: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self.ws_id = row.ws_id
        self._session_id = row.session_id
        self.transcript = transcript
        self.live = LiveLog(max(EventId(row.last_seq), place or EventId(0)), self._stamped)
        self._store = store
        self.lost = False  # to another process; nothing can be written any more
        self._owner, self._epoch, self._last = row.owner, row.epoch, row.last_seq
        self._doubt = False  # whether something is behind `_last` that was not told
        self._written_too: asyncio.Future[bool] | None = None  # whether it is, once that is known
        self._asking: asyncio.Task[None] | None = None
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

    async def keep(self, make: Callable[[], Sequence[Event]], correlation_id: str) -> None:
        """The same, however long the store takes no records; of that readers are told. Raises
        NotOwner.
        """
        while True:
            try:
                await self.append_from(make)
                return
            except NotOwner:
                raise
            except InDoubt as error:
                self.stand_still(error, correlation_id)
                if await asyncio.shield(error.written):
                    return
            except StoreError as error:
                self.stand_still(error, correlation_id)
                await asyncio.sleep(RETRY)

    def stand_still(self, error: StoreError, correlation_id: str = "") -> None:
        """Tell readers that nothing can be recorded. With a correlation id: the turn of this
        message, which goes on later."""
        log.error("workstream %s stands still: %s", self.ws_id, error)
        told = f"{error.message} {_KEPT}" if correlation_id else str(error)
        self.publish(ErrorEvent(message=told, code=error.code), correlation_id)

    def publish(self, event: Event, correlation_id: str = "") -> None:
        """Tell readers something that is not kept."""
        self.live.publish(msgspec.structs.replace(event, correlation_id=correlation_id))

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
    def holder(self) -> str:
        """Who takes turns at a model: the message that a whole tree works for, so that one with
        many sub-agents has no more turns than one with none; this workstream between two turns."""
        transcript = self.transcript
        own = transcript.turn.message.correlation_id if transcript.turn is not None else ""
        return transcript.created.top_message or own or self.ws_id

    @property
    def worked(self) -> float:
        """Seconds of work of all turns, up to now."""
        return self.transcript.worked + self.since

    @property
    def works(self) -> bool:
        """A turn is worked on, by this process: its time runs."""
        turn = self.transcript.turn
        return turn is not None and not turn.time.asking and self._written is not None

    @property
    def since(self) -> float:
        """Seconds of work after the last record."""
        if self._written is None or not self.works:
            return 0.0
        return max(0.0, self._clock.monotonic() - self._written)

    @property
    def writing(self) -> bool:
        """A write is under way or in doubt, whether or not whoever asked for it still waits."""
        return bool(self._writes) or self._doubt

    async def settle(self) -> None:
        """Wait for the writes that are under way."""
        await asyncio.gather(*self._writes, return_exceptions=True)

    async def catch_up(self) -> bool:
        """Take in what is there of a write in doubt; whether that was anything.

        Raises Unsettled where the store does not say, and NotOwner.
        """
        if not self._doubt:
            return False
        async with self._writing:
            try:
                return await self._settled()
            except NotOwner as error:
                await self._own_again(error)
                return True

    def leave(self) -> None:
        """Ask no more: what is in doubt is taken up by whoever reads the journal next."""
        if self._asking is not None:
            self._asking.cancel()

    async def _append(self, make: Callable[[], Sequence[Event]]) -> Appended:
        async with self._writing:
            try:
                await self._settled()
                return await self._write(make)
            except NotOwner as error:
                await self._own_again(error)
                return await self._write(make)

    async def _write(self, make: Callable[[], Sequence[Event]]) -> Appended:
        events = [self._timed(event) for event in make()]
        if not events:
            return Appended([])
        summary = self.transcript.summary
        for event in events:
            summary = summary.after(event)
        try:
            appended = await self._store.append(
                self.ws_id, self._epoch, events, msgspec.to_builtins(summary)
            )
        except Unsettled as error:
            self._doubt, told = True, asyncio.get_running_loop().create_future()
            self._written_too = told
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self._ask(), name=f"doubt of {self.ws_id}")
            raise InDoubt(error, told) from error
        if not appended.duplicate:
            self._take_in(appended.events)
        return appended

    def _take_in(self, events: Sequence[Event]) -> None:
        for event in events:
            self._last = EventId.parse(event.id).seq
            self.transcript.apply(event)
            self.live.record(event)
            self._on_record(event)

    async def _ask(self) -> None:
        """Nobody may send anything for long, and what was accepted is to be run."""
        while self._doubt:
            await asyncio.sleep(ASK)
            with contextlib.suppress(StoreError):
                await self.catch_up()

    async def _settled(self) -> bool:
        if not self._doubt:
            return False
        found = await self._store.settle(self.ws_id, self._epoch, self._last)
        self._doubt = False
        self._take_in(found)
        self._told(bool(found))
        return bool(found)

    def _told(self, written: bool) -> None:
        if self._written_too is not None and not self._written_too.done():
            self._written_too.set_result(written)

    async def _own_again(self, refused: NotOwner) -> None:
        """Go on under a new epoch where the row is this node's still: then it was an acquire of
        its own whose answer was lost. Raises `refused` where another node has it."""
        row = await self._store.row(self.ws_id)
        if row is None or row.owner != self._owner:
            if not self.lost:
                self.stand_still(refused)  # whoever waits for what it does hears no more of it
            self.lost, self._doubt = True, False
            self._told(written=False)
            raise refused
        row = await self._store.acquire(self.ws_id, self._owner, row.epoch)
        found = await self._store.records(self.ws_id, self._last)
        self._epoch, self._doubt = row.epoch, False
        self._take_in(found)
        self._told(bool(found))
        if found:  # whoever writes now goes by what was there before
            log.warning("workstream %s: %d record(s) were not known", self.ws_id, len(found))
            raise StoreError(
                f"Workstream {self.ws_id} was not read to its end; nothing was written.",
                hint="Try again.",
            )

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
