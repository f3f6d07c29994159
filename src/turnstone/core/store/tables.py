"""The statements of a store, the same for SQLite and PostgreSQL, on a connection that is given.

Knows no files, servers, threads or transactions: each method is called within one, and leaves
nothing that a rollback would not undo. Whatever is read is checked against its checksum.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from turnstone.core.errors import Erased, NotOwner, StoreError, UnknownWorkstream
from turnstone.core.events import (
    AnyEvent,
    Event,
    EventId,
    MessageAccepted,
    TurnEnded,
    WsClosed,
    WsReopened,
    encode,
)
from turnstone.core.store.base import Place, WorkstreamRow
from turnstone.core.store.connection import Connection
from turnstone.core.store.names import Names
from turnstone.core.store.rows import Damage, Row, readable, record_checksum, record_of, row_of
from turnstone.core.store.schema import Dialect
from turnstone.core.store.search import Search
from turnstone.core.store.timers import forget_timers


class Known(Exception):
    """The correlation id was accepted before: `first`. The transaction must be rolled back."""

    def __init__(self, first: AnyEvent) -> None:
        super().__init__(first.correlation_id)
        self.first = first


_COLUMNS = ", ".join(Row._fields)
_SELECT = f"SELECT {_COLUMNS}, checksum FROM workstream"
_RECORD = "r.ws_id, r.seq, r.type, r.correlation_id, r.body, r.checksum"


class Tables:
    """`damaged`: hears of each row that a list leaves out because it is damaged; without it, such
    a list is refused with Damage."""

    def __init__(self, dialect: Dialect, damaged: Callable[[str], None] | None = None) -> None:
        self._locked = dialect.locked
        self._told = damaged or _refuse
        self.search = Search(dialect)
        self.names = Names()

    # Workstreams.

    def create(
        self, connection: Connection, row: WorkstreamRow, events: Sequence[Event]
    ) -> list[Event]:
        """A new row and its first records. Raises NameTaken."""
        new = Row(
            ws_id=row.ws_id,
            session_id=row.session_id,
            created=float(row.created),
            owner=row.owner,
            epoch=row.epoch,
            last_seq=0,
            open_turns=0,
            closed=0,
            updated=float(row.created),
            summary=msgspec.json.encode(row.summary),
        )
        connection.execute(
            f"INSERT INTO workstream ({_COLUMNS}, checksum, state, parent) "
            f"VALUES ({', '.join('?' * (len(new) + 3))})",
            (*new, new.checksum, new.state, new.parent),
        )
        return self.append(connection, new, events, None)

    def row(self, connection: Connection, ws_id: str, *, locked: bool = False) -> Row | None:
        """The row; `locked`: nobody else changes it before this transaction ends."""
        sql = f"{_SELECT} WHERE ws_id = ?{self._locked if locked else ''}"
        found = connection.execute(sql, (ws_id,)).fetchone()
        return None if found is None else row_of(found)[0]

    def owned(self, connection: Connection, ws_id: str, epoch: int) -> Row:
        """The row, locked. Raises UnknownWorkstream, NotOwner."""
        row = self.row(connection, ws_id, locked=True)
        if row is None:
            raise UnknownWorkstream(f"There is no workstream {ws_id}.")
        if row.epoch != epoch:
            raise NotOwner(
                f"Workstream {ws_id} belongs to another process now (epoch {row.epoch}, "
                f"ours was {epoch}).",
                hint="Attach to the process that runs it.",
            )
        return row

    def rows(
        self,
        connection: Connection,
        owner: str | None,
        after: Place | None = None,
        limit: int | None = None,
    ) -> list[WorkstreamRow]:
        of, owned = ("", ()) if owner is None else (" AND owner = ?", (owner,))
        kept: list[WorkstreamRow] = []
        while True:
            sql, values = f"{_SELECT} WHERE closed = 0{of}", list[object](owned)
            if after is not None:
                sql, values = f"{sql} AND (created, ws_id) > (?, ?)", [*values, *after]
            sql += " ORDER BY created, ws_id"
            if limit is not None:
                sql, values = f"{sql} LIMIT ?", [*values, limit - len(kept)]
            found = connection.execute(sql, values).fetchall()
            kept += readable(found, self._told)
            if limit is None or len(kept) == limit or not found:
                return kept
            last = Row(*found[-1][:-1])  # damaged rows make room for those behind them
            after = Place(last.created, last.ws_id)

    def states(self, connection: Connection, owner: str) -> dict[str, int]:
        sql = "SELECT state, count(*) FROM workstream WHERE closed = 0 AND owner = ? GROUP BY state"
        return dict(connection.execute(sql, (owner,)).fetchall())

    def working(self, connection: Connection) -> list[WorkstreamRow]:
        sql = f"{_SELECT} WHERE closed = 0 AND open_turns > 0 ORDER BY created, ws_id"
        return readable(connection.execute(sql).fetchall(), self._told)

    def older(self, connection: Connection, before: float) -> list[WorkstreamRow]:
        sql = f"{_SELECT} WHERE open_turns = 0 AND updated < ? ORDER BY updated, ws_id"
        return readable(connection.execute(sql, (before,)).fetchall(), self._told)

    def below(self, connection: Connection, ws_id: str) -> list[WorkstreamRow]:
        if not ws_id:
            return []
        # The second condition is the index's own: a database uses it only where it stands here.
        sql = f"{_SELECT} WHERE parent = ? AND parent <> '' ORDER BY created, ws_id"
        return readable(connection.execute(sql, (ws_id,)).fetchall(), self._told)

    def acquire(
        self,
        connection: Connection,
        ws_id: str,
        owner: str,
        epoch: int | None = None,
        above: int = 0,
    ) -> Row:
        row = self.row(connection, ws_id, locked=True)
        if row is None:
            raise UnknownWorkstream(f"There is no workstream {ws_id}.")
        if epoch is not None and row.epoch != epoch:
            raise NotOwner(f"Workstream {ws_id} was taken over by another process just now.")
        taken = row._replace(owner=owner, epoch=max(row.epoch, above) + 1)
        self.put(connection, row, taken)
        return taken

    def put(self, connection: Connection, old: Row, new: Row) -> None:
        """Change a row that was read `locked`. The epoch is checked once more, by the database
        itself: nothing is written for an owner that is none any more."""
        names = [name for name, was, now in zip(Row._fields, old, new, strict=True) if was != now]
        if "summary" in names:
            names += ["state", "parent"]
        values = [getattr(new, name) for name in names]
        changes = ", ".join(f"{name} = ?" for name in [*names, "checksum"])
        done = connection.execute(
            f"UPDATE workstream SET {changes} WHERE ws_id = ? AND epoch = ?",
            (*values, new.checksum, old.ws_id, old.epoch),
        )
        if done.rowcount != 1:
            raise NotOwner(f"Workstream {old.ws_id} was taken over by another process just now.")

    # Journals.

    def append(
        self,
        connection: Connection,
        row: Row,
        events: Sequence[Event],
        summary: dict[str, Any] | None,
    ) -> list[Event]:
        """Write records behind those of `row`, which is locked. Raises Known and Erased."""
        if row.closed and not (events and isinstance(events[0], WsReopened)):
            raise UnknownWorkstream(f"Workstream {row.ws_id} is closed.")
        written: list[Event] = [
            msgspec.structs.replace(event, ws_id=row.ws_id, id=str(EventId(seq)))
            for seq, event in enumerate(events, row.last_seq + 1)
        ]
        for seq, record in enumerate(written, row.last_seq + 1):
            if isinstance(record, MessageAccepted):
                self._accept(connection, record, seq)
        for seq, record in enumerate(written, row.last_seq + 1):
            values = (row.ws_id, seq, record.type, record.correlation_id, encode(record))
            connection.execute(
                "INSERT INTO record (ws_id, seq, type, correlation_id, body, checksum) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (*values, record_checksum(*values)),
            )
        self.names.note(connection, row.ws_id, written)
        self.search.note(connection, row.ws_id, row.session_now, written)
        after = _after(row, written)
        if summary is not None:
            after = after._replace(summary=msgspec.json.encode(summary))
        self.put(connection, row, after)
        return written

    def _accept(self, connection: Connection, message: MessageAccepted, seq: int) -> None:
        """Note the correlation id. Another process that is about to note the same is waited
        for: one of the two finds the other's."""
        noted = connection.execute(
            "INSERT INTO accepted (correlation_id, ws_id, seq) VALUES (?, ?, ?) "
            "ON CONFLICT DO NOTHING",
            (message.correlation_id, message.ws_id, seq),
        )
        if noted.rowcount != 1:
            raise self._known(connection, message.correlation_id)
        if self._erased(connection, message.correlation_id):
            raise Erased.of(message.correlation_id)

    def _known(self, connection: Connection, correlation_id: str) -> Exception:
        found = connection.execute(
            f"SELECT {_RECORD} FROM accepted a "
            "JOIN record r ON r.ws_id = a.ws_id AND r.seq = a.seq WHERE a.correlation_id = ?",
            (correlation_id,),
        ).fetchone()
        if found is None:
            return StoreError(f"Message {correlation_id} is in one write twice.")
        return Known(record_of(found))

    def _erased(self, connection: Connection, correlation_id: str) -> bool:
        found = connection.execute(
            "SELECT 1 FROM erased WHERE correlation_hash = ?", (_hash(correlation_id),)
        )
        return found.fetchone() is not None

    def taker(self, connection: Connection, correlation_id: str) -> str | None:
        """The workstream that has accepted it; empty: that was erased; None: there is none."""
        found = connection.execute(
            "SELECT ws_id FROM accepted WHERE correlation_id = ?", (correlation_id,)
        ).fetchone()
        if found is not None:
            return str(found[0])
        return "" if self._erased(connection, correlation_id) else None

    def there(self, connection: Connection, records: Sequence[Event]) -> bool:
        """Whether exactly these records were written. Waits for whoever writes the row."""
        first, ws_id = EventId.parse(records[0].id).seq, records[0].ws_id
        self.row(connection, ws_id, locked=True)
        found = connection.execute(
            "SELECT body FROM record WHERE ws_id = ? AND seq >= ? ORDER BY seq", (ws_id, first)
        )
        return [bytes(body) for (body,) in found.fetchall()] == [encode(r) for r in records]

    def records(
        self, connection: Connection, ws_id: str, after: int, limit: int | None = None
    ) -> list[AnyEvent]:
        upto, values = ("", ()) if limit is None else ("AND r.seq <= ? ", (after + limit,))
        found = connection.execute(
            f"SELECT w.last_seq, {_RECORD} FROM workstream w "
            f"LEFT JOIN record r ON r.ws_id = w.ws_id AND r.seq > ? {upto}"
            "WHERE w.ws_id = ? ORDER BY r.seq",
            (after, *values, ws_id),
        ).fetchall()
        if after and not found:
            raise UnknownWorkstream(f"There is no workstream {ws_id} any more.")
        kept = [record for _, *record in found if record[0] is not None]
        last = found[0][0] if found else 0
        if limit is not None:
            last = min(last, after + limit)
        if [seq for _, seq, *_ in kept] != list(range(after + 1, last + 1)):
            raise Damage(f"the journal of workstream {ws_id} has gaps")
        return [record_of(record) for record in kept]

    def record(self, connection: Connection, ws_id: str, seq: int) -> AnyEvent | None:
        found = connection.execute(
            f"SELECT {_RECORD} FROM record r WHERE r.ws_id = ? AND r.seq = ?", (ws_id, seq)
        ).fetchone()
        return None if found is None else record_of(found)

    def latest(
        self, connection: Connection, after: str, limit: int
    ) -> list[tuple[Row, WorkstreamRow]]:
        """Workstreams of every owner, closed ones too, the newest record first: behind the one
        with this id, or from the first on."""
        behind = self.row(connection, after) if after else None
        where, values = (
            ("", ())
            if behind is None
            else (
                "WHERE updated < ? OR (updated = ? AND ws_id > ?)",
                (behind.updated, behind.updated, behind.ws_id),
            )
        )
        found = connection.execute(
            f"{_SELECT} {where} ORDER BY updated DESC, ws_id LIMIT ?", (*values, limit)
        )
        kept: list[tuple[Row, WorkstreamRow]] = []
        for values in found.fetchall():
            try:
                kept.append(row_of(values))
            except Damage as damage:
                self._told(str(damage))
        return kept

    def index_all(self, connection: Connection) -> None:
        """Note all names, and all that was said, of a store whose version kept neither."""
        for (ws_id,) in connection.execute("SELECT ws_id FROM workstream").fetchall():
            row = self.row(connection, ws_id)
            assert row is not None
            records = self.records(connection, ws_id, 0)
            self.names.note(connection, ws_id, records)
            self.search.note(connection, ws_id, row.session_id, records)

    def ending(self, connection: Connection, ws_id: str, correlation_id: str) -> TurnEnded | None:
        # Not by the workstream too: SQLite would then read through the whole of its journal.
        found = connection.execute(
            f"SELECT {_RECORD} FROM record r WHERE r.type = 'turn_ended' AND r.correlation_id = ?",
            (correlation_id,),
        ).fetchall()
        events = [record_of(record) for record in found if record[0] == ws_id]
        return events[0] if events and isinstance(events[0], TurnEnded) else None

    def erase(self, connection: Connection, ws_id: str, epoch: int) -> None:
        self.owned(connection, ws_id, epoch)
        accepted = connection.execute(
            "SELECT correlation_id FROM record WHERE ws_id = ? AND type = 'message_accepted'",
            (ws_id,),
        ).fetchall()
        for (correlation_id,) in accepted:
            connection.execute(
                "INSERT INTO erased (correlation_hash) VALUES (?) ON CONFLICT DO NOTHING",
                (_hash(correlation_id),),
            )
        for (correlation_id,) in accepted:
            connection.execute("DELETE FROM accepted WHERE correlation_id = ?", (correlation_id,))
        self.names.forget(connection, ws_id)
        self.search.forget(connection, ws_id)
        forget_timers(connection, ws_id)
        for table in ("record", "workstream"):
            connection.execute(f"DELETE FROM {table} WHERE ws_id = ?", (ws_id,))
        connection.execute("UPDATE erasures SET number = number + 1")

    def erasures(self, connection: Connection) -> int:
        """How many workstreams were ever erased."""
        number: int = connection.execute("SELECT number FROM erasures").fetchone()[0]
        return number

    def rewrite(self, connection: Connection) -> None:
        """Write what is there already, to see whether that can be done."""
        connection.execute("UPDATE erasures SET number = number")

    # The whole.

    def check(self, connection: Connection, *, states: bool = True) -> None:
        """Compare what hangs together. Raises Damage. Reads all but the records' bodies.

        Without `states` also tables of the version that had none yet.
        """
        for found in connection.execute(_SELECT).fetchall():
            row_of(found)
        lost = connection.execute(
            "SELECT a.correlation_id FROM accepted a "
            "LEFT JOIN record r ON r.ws_id = a.ws_id AND r.seq = a.seq "
            "WHERE r.correlation_id IS NULL OR r.correlation_id <> a.correlation_id LIMIT 1"
        ).fetchone()
        if lost:
            raise Damage(f"message {lost[0]!r} was accepted and is in no journal")
        if states:
            self._check_states(connection)

    def _check_states(self, connection: Connection) -> None:
        found = connection.execute(f"SELECT {_COLUMNS}, state, parent FROM workstream")
        for *values, state, parent in found.fetchall():
            row = Row(*values)
            try:
                wrong = "state" if row.state != state else "parent" if row.parent != parent else ""
            except msgspec.DecodeError as error:
                raise Damage(f"the row of workstream {row.ws_id}: {error}") from error
            if wrong:
                raise Damage(f"the row of workstream {row.ws_id}: its {wrong} is wrong")

    def check_all(self, connection: Connection) -> None:
        """The same without the states, and every record of every journal. Raises Damage."""
        self.check(connection, states=False)
        for (ws_id,) in connection.execute("SELECT ws_id FROM workstream").fetchall():
            self.records(connection, ws_id, 0)


def _refuse(what: str) -> None:
    raise Damage(what)


def _after(row: Row, written: Sequence[Event]) -> Row:
    opened = sum(isinstance(e, MessageAccepted) for e in written)
    ended = sum(isinstance(e, TurnEnded) for e in written)
    return row._replace(
        last_seq=row.last_seq + len(written),
        open_turns=row.open_turns + opened - ended,
        closed=int(_closed(written)),
        updated=float(max([row.updated, *(e.timestamp for e in written)])),
    )


def _closed(written: Sequence[Event]) -> bool:
    """Whether a workstream that took these records is closed: it takes none while it is, but for
    the one that opens it."""
    told = [isinstance(e, WsClosed) for e in written if isinstance(e, WsClosed | WsReopened)]
    return bool(told) and told[-1]


def _hash(correlation_id: str) -> bytes:
    return hashlib.sha256(correlation_id.encode()).digest()
