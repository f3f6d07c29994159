"""The statements by which what was said is found again: noted with its record, gone with it.

The same on SQLite (FTS5) and PostgreSQL (`tsvector`), which only keep our words and intersect
them: neither splits, stems or ranks anything. The order of hits is that of `said.id`, which
rises with time; so both give the same hits in the same order, and the newest of many are found
without looking at the rest.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from turnstone.core.errors import StoreError
from turnstone.core.events import ConversationSet, Event, EventId
from turnstone.core.store.connection import Connection
from turnstone.core.store.schema import Dialect
from turnstone.core.store.terms import findable, said_in, terms

#: Marks that stand among the words of a text, and can be no word: private characters. What was
#: said, what tools printed, and the workstream.
_SPOKEN, _PRINTED, _WHERE = "\ue000s", "\ue000t", "\ue001"

#: What is found before all else, whatever its age, to what is found last.
_RANKS = (_SPOKEN, _PRINTED)

#: Messages that are looked at one by one: a word that one in a hundred has is found there.
_NEWEST = 2000

#: Ids for each microsecond, and how many of those are looked over where one is not enough.
_ROOM, _MOMENTS = 1024, 1_000_000

#: Attempts to find a free id while others take some too.
_TRIES = 50


class Place(NamedTuple):
    """Where something was said."""

    ws_id: str
    session_id: str
    seq: int
    part: int
    role: str


_PLACE = ", ".join(Place._fields)


class Search:
    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    def note(
        self, connection: Connection, ws_id: str, session_id: str, written: Iterable[Event]
    ) -> None:
        """Make records findable that were just written, and have their ids. `session_id`: of
        the conversation before them."""
        for event in written:
            if isinstance(event, ConversationSet) and event.session_id:
                session_id = event.session_id
            seq = EventId.parse(event.id).seq
            for said in said_in(event):
                where = Place(ws_id, session_id, seq, said.part, said.role)
                rank = _PRINTED if said.role == "tool" else _SPOKEN
                words = [rank, _WHERE + ws_id, *terms(findable(said))]
                number = self._placed(connection, where, event.timestamp)
                connection.execute(
                    f"INSERT INTO said_terms (rowid, terms) VALUES (?, {self._dialect.words})",
                    (number, " ".join(words)),
                )

    def forget(self, connection: Connection, ws_id: str, after: int = 0) -> None:
        """Of a workstream, what was said behind this record."""
        connection.execute(
            "DELETE FROM said_terms WHERE rowid IN "
            "(SELECT id FROM said WHERE ws_id = ? AND seq > ?)",
            (ws_id, after),
        )
        connection.execute("DELETE FROM said WHERE ws_id = ? AND seq > ?", (ws_id, after))

    def find(
        self, connection: Connection, words: Sequence[str], ws_id: str, limit: int
    ) -> list[Place]:
        """Where all these words were said: rank, then newest. Without words: the newest."""
        within = [_WHERE + ws_id] if ws_id else []
        found: list[Place] = []
        if words:
            for rank in _RANKS:
                if len(found) < limit:
                    query = self._all_of([rank, *within, *words])
                    found += self._matching(connection, query, limit - len(found))
            return found
        where, values = ("WHERE ws_id = ?", (ws_id,)) if ws_id else ("", ())
        rows = connection.execute(
            f"SELECT {_PLACE} FROM said {where} ORDER BY id DESC LIMIT ?", (*values, limit)
        )
        return [Place(*row) for row in rows.fetchall()]

    def beside(self, connection: Connection, place: Place) -> tuple[str, str]:
        """What was said just before and after, as `SearchHit.message`; empty: nothing was."""
        here = (place.ws_id, place.seq, place.seq, place.part)
        columns = "SELECT ws_id, seq, part FROM said WHERE ws_id = ? AND role <> 'title' AND "
        before = connection.execute(
            f"{columns}(seq < ? OR (seq = ? AND part < ?)) ORDER BY seq DESC, part DESC LIMIT 1",
            here,
        ).fetchone()
        after = connection.execute(
            f"{columns}(seq > ? OR (seq = ? AND part > ?)) ORDER BY seq, part LIMIT 1", here
        ).fetchone()
        return message_id(*before) if before else "", message_id(*after) if after else ""

    def at(self, connection: Connection, ws_id: str, seq: int, part: int) -> Place | None:
        row = connection.execute(
            f"SELECT {_PLACE} FROM said WHERE ws_id = ? AND seq = ? AND part = ?",
            (ws_id, seq, part),
        ).fetchone()
        return Place(*row) if row else None

    def count(self, connection: Connection, ws_id: str) -> int:
        """How many messages a workstream has."""
        counted = "SELECT count(*) FROM said WHERE ws_id = ? AND role <> 'title'"
        number: int = connection.execute(counted, (ws_id,)).fetchone()[0]
        return number

    def _matching(self, connection: Connection, query: str, limit: int) -> list[Place]:
        """The newest places with all these words.

        An index that knows no order finds all of them first. So common words are looked for
        among the newest messages before, where they are found without it; and the planner is
        kept from looking for rare ones in the same way, through all that there is.
        """
        among = f"SELECT rowid FROM said_terms WHERE {self._dialect.matches}"
        if not self._dialect.rising:
            newest = self._read(
                connection, f"{among} AND rowid >= ?", limit, query, self._window(connection)
            )
            if len(newest) == limit:
                return newest
            among = f"WITH found AS MATERIALIZED ({among}) SELECT rowid FROM found"
        return self._read(connection, among, limit, query)

    @staticmethod
    def _read(connection: Connection, among: str, limit: int, *values: object) -> list[Place]:
        """The newest of the places whose numbers this gives."""
        rows = connection.execute(
            f"SELECT {_PLACE} FROM said WHERE id IN ({among} ORDER BY rowid DESC LIMIT ?) "
            "ORDER BY id DESC",
            (*values, limit),
        )
        return [Place(*row) for row in rows.fetchall()]

    @staticmethod
    def _window(connection: Connection) -> int:
        """The number of the oldest among the newest messages."""
        row = connection.execute(
            "SELECT rowid FROM said_terms ORDER BY rowid DESC LIMIT 1 OFFSET ?", (_NEWEST,)
        ).fetchone()
        number: int = row[0] if row else 0
        return number

    def _all_of(self, words: Sequence[str]) -> str:
        quote, both = self._dialect.quote, self._dialect.both
        return both.join(f"{quote}{word}{quote}" for word in words)

    @staticmethod
    def _placed(connection: Connection, place: Place, timestamp: float) -> int:
        """A row with the next free id of this time. Which of them depends on the place alone, so
        that two databases with the same records have them in the same order."""
        known = f"{place.ws_id} {place.seq} {place.part}".encode()
        moment = int(timestamp * 1_000_000) + place.part
        first = moment * _ROOM + zlib.crc32(known) % _ROOM
        number = first
        for _ in range(_TRIES):
            done = connection.execute(
                f"INSERT INTO said (id, {_PLACE}) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (number, *place),
            )
            if done.rowcount == 1:
                return number
            # Where a clock stands still, a great deal is said at one moment: behind all of that.
            last = connection.execute(
                "SELECT max(id) FROM said WHERE id >= ? AND id < ?",
                (moment * _ROOM, (moment + _MOMENTS) * _ROOM),
            ).fetchone()
            number = last[0] + 1
        raise StoreError(f"Two messages were said at one moment ({timestamp}) again and again.")


def message_id(ws_id: str, seq: int, part: int) -> str:
    """How a message is named in hits: `<ws_id>:<seq>`, and `.<part>` where there are several."""
    return f"{ws_id}:{seq}.{part}" if part else f"{ws_id}:{seq}"


def read_message_id(text: str) -> tuple[str, int, int]:
    """Raises ValueError for what is none."""
    ws_id, colon, rest = text.strip().rpartition(":")
    seq, _, part = rest.partition(".")
    digits = (seq + (part or "0")).isascii() and (seq + (part or "0")).isdigit()
    if not colon or not ws_id or not seq or not digits:
        raise ValueError(f"a message is named like 1a2b3c4d:12, not {text!r}")
    return ws_id, int(seq), int(part or 0)
