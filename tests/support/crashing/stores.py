"""Stores that kill their process at a write, or that keep intents back until it is too late."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from turnstone.core.events import Event, EventId, ToolFinished, ToolStarted
from turnstone.core.store import Appended, SqliteStore, WorkstreamRow
from turnstone.core.store.postgres import PostgresStore
from turnstone.core.store.sql_store import SqlStore

When = Literal["before", "after"]


class AtWrite(NamedTuple):
    """Die just before, or just after, the write with this number (from 1)."""

    number: int
    when: When


class KillingStore(SqlStore):
    """`deadly`: the write to die at. `writes` counts them; `told` is called at each."""

    deadly: AtWrite | None = None
    writes = 0

    async def create(self, row: WorkstreamRow, first: Event) -> Event:
        self._pass("before")
        created = await super().create(row, first)
        self._pass("after")
        return created

    async def acquire(self, ws_id: str, owner: str) -> WorkstreamRow:
        self._pass("before")
        row = await super().acquire(ws_id, owner)
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
            os.kill(os.getpid(), signal.SIGKILL)


class KillingSqlite(KillingStore, SqliteStore):
    pass


class KillingPostgres(KillingStore, PostgresStore):
    pass


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


def _with_id(event: Event, ws_id: str, seq: int) -> Event:
    return msgspec.structs.replace(event, ws_id=ws_id, id=str(EventId(seq)))
