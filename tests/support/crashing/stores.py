"""Stores that kill their process at a write, or that keep intents back until it is too late."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from sqlite3 import Connection
from typing import Any, Literal, NamedTuple

import msgspec

from turnstone.core.events import Event, EventId, ToolFinished, ToolStarted
from turnstone.core.store import Appended, SqliteStore, WorkstreamRow
from turnstone.core.store.postgres import PostgresStore
from turnstone.core.store.sql_store import SqlStore

When = Literal["before", "during", "after"]

#: Seconds after which a write is under way: "during" is for a database that takes longer for it.
UNDER_WAY = 0.03


class AtWrite(NamedTuple):
    """Die just before, while, or just after the write with this number (from 1) is made."""

    number: int
    when: When


class KillingStore(SqlStore):
    """`deadly`: the write to die at. `writes` counts them; `told` is called at each."""

    deadly: AtWrite | None = None
    writes = 0

    async def create(self, row: WorkstreamRow, first: Event, behind: Sequence[Event] = ()) -> Event:
        self._pass("before")
        created = await super().create(row, first, behind)
        self._pass("after")
        return created

    async def acquire(
        self, ws_id: str, owner: str, epoch: int | None = None, *, above: int = 0
    ) -> WorkstreamRow:
        self._pass("before")
        row = await super().acquire(ws_id, owner, epoch, above=above)
        self._pass("after")
        return row

    async def append(
        self,
        ws_id: str,
        epoch: int,
        events: Sequence[Event],
        summary: dict[str, Any] | None = None,
    ) -> Appended:
        self._pass("before")
        appended = await super().append(ws_id, epoch, events, summary)
        self._pass("after")
        return appended

    def _pass(self, when: When) -> None:
        self.writes += when == "before"
        if self.deadly == (self.writes, when):
            _die()
        if self.deadly == (self.writes, "during") and when == "before":
            asyncio.get_running_loop().call_later(UNDER_WAY, _die)


class KillingSqlite(KillingStore, SqliteStore):
    pass


class KillingPostgres(KillingStore, PostgresStore):
    pass


class TellingStore(SqliteStore):
    """Says which records are kept, as soon as somebody else may know it."""

    kept: Callable[[int], None]
    pages = 1000  # of the log, after which it is copied into the database

    def _connected(self) -> Connection:
        connection = super()._connected()
        connection.execute(f"PRAGMA wal_autocheckpoint = {self.pages}")
        return connection

    async def append(
        self,
        ws_id: str,
        epoch: int,
        events: Sequence[Event],
        summary: dict[str, Any] | None = None,
    ) -> Appended:
        appended = await super().append(ws_id, epoch, events, summary)
        self.kept(EventId.parse(appended.events[-1].id).seq)
        return appended


class HastyStore(TellingStore):
    """Does not wait for the disk. Wrong on purpose, as `LateStore`."""

    def _connected(self) -> Connection:
        connection = super()._connected()
        connection.execute("PRAGMA synchronous = OFF")
        return connection


class LateStore(SqliteStore):
    """Without write-ahead intent: that a tool was started is written when it has ended.

    Wrong on purpose. A harness that finds nothing wrong with it finds nothing.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._late: list[Event] = []

    async def append(
        self,
        ws_id: str,
        epoch: int,
        events: Sequence[Event],
        summary: dict[str, Any] | None = None,
    ) -> Appended:
        if all(isinstance(event, ToolStarted) for event in events):
            row = await self.row(ws_id)
            assert row is not None
            first = row.last_seq + len(self._late) + 1
            self._late += events
            return Appended([_with_id(e, ws_id, seq) for seq, e in enumerate(events, first)])
        late: list[Event] = []
        if any(isinstance(event, ToolFinished) for event in events):
            late, self._late = self._late, []
        appended = await super().append(ws_id, epoch, [*late, *events], summary)
        return Appended(appended.events[len(late) :], appended.duplicate)


class KillingLate(KillingStore, LateStore):
    pass


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _with_id(event: Event, ws_id: str, seq: int) -> Event:
    return msgspec.structs.replace(event, ws_id=ws_id, id=str(EventId(seq)))
