"""A store on an SQL database, whichever it is: one connection, on a thread of its own.

The order of calls is the order of commits. A connection that broke is opened again by the next
call. When the answer to a commit was lost, nobody is told "written" or "not written" before
the database has been asked; see `_settled`. Holds no copy of anything: every answer is read.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, ClassVar, NamedTuple, TypeVar

from turnstone.core.errors import StoreError, TurnstoneError
from turnstone.core.events import AnyEvent, Event, TurnEnded
from turnstone.core.host import Memory, Passage, SearchHit, SessionInfo
from turnstone.core.store.base import Appended, WorkstreamRow
from turnstone.core.store.connection import Connection
from turnstone.core.store.finding import Finding
from turnstone.core.store.memories import Memories
from turnstone.core.store.schema import Dialect
from turnstone.core.store.tables import Damage, Known, Row, Tables

ResultT = TypeVar("ResultT")

#: Seconds between two questions whether a commit in doubt took place.
_PAUSE = 0.2


class InDoubt(Exception):
    """The database may have committed, or not: its answer is missing."""


class _Append(NamedTuple):
    """An append in doubt: the row as it was before, and what was to be written."""

    before: Row
    written: list[Event]


class SqlStore(ABC):
    """Implements `Store`, but for `open`. `name`: how messages call it, without any password."""

    dialect: ClassVar[Dialect]
    errors: ClassVar[tuple[type[Exception], ...]]  # what the database's module raises
    settling: ClassVar[float] = 5.0  # seconds for which a commit in doubt is asked about

    def __init__(self, name: str) -> None:
        self.name = name
        self._tables = Tables(self.dialect)
        self._finding = Finding(self._tables)
        self._memories = Memories()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._doubts: dict[str, _Append] = {}
        self._closed = False
        self._troubles: tuple[type[Exception], ...] = (*self.errors, StoreError, InDoubt)

    async def create(self, row: WorkstreamRow, first: Event) -> Event:
        return await self._call(self._create, row, first)

    async def append(
        self,
        ws_id: str,
        epoch: int,
        events: Sequence[Event],
        summary: dict[str, Any] | None = None,
    ) -> Appended:
        return await self._call(self._append, ws_id, epoch, events, summary)

    async def records(self, ws_id: str, after: int = 0) -> list[AnyEvent]:
        return await self._read(self._tables.records, ws_id, after)

    async def ending(self, ws_id: str, correlation_id: str) -> TurnEnded | None:
        return await self._read(self._tables.ending, ws_id, correlation_id)

    async def row(self, ws_id: str) -> WorkstreamRow | None:
        row = await self._read(self._tables.row, ws_id)
        return None if row is None else row.public()

    async def rows(self, owner: str | None = None) -> list[WorkstreamRow]:
        return await self._read(self._tables.rows, owner)

    async def working(self) -> list[WorkstreamRow]:
        return await self._read(self._tables.working)

    async def older(self, before: float) -> list[WorkstreamRow]:
        return await self._read(self._tables.older, before)

    async def acquire(self, ws_id: str, owner: str) -> WorkstreamRow:
        return await self._call(self._acquire, ws_id, owner)

    async def erase(self, ws_id: str, epoch: int) -> None:
        await self._call(self._erase, ws_id, epoch)

    # What is found and what is remembered.

    async def search(self, query: str, limit: int, ws_id: str = "") -> list[SearchHit]:
        return await self._read(self._finding.hits, query, limit, ws_id)

    async def passage(self, ws_id: str, seq: int, part: int = 0) -> Passage | None:
        return await self._read(self._finding.passage, ws_id, seq, part)

    async def sessions(self, limit: int, after: str = "") -> list[SessionInfo]:
        return await self._read(self._finding.sessions, limit, after)

    async def resolve(self, name: str, limit: int = 5) -> list[WorkstreamRow]:
        return await self._read(self._finding.resolve, name, limit)

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

    async def scrub(self) -> bool:
        return await self._call(self._scrub)

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown(wait=True)

    async def _read(self, work: Callable[..., ResultT], *args: object) -> ResultT:
        return await self._call(lambda: work(self._connected(), *args))

    async def _call(self, work: Callable[..., ResultT], *args: object) -> ResultT:
        try:
            doing = self._thread.submit(self._done, work, *args)
        except RuntimeError as error:  # the thread does not take work any more
            raise self._is_closed() from error
        return await asyncio.wrap_future(doing)

    # What follows runs on the store's thread.

    def _done(self, work: Callable[..., ResultT], *args: object) -> ResultT:
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
            raise self._explained(error) from error
        except InDoubt as error:
            raise self._unknown(error) from error
        except Damage as error:
            raise self._damaged(str(error)) from error

    def _create(self, row: WorkstreamRow, first: Event) -> Event:
        event: Event | None = None
        try:
            with self._transaction() as connection:
                event = self._tables.create(connection, row, first)
        except InDoubt as error:
            if event is None or not self._settled([event]):
                raise self._not_written() from error
        self._committed(row.ws_id, 1, row.epoch)
        return event

    def _append(
        self, ws_id: str, epoch: int, events: Sequence[Event], summary: dict[str, Any] | None
    ) -> Appended:
        self._take_back(ws_id)
        doing: _Append | None = None
        try:
            with self._transaction() as connection:
                before = self._tables.owned(connection, ws_id, epoch)
                written = self._tables.append(connection, before, events, summary)
                doing = _Append(before, written)
        except Known as known:
            return Appended([known.first], duplicate=True)
        except InDoubt as error:
            assert doing is not None  # only a commit is ever in doubt
            self._doubts[ws_id] = doing
            there = self._settled(doing.written)
            del self._doubts[ws_id]
            if not there:
                raise self._not_written() from error
        self._committed(ws_id, before.last_seq + len(written), epoch)
        return Appended(written)

    def _settled(self, written: Sequence[Event]) -> bool:
        """Whether what is in doubt was written, as the database says. Raises InDoubt where it
        does not answer in time: an append that was written is taken back by the next one."""
        deadline = time.monotonic() + self.settling
        while True:
            try:
                with self._transaction() as connection:
                    there = self._tables.there(connection, written)
                if there:
                    self._make_sure()
            except self._troubles as error:
                if time.monotonic() > deadline or self._closed:
                    raise InDoubt from error
                time.sleep(_PAUSE)
            else:
                return there

    def _take_back(self, ws_id: str) -> None:
        """Undo what whoever asked was told had failed, if it took place in spite of that."""
        if (doing := self._doubts.get(ws_id)) is not None:
            with self._transaction() as connection:
                self._tables.take_back(connection, doing.before)
            del self._doubts[ws_id]

    def _acquire(self, ws_id: str, owner: str) -> WorkstreamRow:
        self._doubts.pop(ws_id, None)  # whoever asks for it reads what is there
        with self._transaction() as connection:
            row = self._tables.acquire(connection, ws_id, owner)
        self._committed(ws_id, row.last_seq, row.epoch)
        return row

    def _erase(self, ws_id: str, epoch: int) -> None:
        with self._transaction() as connection:
            self._tables.erase(connection, ws_id, epoch)
        self._doubts.pop(ws_id, None)
        self._committed(ws_id, 0, epoch)

    def _put_memory(self, memory: Memory) -> Memory | None:
        with self._transaction() as connection:
            return self._memories.put(connection, memory)

    def _delete_memory(self, scope: str, key: str) -> bool:
        with self._transaction() as connection:
            return self._memories.delete(connection, scope, key)

    def _unknown(self, error: Exception) -> StoreError:
        return StoreError(
            f"{self.name} failed while it was writing; whether it was written is not known yet.",
            hint="Send it again under the same correlation id: it is not run twice.",
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
    def _scrub(self) -> bool: ...

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
