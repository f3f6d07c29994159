"""The store on SQLite: a file on a local disk, written by one thread of its own.

WAL with `synchronous=FULL`: what was committed survives the death of the process and of the
machine (as far as the disk keeps its word). Never on a network file system: SQLite's locks
do not hold there. What SQLite would forget in silence, the mark beside the file tells.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Self

from turnstone.core.errors import StoreError
from turnstone.core.store.mark import Mark, MarkFile, last_backup
from turnstone.core.store.schema import MIGRATIONS, SQLITE, unsearched, upgrade
from turnstone.core.store.sql_store import InDoubt, SqlStore
from turnstone.core.store.tables import Damage, Tables

#: The longest that scrubbing waits for other readers of the file, in seconds.
SCRUB_TIMEOUT = 0.5

#: Errors of a commit after which it has certainly not taken place.
_NOT_COMMITTED = ("SQLITE_FULL", "SQLITE_BUSY", "SQLITE_READONLY", "SQLITE_CONSTRAINT")


class SqliteStore(SqlStore):
    """A `Store` in one file. Make it with `await SqliteStore.open(path)`."""

    dialect = SQLITE
    errors = (sqlite3.Error,)
    patience: ClassVar[float] = 10.0  # seconds that a write waits for another process's

    def __init__(self, path: Path) -> None:
        super().__init__(f"The store {path}")
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._mark: MarkFile | None = None

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open or make the file, check it, and bring its tables up to date.

        Raises StoreError: a folder that cannot be written, a file that is no database, one
        that is damaged, that misses what was committed, or was written by a newer version.
        """
        store = cls(path)
        try:
            await store._call(store._open)
        except BaseException:
            await store.aclose()
            raise
        return store

    # What follows runs on the store's thread.

    def _open(self) -> None:
        self._mark = MarkFile.use(self.path)
        mark = self._mark.read()  # before the store: it is older than what is read next
        self._make_file(mark)
        self._look(mark)
        migrate(self._transaction(), self.name)

    def _look(self, mark: Mark | None) -> None:
        """Check it through a connection that can change nothing: also not, when it is closed,
        the write-ahead log, from which somebody may still read what is lost here."""
        journal = self.path.with_name(f"{self.path.name}-journal")
        mode = "rw" if journal.exists() else "ro"  # what was cut off is rolled back by a writer
        address = f"{self.path.absolute().as_uri()}?mode={mode}"
        with contextlib.closing(sqlite3.connect(address, uri=True)) as connection:
            connection.execute(f"PRAGMA busy_timeout = {self.patience * 1000:.0f}")
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise Damage(found)
            if connection.execute("PRAGMA user_version").fetchone()[0] != len(MIGRATIONS):
                return  # of a version that kept neither checksums nor marks, or of a newer one
            self._tables.check(connection)
            if what := forgotten(connection, mark):
                raise self._forgotten(what)

    def _make_file(self, mark: Mark | None) -> None:
        try:
            if mark is not None and not (self.path.exists() and self.path.stat().st_size):
                raise self._forgotten("it is empty, or gone")
            self.path.touch(mode=0o600)
        except OSError as error:
            raise StoreError(
                f"{self.name} cannot be made: {error.strerror}.",
                hint="Name another place with --store or [store] path.",
            ) from error

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = sqlite3.connect(
                self.path, timeout=self.patience, isolation_level=None, check_same_thread=False
            )
            self._connection = connection
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            # Also for the old text of a row that is changed: nothing else would ever wipe that.
            connection.execute("PRAGMA secure_delete = ON")
        return self._connection

    def _disconnect(self) -> None:
        self._drop()
        if self._mark is not None:
            self._mark.close()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # What closing does besides (a checkpoint) may fail where all else has.
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _lost(self) -> bool:
        return False  # a file does not go away

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._connected()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            self._roll_back(connection)
            raise
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if _name(error).startswith(_NOT_COMMITTED):
                self._roll_back(connection)
                raise
            # The log may hold it whole. Opened again, SQLite says whether it does.
            self._drop()
            raise InDoubt(str(error)) from error

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        if connection.in_transaction:
            try:
                connection.execute("ROLLBACK")
            except sqlite3.Error:
                self._drop()

    def _make_sure(self) -> None:
        self._connected().execute("PRAGMA wal_checkpoint(FULL)").fetchall()

    def _committed(self, ws_id: str, seq: int, epoch: int) -> None:
        if self._mark is not None:
            self._mark.write(Mark(ws_id, seq, epoch))

    def _scrub(self) -> bool:
        """Write the file anew, and empty the log. What is deleted becomes zeroes at once
        (`secure_delete`), but pieces that were moved between pages before stay where they were."""
        connection = self._connected()
        connection.execute(f"PRAGMA busy_timeout = {SCRUB_TIMEOUT * 1000:.0f}")
        try:
            # Words that were deleted stay in the full-text index until its parts are merged.
            connection.execute("INSERT INTO said_terms (said_terms) VALUES ('optimize')")
            connection.execute("VACUUM")
            [busy, *_] = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.OperationalError as error:
            if _name(error).startswith(("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL")):
                return False
            raise
        finally:
            connection.execute(f"PRAGMA busy_timeout = {self.patience * 1000:.0f}")
        return not busy

    def _explained(self, error: Exception) -> StoreError:
        code = _name(error)
        if code.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            return self._damaged(str(error))
        if code.startswith("SQLITE_FULL"):
            return StoreError(
                f"The disk of the store {self.path} is full; nothing was written.",
                hint="Make room, then send again.",
            )
        if code.startswith("SQLITE_IOERR"):
            return StoreError(
                f"The disk of the store {self.path} failed ({error}, {code}).",
                hint="See the machine's log; nothing was half-written.",
            )
        if code.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
            who = f"user {os.getuid()}"
            return StoreError(
                f"{self.name} cannot be written by {who} ({error}).",
                hint="Check its permissions and those of its folder, or name another with --store.",
            )
        if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return StoreError(
                f"{self.name} is locked by another process for more than {self.patience:g} s.",
                hint="See who holds it (fuser), or name another with --store.",
            )
        return StoreError(f"{self.name} failed: {error}.")

    def _damaged(self, what: str) -> StoreError:
        return StoreError(
            f"{self.name} is damaged ({what}).",
            hint=f"It was left as it is: {self._remedy()}, or name another with --store.",
        )

    def _remedy(self) -> str:
        newest = last_backup(self.path)
        return f"restore a backup (the newest is {newest})" if newest else "restore a backup"

    def _forgotten(self, what: str) -> StoreError:
        assert self._mark is not None
        return StoreError(
            f"{self.name} has lost what was committed to it: {what}.",
            hint=f"It was left as it is: {self._remedy()}. If it was replaced on purpose, remove "
            f"{self._mark.path} and start again.",
        )


def forgotten(connection: sqlite3.Connection, mark: Mark | None) -> str:
    """What the store has lost, as the mark knows it; empty: nothing."""
    if mark is None:
        return ""
    row = Tables(SQLITE).row(connection, mark.ws_id)
    if mark.seq == 0:
        missing = row is not None and row.epoch <= mark.epoch
    else:
        missing = row is None or row.last_seq < mark.seq or row.epoch < mark.epoch
    what = f"record {mark.seq}" if mark.seq else "the erasure"
    return f"{what} of workstream {mark.ws_id} is not in it" if missing else ""


def migrate(transaction: contextlib.AbstractContextManager[sqlite3.Connection], name: str) -> None:
    """Bring the tables up to date. Raises StoreError for those of a newer version."""
    with transaction as connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        for statement in upgrade(version, SQLITE, name, "--store"):
            connection.execute(statement)
        if unsearched(version):
            Tables(SQLITE).index_all(connection)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _name(error: Exception) -> str:
    return str(getattr(error, "sqlite_errorname", ""))
