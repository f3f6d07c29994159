"""The store on PostgreSQL: one database for many nodes, on other machines too.

`synchronous_commit = on`; who may write is decided by the epoch in the row, never by a lock.
Which nodes live, `presence` tells; this one says so of itself as long as it is open, also where
nothing is asked of it. The one module that imports psycopg, when it is used.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import logging
import time
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Self

from turnstone.core.errors import InvalidRequest, StoreError, TurnstoneError
from turnstone.core.store import presence
from turnstone.core.store.connection import Connection, Cursor
from turnstone.core.store.schema import MIGRATIONS, POSTGRES, unsearched, upgrade
from turnstone.core.store.sql_store import InDoubt, SqlStore

try:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict
except ImportError as error:
    raise StoreError(
        f"A store on PostgreSQL needs psycopg, which cannot be imported ({error}).",
        hint="Install turnstone[postgres].",
    ) from error

#: Seconds: to connect, to wait for another process's write, and for an other end that is silent.
_CONNECT, _LOCK, _SILENCE = 5, 10, 20

#: Seconds that a transaction may stand still: less than others wait for what it has locked.
_STILL = 5

#: Seconds between two attempts to be present under a node's id.
_PAUSE = 0.1

#: What each session is told. One whose node is gone, or stands still in the middle of a
#: transaction, must not hold its locks: others wait for them, and the node's next process for the
#: lock on its id. That a machine is gone, a server notices by default after two hours.
_SESSION = f"""
SET synchronous_commit = on;
SET lock_timeout = '{_LOCK}s';
SET idle_in_transaction_session_timeout = '{_STILL}s';
SET tcp_keepalives_idle = {_SILENCE};
SET tcp_keepalives_interval = {_SILENCE // 4};
SET tcp_keepalives_count = 4;
SET tcp_user_timeout = '{_SILENCE}s';
SET client_min_messages = warning;
"""

#: While a session waits for a lock, it looks whether its node is there still.
_LOOKS = b"SET client_connection_check_interval = '1s'"

#: What a server answers to that which cannot: one before version 14, or on Windows.
_CANNOT = (psycopg.errors.UndefinedObject, psycopg.errors.InvalidParameterValue)

#: Where the number of the last migration is kept.
_VERSION = "CREATE TABLE IF NOT EXISTS turnstone_schema (version BIGINT NOT NULL)"

_TRIED = "It is tried again with whatever is asked next."

log = logging.getLogger(__name__)


class _Translated:
    """The connection as the shared statements want it: with `?` for parameters."""

    def __init__(self, raw: psycopg.Connection[Any]) -> None:
        self.raw = raw

    def execute(self, sql: str, parameters: Sequence[object] = (), /) -> Cursor:
        return self.raw.execute(_translated(sql), parameters)


class PostgresStore(SqlStore):
    """A `Store` in one database. Make it with `await PostgresStore.open(url)`."""

    dialect = POSTGRES
    errors = (psycopg.Error,)
    beat: ClassVar[float] = 5.0  # seconds between two signs of life
    grace: ClassVar[float] = 30.0  # seconds without one, after which a node is taken for gone

    def __init__(self, url: str) -> None:
        super().__init__(f"The store {shown(url)}")
        self._url = url
        self.store_id = ""  # once it is open: the id of the database
        self._connection: _Translated | None = None
        self._node_id = ""  # whose session lock this process holds
        self._present = False
        self._was_open = False  # it could be reached, and may be again
        self._beating: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connect, and bring the tables up to date.

        Raises StoreError: a server that does not answer or refuses, a database that is not
        there or may not be written, one that was written by a newer version.
        """
        store = cls(url)
        try:
            await store._call(store._open)
        except BaseException:
            await store.aclose()
            raise
        return store

    async def be_present(self, node_id: str) -> None:
        """Hold this node id, and show that it lives, as long as the store is open.

        Raises StoreError if another process holds it.
        """
        await self._call(self._be_present, node_id)
        self._beating = asyncio.create_task(self._keep_beating(), name=f"beat of {node_id}")

    async def lives(self, node_id: str) -> bool:
        """Whether a process with this node id has the store open, or had until a moment ago and
        did not close it: it may be about to come back."""
        return await self._call(self._lives, node_id)

    async def holds(self, node_id: str) -> bool:
        """Whether a process with this node id has the store open just now."""
        return await self._call(self._holds, node_id)

    async def aclose(self) -> None:
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)
        await super().aclose()

    async def _keep_beating(self) -> None:
        silent = False
        while True:
            await asyncio.sleep(self.beat)
            try:
                await self._call(self._beat)
                silent = False
            except TurnstoneError as error:
                if not silent:
                    log.warning("node %s cannot show that it lives: %s", self._node_id, error)
                silent = True

    # What follows runs on the store's thread.

    def _be_present(self, node_id: str) -> None:
        # The session of a process that has just ended may take the server a moment to end too:
        # what it was told to commit, it commits first.
        deadline = time.monotonic() + self.settling
        while not presence.hold(self._connected(), node_id):
            if time.monotonic() > deadline:
                raise StoreError(
                    f"{self.name} is used by another process of the node {node_id}.",
                    hint="Stop that one, or give this one an id of its own (--node-id).",
                )
            time.sleep(_PAUSE)
        self._node_id, self._present = node_id, True
        self._beat()

    def _beat(self) -> None:
        connection = self._connected()
        if self._present:
            presence.beat(connection, self._node_id)

    def _lives(self, node_id: str) -> bool:
        if node_id == self._node_id:
            return True
        return presence.lives(self._connected(), node_id, self.grace)

    def _holds(self, node_id: str) -> bool:
        return presence.lives(self._connected(), node_id, 0.0)

    def _open(self) -> None:
        connection = self._connected()
        if (encoding := connection.execute("SHOW server_encoding").fetchone()[0]) != "UTF8":
            raise StoreError(
                f"{self.name} is encoded in {encoding}, which cannot keep every text.",
                hint="Make a database with the encoding UTF8.",
            )
        if connection.execute("SHOW fsync").fetchone()[0] != "on":
            log.warning("%s has fsync off: a machine that stops loses what was kept.", self.name)
        self._migrate()
        self.store_id = self._identity()
        self._was_open = True

    def _identity(self) -> str:
        """The same for all who use this database, by whatever address, and for nobody else."""
        connection, server = self._connected(), ""
        with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
            sql = "SELECT system_identifier FROM pg_control_system()"
            server = str(connection.execute(sql).fetchone()[0])
        sql = (
            "SELECT d.oid, 'turnstone_schema'::regclass::oid FROM pg_database d "
            "WHERE d.datname = current_database()"
        )
        names = [server, *map(str, connection.execute(sql).fetchone())]
        return hashlib.sha256("/".join(names).encode()).hexdigest()[:16]

    def _migrate(self) -> None:
        with self._transaction() as connection:
            # One at a time: nodes may start together.
            connection.execute("SELECT pg_advisory_xact_lock(?)", (presence.key(""),))
            connection.execute(_VERSION)
            found = connection.execute("SELECT version FROM turnstone_schema").fetchone()
            version = found[0] if found else 0
            for statement in upgrade(version, POSTGRES, self.name, "--store-url"):
                connection.execute(statement)
            if unsearched(version):
                self._tables.index_all(connection)
            if version != len(MIGRATIONS):
                connection.execute("DELETE FROM turnstone_schema")
                connection.execute("INSERT INTO turnstone_schema VALUES (?)", (len(MIGRATIONS),))

    def _connected(self) -> Connection:
        if self._connection is not None and self._connection.raw.closed:
            self._drop()
        if self._connection is None:
            raw: psycopg.Connection[Any] = psycopg.connect(
                self._url,
                autocommit=True,
                connect_timeout=_CONNECT,
                application_name="turnstone",
                client_encoding="utf8",
                keepalives_idle=_SILENCE,
                keepalives_interval=_SILENCE // 4,
                keepalives_count=4,
                tcp_user_timeout=_SILENCE * 1000,
            )
            self._connection = _Translated(raw)
            raw.execute(_SESSION.encode())
            with contextlib.suppress(*_CANNOT):
                raw.execute(_LOOKS)
        if self._node_id and not self._present:
            self._present = presence.hold(self._connection, self._node_id)
            if not self._present:
                log.warning("%s: node %s is not known to live yet.", self.name, self._node_id)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None and self._present:
            with contextlib.suppress(psycopg.Error):
                presence.leave(self._connection, self._node_id)
        self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        self._present = False
        if connection is not None:
            connection.raw.close()

    def _lost(self) -> bool:
        if self._connection is None or not self._connection.raw.closed:
            return False
        self._drop()
        return True

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Connection]:
        connection = self._connected()
        raw = connection.raw if isinstance(connection, _Translated) else None
        connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
        try:
            yield connection
        except BaseException:
            with contextlib.suppress(psycopg.Error):  # the server does it itself, if it is gone
                connection.execute("ROLLBACK")
            raise
        try:
            connection.execute("COMMIT")
        except psycopg.Error as error:
            if raw is not None and not raw.closed:
                raise  # the server has answered: it was not committed
            self._drop()
            raise InDoubt(str(error)) from error

    def _make_sure(self) -> None:
        """Nothing to do: what another session can see is on the server's disk."""

    def _committed(self, ws_id: str, seq: int, epoch: int) -> None:
        """Nothing to do: the server notices by itself what its log has lost."""

    def _scrub(self, anew: bool) -> bool:
        """Deleted rows are the server's to wipe; see docs/howto/backup.md."""
        return True

    def _explained(self, error: Exception) -> TurnstoneError:
        first = str(error).strip().partition("\n")[0] or type(error).__name__
        match error:
            case psycopg.DataError():
                return InvalidRequest(f"{self.name} cannot keep this: {first}.")
            case psycopg.errors.DiskFull():
                return StoreError(
                    f"The disk of {_lowered(self.name)} is full; nothing was written.",
                    hint="Make room, then try again.",
                )
            case psycopg.errors.InsufficientPrivilege() | psycopg.errors.ReadOnlySqlTransaction():
                return StoreError(
                    f"{self.name} cannot be written ({first}).",
                    hint="Check the rights of the role, and that the server is no standby.",
                )
            case psycopg.errors.LockNotAvailable():
                return StoreError(
                    f"{self.name} is locked by another process for more than {_LOCK} s.",
                    hint="See who holds it in pg_stat_activity.",
                )
            case psycopg.OperationalError():
                return StoreError(
                    f"{self.name} cannot be reached ({first}).",
                    hint=_TRIED if self._was_open else _to_check(first),
                )
        return StoreError(f"{self.name} failed: {first}.")

    def _damaged(self, what: str) -> StoreError:
        return StoreError(
            f"{self.name} is damaged ({what}).",
            hint="It was left as it is: restore a backup with pg_restore.",
        )


def _to_check(refusal: str) -> str:
    """What to do where it could not be opened; `refusal` are the server's words, or the system's."""
    if "does not exist" in refusal:
        return "Make it there, or correct the name in --store-url or [store] url."
    if "authentication" in refusal or "password" in refusal:
        return "Check the user and the password, in ~/.pgpass or in the URL."
    return "Check that the server runs, and the address in --store-url or [store] url."


@functools.cache
def _translated(sql: str) -> bytes:
    return sql.replace("?", "%s").encode()


def shown(url: str) -> str:
    """Where it is, without user and password."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        raise StoreError(
            "[store] url is no address of a PostgreSQL database.",
            hint="It looks like postgresql://user@host/database.",
        ) from error
    host = parts.get("host") or "local"
    port = f":{parts['port']}" if parts.get("port") else ""
    return f"postgresql://{host}{port}/{parts.get('dbname') or ''}"


def _lowered(name: str) -> str:
    return name[0].lower() + name[1:]
