"""The store on SQLite: a file on a local disk, written by one thread of its own, and read by
another.

WAL with `synchronous=FULL`: what was committed survives the death of the process and of the
machine (as far as the disk keeps its word). Never on a network file system: SQLite's locks
do not hold there. What SQLite would forget in silence, the mark beside the file tells.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar, Self, TypeVar

from turnstone.core.errors import StoreError
from turnstone.core.store import wiping
from turnstone.core.store.foreign import foreign
from turnstone.core.store.mark import Mark, MarkFile, last_backup
from turnstone.core.store.reader import Reader
from turnstone.core.store.replace import used
from turnstone.core.store.rows import Damage
from turnstone.core.store.schema import MIGRATIONS, SQLITE, unsearched, upgrade
from turnstone.core.store.sql_store import InDoubt, SqlStore
from turnstone.core.store.tables import Tables

ResultT = TypeVar("ResultT")

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
        self._reader = Reader(path, self.patience)
        self._reading = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store-reader")
        self._erasures = 0  # that the last commit knew of
        self._unwiped = False  # something was erased here, and the file not written anew since

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

    async def _read(self, work: Callable[..., ResultT], *args: object) -> ResultT:
        if self._doubts:  # what is told must stay: wait until that is known
            return await super()._read(work, *args)
        return await self._submitted(self._reading, "", self._looked_up, work, *args)

    def _looked_up(self, work: Callable[..., ResultT], *args: object) -> ResultT:
        with self._reader.connection() as connection:
            return work(connection, *args)

    # What follows runs on the store's thread.

    def _open(self) -> None:
        self._mark = used(self.path)
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
            connection.execute("BEGIN")  # one state, whatever is written meanwhile
            if what := foreign(connection):
                raise StoreError(
                    f"{self.path} is no store of turnstone: {what}.",
                    hint="It was left as it is: name another file with --store.",
                )
            if connection.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS):
                self._tables.check(connection)  # older ones may have no checksums
            if what := forgotten(connection, mark):
                raise self._forgotten(what)

    def _make_file(self, mark: Mark | None) -> None:
        try:
            if mark is not None and not (self.path.exists() and self.path.stat().st_size):
                raise self._forgotten("it is empty, or gone")
            self.path.touch(mode=0o600)
        except OSError as error:
            done = "written" if self.path.exists() else "made"
            raise StoreError(
                f"{self.name} cannot be {done}: {error.strerror}.",
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
        self._reading.shutdown()
        if self._unwiped and self._connection is not None:
            with contextlib.suppress(sqlite3.Error):  # as it is erased, this can be done later
                if wiping.mostly_free(self._connection):
                    wiping.wipe(self._connection, self.patience, anew=True)
        self._drop()
        if self._mark is not None:
            self._mark.close()

    def _drop(self) -> None:
        self._reader.drop()
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
            self._erasures = self._tables.erasures(connection)
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
        [busy, *_] = self._connected().execute("PRAGMA wal_checkpoint(FULL)").fetchone()
        if busy:
            raise InDoubt("another process reads the store")

    def _committed(self, ws_id: str, seq: int, epoch: int) -> None:
        if self._mark is not None:
            self._mark.write(Mark(ws_id, seq, epoch, self._erasures, len(MIGRATIONS)))

    def _erase(self, places: Sequence[tuple[str, int]]) -> None:
        self._unwiped = True
        super()._erase(places)

    def _try_a_write(self) -> None:
        """As much as a large step of a turn: what is left of the log's last page takes little."""
        with self._transaction() as connection:
            connection.execute("CREATE TABLE trial (written BLOB)")
            connection.execute("INSERT INTO trial VALUES (zeroblob(65536))")
            connection.execute("DROP TABLE trial")

    def _scrub(self, anew: bool) -> bool:
        connection = self._connected()
        anew = anew or (self._unwiped and wiping.small(connection))
        if anew:  # words that were deleted stay in the full-text index until its parts are merged
            connection.execute("INSERT INTO said_terms (said_terms) VALUES ('optimize')")
        done = wiping.wipe(connection, self.patience, anew=anew)
        if anew and done:
            self._unwiped = False
        return done

    def _explained(self, error: Exception) -> StoreError:
        code = _name(error)
        if code.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            return self._damaged(str(error))
        if code.startswith("SQLITE_FULL"):
            return StoreError(
                f"The disk of the store {self.path} is full; nothing was written.",
                hint="Make room, then try again.",
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
    """What the store has lost, as the mark knows it; empty: nothing. To be called in a
    transaction where others write.

    What is lost is an end of the log. So whoever holds an erasure that came after the mark's
    commit holds that too, whatever became of its workstream.
    """
    if mark is None:
        return ""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version < mark.schema:
        return "all but its beginning" if version == 0 else f"its tables of schema {mark.schema}"
    if version != len(MIGRATIONS):
        return ""
    tables = Tables(SQLITE)
    erasures = tables.erasures(connection)
    if erasures < mark.erasures:
        return f"an erasure ({mark.erasures}, there are {erasures}) is not in it"
    if erasures > mark.erasures or mark.seq == 0:
        return ""
    row = tables.row(connection, mark.ws_id)
    if row is None or row.last_seq < mark.seq or row.epoch < mark.epoch:
        return f"record {mark.seq} of workstream {mark.ws_id} is not in it"
    return ""


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
