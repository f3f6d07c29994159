"""The store on SQLite: a file on a local disk, written by one thread of its own.

WAL with `synchronous=FULL`: what was committed survives the death of the process and of the
machine (as far as the disk keeps its word). Never on a network file system: SQLite's locks
do not hold there. Holds no copy of anything: every answer is read.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec

from turnstone.core.errors import NotOwner, StoreError, UnknownWorkstream
from turnstone.core.events import (
    AnyEvent,
    Event,
    EventId,
    MessageAccepted,
    TurnEnded,
    WsClosed,
    decode,
    encode,
)
from turnstone.core.store.base import Appended, WorkstreamRow
from turnstone.core.store.schema import MIGRATIONS

ResultT = TypeVar("ResultT")

#: How long a write waits for another process's, in seconds, before it is refused.
BUSY_TIMEOUT = 10.0

_COLUMNS = "ws_id, session_id, created, owner, epoch, last_seq, open_turns, closed, summary"


class SqliteStore:
    """A `Store` in one file. Make it with `await SqliteStore.open(path)`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._connection: sqlite3.Connection | None = None

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open or make the file, check it, and bring its tables up to date.

        Raises StoreError: a folder that cannot be written, a file that is no database, one
        that is damaged, one written by a newer version.
        """
        store = cls(path)
        try:
            await store._call(store._open)
        except BaseException:
            await store.aclose()
            raise
        return store

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
        return await self._call(self._records, ws_id, after)

    async def ending(self, ws_id: str, correlation_id: str) -> TurnEnded | None:
        return await self._call(self._ending, ws_id, correlation_id)

    async def row(self, ws_id: str) -> WorkstreamRow | None:
        return await self._call(self._row, ws_id)

    async def rows(self, owner: str | None = None) -> list[WorkstreamRow]:
        return await self._call(self._rows, owner)

    async def count(self, owner: str) -> int:
        return await self._call(self._count, owner)

    async def acquire(self, ws_id: str, owner: str) -> WorkstreamRow:
        return await self._call(self._acquire, ws_id, owner)

    async def aclose(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await asyncio.get_running_loop().run_in_executor(self._thread, connection.close)
        self._thread.shutdown(wait=True)

    async def _call(self, work: Callable[..., ResultT], *args: object) -> ResultT:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work, *args)
        except sqlite3.Error as error:
            raise self._explained(error) from error
        except RuntimeError as error:  # the thread does not take work any more
            raise StoreError(f"The store {self.path} is closed.") from error

    # What follows runs on the store's thread.

    def _open(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path.touch(mode=0o600)
        except OSError as error:
            raise StoreError(
                f"The store {self.path} cannot be made: {error.strerror}.",
                hint="Name another place with --store or [store] path.",
            ) from error
        connection = sqlite3.connect(
            self.path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
        )
        self._connection = connection
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise self._damaged(found)
        self._migrate()

    def _migrate(self) -> None:
        with self._transaction() as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > len(MIGRATIONS):
                raise StoreError(
                    f"The store {self.path} was written by a newer turnstone (schema {version}, "
                    f"this one knows {len(MIGRATIONS)}).",
                    hint="Use that version, or name another store with --store.",
                )
            for script in MIGRATIONS[version:]:
                for statement in script.split(";"):
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")

    def _create(self, row: WorkstreamRow, first: Event) -> Event:
        with self._transaction() as connection:
            connection.execute(
                f"INSERT INTO workstream ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, 0, 0, 0, ?)",
                (
                    row.ws_id,
                    row.session_id,
                    row.created,
                    row.owner,
                    row.epoch,
                    msgspec.json.encode(row.summary),
                ),
            )
            [event] = self._write(connection, row.ws_id, 0, [first])
            return event

    def _append(
        self, ws_id: str, epoch: int, events: Sequence[Event], summary: dict[str, Any] | None
    ) -> Appended:
        with self._transaction() as connection:
            found = connection.execute(
                "SELECT epoch, last_seq, closed FROM workstream WHERE ws_id = ?", (ws_id,)
            ).fetchone()
            if found is None:
                raise UnknownWorkstream(f"There is no workstream {ws_id}.")
            if found[2]:
                raise UnknownWorkstream(f"Workstream {ws_id} is closed.")
            if found[0] != epoch:
                raise NotOwner(
                    f"Workstream {ws_id} belongs to another process now (epoch {found[0]}, "
                    f"ours was {epoch}).",
                    hint="Attach to the process that runs it.",
                )
            for event in events:
                if isinstance(event, MessageAccepted):
                    first = self._accepted(connection, event.correlation_id)
                    if first is not None:
                        return Appended([first], duplicate=True)
            written = self._write(connection, ws_id, found[1], events)
            if summary is not None:
                connection.execute(
                    "UPDATE workstream SET summary = ? WHERE ws_id = ?",
                    (msgspec.json.encode(summary), ws_id),
                )
            return Appended(written)

    def _write(
        self, connection: sqlite3.Connection, ws_id: str, last_seq: int, events: Sequence[Event]
    ) -> list[Event]:
        written = []
        for seq, event in enumerate(events, last_seq + 1):
            record = msgspec.structs.replace(event, ws_id=ws_id, id=str(EventId(seq)))
            connection.execute(
                "INSERT INTO record (ws_id, seq, type, correlation_id, body) "
                "VALUES (?, ?, ?, ?, ?)",
                (ws_id, seq, record.type, record.correlation_id, encode(record)),
            )
            if isinstance(record, MessageAccepted):
                connection.execute(
                    "INSERT INTO accepted (correlation_id, ws_id, seq) VALUES (?, ?, ?)",
                    (record.correlation_id, ws_id, seq),
                )
            written.append(record)
        opened = sum(isinstance(e, MessageAccepted) for e in events)
        ended = sum(isinstance(e, TurnEnded) for e in events)
        closed = any(isinstance(e, WsClosed) for e in events)
        connection.execute(
            "UPDATE workstream SET last_seq = ?, open_turns = open_turns + ?, "
            "closed = max(closed, ?) WHERE ws_id = ?",
            (last_seq + len(events), opened - ended, closed, ws_id),
        )
        return written

    def _accepted(self, connection: sqlite3.Connection, correlation_id: str) -> AnyEvent | None:
        found = connection.execute(
            "SELECT r.ws_id, r.seq, r.body FROM accepted a "
            "JOIN record r ON r.ws_id = a.ws_id AND r.seq = a.seq WHERE a.correlation_id = ?",
            (correlation_id,),
        ).fetchone()
        return None if found is None else self._decoded(*found)

    def _records(self, ws_id: str, after: int) -> list[AnyEvent]:
        found = self._open_connection().execute(
            "SELECT ws_id, seq, body FROM record WHERE ws_id = ? AND seq > ? ORDER BY seq",
            (ws_id, after),
        )
        return [self._decoded(*row) for row in found]

    def _ending(self, ws_id: str, correlation_id: str) -> TurnEnded | None:
        found = self._open_connection().execute(
            "SELECT ws_id, seq, body FROM record "
            "WHERE ws_id = ? AND type = 'turn_ended' AND correlation_id = ?",
            (ws_id, correlation_id),
        )
        event = next((self._decoded(*row) for row in found), None)
        return event if isinstance(event, TurnEnded) else None

    def _decoded(self, ws_id: str, seq: int, body: bytes) -> AnyEvent:
        try:
            return decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._damaged(f"record {seq} of workstream {ws_id}: {error}") from error

    def _row(self, ws_id: str) -> WorkstreamRow | None:
        found = (
            self._open_connection()
            .execute(f"SELECT {_COLUMNS} FROM workstream WHERE ws_id = ?", (ws_id,))
            .fetchone()
        )
        return None if found is None else _row_of(found)

    def _rows(self, owner: str | None) -> list[WorkstreamRow]:
        found = self._open_connection().execute(
            f"SELECT {_COLUMNS} FROM workstream WHERE closed = 0 AND (? IS NULL OR owner = ?) "
            "ORDER BY created, ws_id",
            (owner, owner),
        )
        return [_row_of(row) for row in found]

    def _count(self, owner: str) -> int:
        sql = "SELECT count(*) FROM workstream WHERE closed = 0 AND owner = ?"
        return int(self._open_connection().execute(sql, (owner,)).fetchone()[0])

    def _acquire(self, ws_id: str, owner: str) -> WorkstreamRow:
        with self._transaction() as connection:
            connection.execute(
                "UPDATE workstream SET owner = ?, epoch = epoch + 1 WHERE ws_id = ?", (owner, ws_id)
            )
            row = self._row(ws_id)
            if row is None:
                raise UnknownWorkstream(f"There is no workstream {ws_id}.")
            return row

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._open_connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError(f"The store {self.path} is closed.")
        return self._connection

    def _explained(self, error: sqlite3.Error) -> StoreError:
        """SQLite's error as a sentence with what to do."""
        code = getattr(error, "sqlite_errorname", "")
        if code.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            return self._damaged(str(error))
        if code.startswith("SQLITE_FULL"):
            return StoreError(
                f"The disk of the store {self.path} is full; nothing was written.",
                hint="Make room, then send again.",
            )
        if code.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
            who = f"user {os.getuid()}"
            return StoreError(
                f"The store {self.path} cannot be written by {who} ({error}).",
                hint="Check its permissions and those of its folder, or name another with --store.",
            )
        if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return StoreError(
                f"The store {self.path} is locked by another process for more than "
                f"{BUSY_TIMEOUT:.0f} s.",
                hint="See who holds it (fuser), or name another with --store.",
            )
        return StoreError(f"The store {self.path} failed: {error}.")

    def _damaged(self, what: str) -> StoreError:
        return StoreError(
            f"The store {self.path} is damaged ({what}).",
            hint="It was left as it is: restore a backup, or name another with --store.",
        )


def _row_of(found: tuple[Any, ...]) -> WorkstreamRow:
    ws_id, session_id, created, owner, epoch, last_seq, open_turns, closed, summary = found
    return WorkstreamRow(
        ws_id=ws_id,
        session_id=session_id,
        created=created,
        owner=owner,
        epoch=epoch,
        last_seq=last_seq,
        open_turns=open_turns,
        closed=bool(closed),
        summary=msgspec.json.decode(summary),
    )
