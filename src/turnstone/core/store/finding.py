"""What is read of a store by name or by content: hits, passages, sessions. Changes nothing.

Puts the statements of `search`, `names` and `tables` together, on a connection that is given.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from turnstone.core.events import AnyEvent, ConversationSet
from turnstone.core.host import Passage, SearchHit, SessionInfo
from turnstone.core.store.base import Match, Unless, WorkstreamRow
from turnstone.core.store.connection import Connection
from turnstone.core.store.rows import Damage
from turnstone.core.store.search import Place, message_id
from turnstone.core.store.tables import Tables
from turnstone.core.store.terms import Said, findable, said_in, snippet, wanted

#: Rows that are looked at for a page of sessions, beyond those asked for: some are no sessions.
_SPARE = 16

#: How many times as many places are found anew, where too few of them were hits.
_MORE = 4


class Finding:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def hits(
        self,
        connection: Connection,
        query: str,
        limit: int,
        ws_id: str,
        unless: Unless | None = None,
    ) -> list[SearchHit]:
        words = wanted(query)
        if (query.strip() and not words) or (ws_id and not ws_id.isalnum()):
            return []
        hits: list[SearchHit] = []
        copied: dict[tuple[str, str], bool] = {}  # what was said, and whether by being taken over
        looked, most = 0, 2 * limit
        while True:
            places = self._tables.search.find(connection, words, ws_id, most)
            for record, place, said in self._said(connection, places[looked:]):
                what, copy = (said.role, said.text), isinstance(record, ConversationSet)
                if what in copied and (copy or copied[what]):
                    continue  # a fork has it again: the newer one is enough
                hit = SearchHit(
                    ws_id=place.ws_id,
                    session_id=place.session_id,
                    seq=place.seq,
                    message=message_id(place.ws_id, place.seq, place.part),
                    role=said.role,
                    snippet=snippet(findable(said), words),
                    timestamp=record.timestamp,
                )
                if unless is not None and unless(hit):
                    continue
                copied[what] = copy
                hits.append(hit)
                if len(hits) == limit:
                    return hits
            if len(places) < most:
                return hits
            looked, most = most, most * _MORE

    def _said(
        self, connection: Connection, places: Iterable[Place]
    ) -> Iterator[tuple[AnyEvent, Place, Said]]:
        """What was said there, with its record. Each record is read once."""
        read: dict[tuple[str, int], AnyEvent] = {}
        for place in places:
            where = (place.ws_id, place.seq)
            if where not in read:
                read[where] = self._record(connection, place)
            [said] = [s for s in said_in(read[where]) if s.part == place.part]
            yield read[where], place, said

    def passage(self, connection: Connection, ws_id: str, seq: int, part: int) -> Passage | None:
        place = self._tables.search.at(connection, ws_id, seq, part)
        if place is None:
            return None
        record = self._record(connection, place)
        [said] = [s for s in said_in(record) if s.part == part]
        before, after = self._tables.search.beside(connection, place)
        return Passage(
            ws_id=ws_id,
            session_id=place.session_id,
            message=message_id(ws_id, seq, part),
            role=said.role,
            text=said.text,
            timestamp=record.timestamp,
            before=before,
            after=after,
        )

    def sessions(self, connection: Connection, limit: int, after: str) -> list[SessionInfo]:
        """A page of them: workstreams in which something was said, and no sub-agents."""
        found: list[SessionInfo] = []
        while True:
            rows = self._tables.latest(connection, after, limit + _SPARE)
            for row, public in rows:
                count = self._tables.search.count(connection, row.ws_id)
                if count and not public.summary.get("parent"):
                    found.append(_session(public, row.session_now, count))
                if len(found) == limit:
                    return found
                after = row.ws_id
            if len(rows) < limit + _SPARE:
                return found

    def resolve(
        self, connection: Connection, name: str, limit: int, match: Match
    ) -> list[WorkstreamRow]:
        """The workstreams that a name may mean; no sub-agents, where it is not their whole id."""
        rows = []
        for ws_id in self._tables.names.resolve(connection, name, limit, match):
            row = self._tables.row(connection, ws_id)
            if row is not None:
                public = row.public()
                if not public.summary.get("parent") or ws_id == name:
                    rows.append(public)
        return rows

    def _record(self, connection: Connection, place: Place) -> AnyEvent:
        record = self._tables.record(connection, place.ws_id, place.seq)
        if record is None:
            raise Damage(f"record {place.seq} of workstream {place.ws_id} is missing")
        return record


def _session(row: WorkstreamRow, session_id: str, count: int) -> SessionInfo:
    summary = row.summary
    return SessionInfo(
        session_id=session_id,
        ws_id=row.ws_id,
        name=str(summary.get("name", "")),
        alias=str(summary.get("alias") or "") or None,
        title=str(summary.get("title") or "") or None,
        created=in_utc(row.created),
        updated=in_utc(row.updated),
        message_count=count,
        closed=row.closed,
    )


def in_utc(timestamp: float) -> str:
    """As 0.2 writes times."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(timestamp))
