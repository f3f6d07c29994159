"""A store on an SQL database, whichever it is: one connection, on a thread of its own.

The order of calls is the order of commits. A connection that broke is opened again by the next
call. When the answer to a commit was lost, nobody is told "written" or "not written" before
the database has been asked; see `_certain`. Holds no copy of anything: every answer is read.
"""

from __future__ import annotations

import asyncio
import logging
import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, ClassVar, TypeVar

from turnstone.core.errors import StoreError, TurnstoneError, Unsettled
from turnstone.core.events import AnyEvent, Event, TurnEnded
from turnstone.core.host import Memory, Passage, SearchHit, SessionInfo
from turnstone.core.store.base import PART, Appended, Match, Place, Unless, WorkstreamRow
from turnstone.core.store.connection import Connection
from turnstone.core.store.finding import Finding
from turnstone.core.store.memories import Memories
from turnstone.core.store.rows import Damage, Row
from turnstone.core.store.schema import Dialect
from turnstone.core.store.tables import Known, Tables
from turnstone.core.store.timers import TimerCalls

ResultT = TypeVar("ResultT")

log = logging.getLogger(__name__)

#: What to do where it is not known whether something was written.
_SENT = "Send it again under the same correlation id: it is not run twice."
_MADE = "See whether it is in the list before you make it again."
_TAKEN = "Ask again when the store answers: this node takes it over then, if it has not."
_ERASED = "Erase it again when the store answers; if it is unknown then, it is gone."
_TRIED = "Try again when the store answers."

#: Seconds between two questions whether a commit in doubt took place.
_PAUSE = 0.2


class InDoubt(Exception):
    """The database may have committed, or not: its answer is missing."""


class SqlStore(TimerCalls):
    """Implements `Store`, but for `open`. `name`: how messages call it, without any password."""

    dialect: ClassVar[Dialect]
    errors: ClassVar[tuple[type[Exception], ...]]  # what the database's module raises
    settling: ClassVar[float] = 5.0  # seconds for which a commit in doubt is asked about

    def __init__(self, name: str) -> None:
        self.name = name
        self._tables = Tables(self.dialect, self._left_out)
        self._finding = Finding(self._tables)
        self._memories = Memories()
        self._damage: set[str] = set()  # what was logged already
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._doubts: set[str] = set()  # workstreams with an append that may be there or not
        self._closed = False
        self._failed = False  # the database, and not since found to take writes again
        self._troubles: tuple[type[Exception], ...] = (*self.errors, StoreError, InDoubt)

    async def create(self, row: WorkstreamRow, first: Event, behind: Sequence[Event] = ()) -> Event:
        return await self._call(self._create, row, [first, *behind], again=_MADE)

    async def append(
        self,
        ws_id: str,
        epoch: int,
        events: Sequence[Event],
        summary: dict[str, Any] | None = None,
    ) -> Appended:
        return await self._call(self._append, ws_id, epoch, events, summary, again=_SENT)

    async def settle(self, ws_id: str, epoch: int, after: int) -> list[AnyEvent]:
        return await self._call(self._settle, ws_id, epoch, after)

    async def records(self, ws_id: str, after: int = 0, limit: int | None = None) -> list[AnyEvent]:
        found: list[AnyEvent] = []
        while True:  # by parts, so that others get their turn in between
            count = PART if limit is None else min(PART, limit - len(found))
            part = await self._read(self._tables.records, ws_id, after + len(found), count)
            found += part
            if len(part) < PART or len(found) == limit:
                return found

    async def ending(self, ws_id: str, correlation_id: str) -> TurnEnded | None:
        return await self._read(self._tables.ending, ws_id, correlation_id)

    async def taker(self, correlation_id: str) -> str | None:
        return await self._read(self._tables.taker, correlation_id)

    async def row(self, ws_id: str) -> WorkstreamRow | None:
        row = await self._read(self._tables.row, ws_id)
        return None if row is None else row.public()

    async def rows(
        self, owner: str | None = None, *, after: Place | None = None, limit: int | None = None
    ) -> list[WorkstreamRow]:
        return await self._read(self._tables.rows, owner, after, limit)

    async def states(self, owner: str) -> dict[str, int]:
        return await self._read(self._tables.states, owner)

    async def working(self) -> list[WorkstreamRow]:
        return await self._read(self._tables.working)

    async def older(self, before: float) -> list[WorkstreamRow]:
        return await self._read(self._tables.older, before)

    async def below(self, ws_id: str) -> list[WorkstreamRow]:
        return await self._read(self._tables.below, ws_id)

    async def acquire(
        self, ws_id: str, owner: str, epoch: int | None = None, *, above: int = 0
    ) -> WorkstreamRow:
        return await self._call(self._acquire, ws_id, owner, epoch, above, again=_TAKEN)

    async def erase(self, ws_id: str, epoch: int, below: Sequence[tuple[str, int]] = ()) -> None:
        await self._call(self._erase, [*below, (ws_id, epoch)], again=_ERASED)

    # What is found and what is remembered.

    async def search(
        self, query: str, limit: int, ws_id: str = "", unless: Unless | None = None
    ) -> list[SearchHit]:
        return await self._read(self._finding.hits, query, limit, ws_id, unless)

    async def passage(self, ws_id: str, seq: int, part: int = 0) -> Passage | None:
        return await self._read(self._finding.passage, ws_id, seq, part)

    async def sessions(self, limit: int, after: str = "") -> list[SessionInfo]:
        return await self._read(self._finding.sessions, limit, after)

    async def resolve(self, name: str, limit: int = 5, match: Match = "any") -> list[WorkstreamRow]:
        return await self._read(self._finding.resolve, name, limit, match)

    async def memories(
        self, scopes: Sequence[str] | None, query: str = "", limit: int = 1000
    ) -> list[Memory]:
        return await self._read(self._memories.find, scopes, query, limit)

    async def memory(self, scope: str, key: str) -> Memory | None:
        return await self._read(self._memories.get, scope, key)

    async def count_memories(self, scopes: Sequence[str]) -> int:
        return await self._read(self._memories.count, scopes)

    async def put_memory(self, memory: Memory) -> Memory | None:
        return await self._call(self._put_memory, memory)

    async def delete_memory(self, scope: str, key: str) -> bool:
        return await self._call(self._delete_memory, scope, key)

    async def scrub(self, *, anew: bool = False) -> bool:
        return await self._call(self._scrub, anew)

    async def trouble(self) -> str:
        if self._failed:
            try:
                await self._call(self._try_a_write)
                self._failed = False
            except StoreError as error:
                return error.message
        return ""

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown(wait=True)

    async def _read(self, work: Callable[..., ResultT], *args: object) -> ResultT:
        return await self._call(lambda: work(self._connected(), *args))

    async def _call(
        self, work: Callable[..., ResultT], *args: object, again: str = _TRIED
    ) -> ResultT:
        """`again`: what to do about it where it is not known whether it was written."""
        return await self._submitted(self._thread, again, work, *args)

    async def _submitted(
        self, thread: ThreadPoolExecutor, again: str, work: Callable[..., ResultT], *args: object
    ) -> ResultT:
        try:
            doing = thread.submit(self._done, again, work, *args)
        except RuntimeError as error:  # the thread does not take work any more
            raise self._is_closed() from error
        return await asyncio.wrap_future(doing)

    # What follows runs on the store's thread.

    def _done(self, again: str, work: Callable[..., ResultT], *args: object) -> ResultT:
        if self._closed:
            raise self._is_closed()
        try:
            try:
                return work(*args)
            except self.errors:
                if not self._lost():
                    raise
                return work(*args)  # the connection was gone before anything was committed
        except self.errors as error:
            explained = self._explained(error)
            self._failed = self._failed or isinstance(explained, StoreError)
            raise explained from error
        except InDoubt as error:
            self._failed = True
            raise self._unknown(again) from error
        except Damage as error:
            raise self._damaged(str(error)) from error

    def _try_a_write(self) -> None:
        with self._transaction() as connection:
            self._tables.rewrite(connection)

    def _create(self, row: WorkstreamRow, events: Sequence[Event]) -> Event:
        written: list[Event] = []
        try:
            with self._transaction() as connection:
                written = self._tables.create(connection, row, events)
        except InDoubt as error:
            if not written or not self._certain(partial(self._tables.there, records=written)):
                raise self._not_written() from error
        self._committed(row.ws_id, len(written), row.epoch)
        return written[0]

    def _append(
        self, ws_id: str, epoch: int, events: Sequence[Event], summary: dict[str, Any] | None
    ) -> Appended:
        if ws_id in self._doubts:
            raise InDoubt
        written: list[Event] = []
        try:
            with self._transaction() as connection:
                before = self._tables.owned(connection, ws_id, epoch)
                written = self._tables.append(connection, before, events, summary)
        except Known as known:
            if known.first.ws_id in self._doubts:
                self._make_sure()
            return Appended([known.first], duplicate=True)
        except InDoubt as error:
            assert written  # only a commit is ever in doubt
            self._doubts.add(ws_id)
            there = self._certain(partial(self._tables.there, records=written))
            self._doubts.discard(ws_id)
            if not there:
                raise self._not_written() from error
        self._committed(ws_id, before.last_seq + len(written), epoch)
        return Appended(written)

    def _settle(self, ws_id: str, epoch: int, after: int) -> list[AnyEvent]:
        with self._transaction() as connection:
            row = self._tables.owned(connection, ws_id, epoch)
            found = self._tables.records(connection, ws_id, after)
        self._make_sure()
        self._doubts.discard(ws_id)
        self._committed(ws_id, row.last_seq, epoch)
        return found

    def _certain(self, there: Callable[[Connection], bool]) -> bool:
        """Whether what is in doubt was written, as the database says on a row that nobody else
        writes any more. Raises InDoubt where it does not answer in time."""
        deadline = time.monotonic() + self.settling
        while True:
            try:
                with self._transaction() as connection:
                    written = there(connection)
                if written:
                    self._make_sure()
            except self._troubles as error:
                if time.monotonic() > deadline or self._closed:
                    raise InDoubt from error
                time.sleep(_PAUSE)
            else:
                return written

    def _acquire(self, ws_id: str, owner: str, epoch: int | None, above: int) -> WorkstreamRow:
        row: Row | None = None
        try:
            with self._transaction() as connection:
                row = self._tables.acquire(connection, ws_id, owner, epoch, above)
        except InDoubt as error:
            if row is None or not self._certain(lambda c: self._locked(c, ws_id) == row):
                raise self._not_written() from error
        if ws_id in self._doubts:  # whoever acquires it reads what is there
            self._make_sure()
            self._doubts.discard(ws_id)
        self._committed(ws_id, row.last_seq, row.epoch)
        return row.public()

    def _erase(self, places: Sequence[tuple[str, int]]) -> None:
        try:
            with self._transaction() as connection:
                for ws_id, epoch in places:
                    self._tables.erase(connection, ws_id, epoch)
        except InDoubt as error:
            last, _ = places[-1]
            if not self._certain(lambda c: self._locked(c, last) is None):
                raise self._not_written() from error
        for ws_id, epoch in places:
            self._doubts.discard(ws_id)
            self._committed(ws_id, 0, epoch)

    def _put_memory(self, memory: Memory) -> Memory | None:
        with self._transaction() as connection:
            return self._memories.put(connection, memory)

    def _delete_memory(self, scope: str, key: str) -> bool:
        with self._transaction() as connection:
            return self._memories.delete(connection, scope, key)

    def _locked(self, connection: Connection, ws_id: str) -> Row | None:
        return self._tables.row(connection, ws_id, locked=True)

    def _left_out(self, what: str) -> None:
        if what not in self._damage:
            self._damage.add(what)
            log.error("%s It is left out of lists.", self._damaged(what))

    def _unknown(self, again: str) -> StoreError:
        return Unsettled(
            f"{self.name} failed while it was writing; whether it was written is not known yet.",
            hint=again,
        )

    def _not_written(self) -> StoreError:
        return StoreError(f"{self.name} failed; nothing was written.", hint="Try again.")

    def _is_closed(self) -> StoreError:
        return StoreError(f"{self.name} is closed.")

    # What each database does in its own way.

    @abstractmethod
    def _connected(self) -> Connection:
        """The connection; opened again if it was lost."""

    @abstractmethod
    def _disconnect(self) -> None:
        """Close the connection, if there is one."""

    @abstractmethod
    def _transaction(self) -> AbstractContextManager[Connection]:
        """Commits at its end. Raises InDoubt where a commit may have taken place or not."""

    @abstractmethod
    def _lost(self) -> bool:
        """Whether the connection is gone, and nothing was committed on it; it is dropped."""

    @abstractmethod
    def _scrub(self, anew: bool) -> bool: ...

    @abstractmethod
    def _make_sure(self) -> None:
        """What was committed, and found again, is on the disk when this returns."""

    @abstractmethod
    def _committed(self, ws_id: str, seq: int, epoch: int) -> None:
        """Told of each commit: the workstream's last seq (0: it was erased)."""

    @abstractmethod
    def _explained(self, error: Exception) -> TurnstoneError:
        """The database's error as a sentence with what to do."""

    @abstractmethod
    def _damaged(self, what: str) -> StoreError: ...
