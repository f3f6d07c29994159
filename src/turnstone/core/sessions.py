"""Conversations by name: found, listed, renamed, opened again, searched, with what is remembered.

Of the whole store, whichever node has them. Reads and records; the workstreams do the rest.
"""

from __future__ import annotations

import asyncio

from turnstone.core import decided, exporting, importing
from turnstone.core.engine import Engine
from turnstone.core.errors import InvalidRequest, UnknownMemory, UnknownSession, UnknownWorkstream
from turnstone.core.events import WsRename
from turnstone.core.host import (
    Decided,
    ExportFormat,
    Imported,
    Memory,
    SearchHit,
    SessionInfo,
    WorkstreamInfo,
)
from turnstone.core.manager import WorkstreamManager
from turnstone.core.memory import checked_scope, key_of
from turnstone.core.remembering import keep
from turnstone.core.store import Store, WorkstreamRow

#: The most of each that one request is answered with.
MAX_SESSIONS, MAX_HITS, MAX_MEMORIES, MAX_DECISIONS = 500, 100, 1000, 1000

#: Characters of a name.
_LONGEST = 100

#: Ids that are named where several begin alike.
_SHOWN = 5


class Sessions:
    """One per node."""

    def __init__(self, manager: WorkstreamManager, store: Store, engine: Engine) -> None:
        self._manager = manager
        self._store = store
        self._engine = engine

    async def sessions(self, limit: int, after: str) -> list[SessionInfo]:
        _check(limit, MAX_SESSIONS)
        return await self._store.sessions(limit, after)

    async def search(self, query: str, limit: int, ws_id: str) -> list[SearchHit]:
        _check(limit, MAX_HITS)
        return await self._store.search(query, limit, ws_id)

    async def rename(self, ws_id: str, name: str, alias: str | None) -> WorkstreamInfo:
        """`Host.rename`."""
        name, wanted = name.strip(), None if alias is None else alias.strip()
        if not name and wanted is None:
            raise InvalidRequest("name: give a name, an alias, or both.")
        for field, text in (("name", name), ("alias", wanted or "")):
            if len(text) > _LONGEST or not text.isprintable():
                raise InvalidRequest(
                    f"{field}: it must be one line of up to {_LONGEST} characters."
                )
        row = await self._store.row(ws_id)
        if row is not None and row.closed:
            before = str(row.summary.get("name", ""))
            return await self._manager.rename_closed(
                row, WsRename(name=name or before, alias=wanted)
            )
        async with self._manager.use(ws_id) as workstream:
            now = workstream.transcript.summary.name
            await workstream.change(WsRename(name=name or now, alias=wanted))
            return workstream.info()

    async def resume(self, name: str) -> WorkstreamInfo:
        """`Host.resume`."""
        row = await found(self._store, name)
        if row.summary.get("agent"):
            raise InvalidRequest(
                f"Workstream {row.ws_id} is a sub-agent: it cannot be resumed by itself.",
                hint=f"Resume the one above it, {row.summary.get('parent')}.",
            )
        return await self._manager.reopen(row)

    async def export(self, name: str, form: ExportFormat) -> str:
        """`Host.export`."""
        row = await found(self._store, name)
        return exporting.written(await self._store.records(row.ws_id), form)

    async def take_over(self, text: str, source: str, owner: str) -> Imported:
        """`Host.take_over`."""
        source = source.strip()[:_LONGEST] or "the file"
        # Megabytes of text: the node has others to answer meanwhile.
        session = await asyncio.to_thread(exporting.read, text, source)
        done = importing.Imported()
        await importing.take_over(self._store, session, owner, self._engine.clock, source, done)
        [row, *_] = await self._store.resolve(session.session_id, match="session")
        return Imported(
            session_id=session.session_id,
            ws_id=row.ws_id,
            known=done.known > 0,
            messages=done.messages,
            notes=[*done.notes, *done.skipped],
        )

    async def decisions(self, ws_id: str, limit: int) -> list[Decided]:
        _check(limit, MAX_DECISIONS)
        records = await self._store.records(ws_id)
        if not records:
            raise UnknownWorkstream(f"There is no workstream {ws_id} in this store.")
        return decided.decisions(records)[:limit]

    async def memories(self, query: str, scope: str, limit: int) -> list[Memory]:
        _check(limit, MAX_MEMORIES)
        scopes = [checked_scope(scope)] if scope else None
        return await self._store.memories(scopes, query, limit)

    async def remember(self, key: str, value: str, scope: str) -> Memory:
        """`Host.remember`."""
        checked_scope(scope)
        await keep(self._store, self._engine.clock, key, value, scope)
        kept = await self._store.memory(scope, key_of(key))
        if kept is None:
            raise UnknownMemory(f"{key_of(key)} was forgotten at the same moment.")
        return kept

    async def forget(self, key: str, scope: str) -> None:
        """`Host.forget`."""
        if not await self._store.delete_memory(checked_scope(scope), key_of(key)):
            raise UnknownMemory(f"Nothing is remembered as {key_of(key)} in {scope}.")


async def found(store: Store, name: str) -> WorkstreamRow:
    """The session that is meant by this alias, id or beginning of one. Raises UnknownSession."""
    rows = await store.resolve(name.strip(), _SHOWN) if name.strip() else []
    if len(rows) == 1:
        return rows[0]
    if rows:
        ids = ", ".join(f"{row.ws_id} (session {row.session_id})" for row in rows)
        raise UnknownSession(
            f"{name!r} means several sessions: {ids}.", hint="Give more of the id."
        )
    raise UnknownSession(
        f"There is no session {name!r} in this store.",
        hint="/sessions lists them in the terminal, and GET /api/sessions over HTTP.",
    )


async def found_whole(store: Store, name: str) -> WorkstreamRow:
    """The same for what cannot be undone: by the alias or the whole id alone."""
    rows = await store.resolve(name.strip(), match="whole") if name.strip() else []
    if len(rows) == 1:
        return rows[0]
    row = await found(store, name)
    raise InvalidRequest(
        f"{name!r} is only the beginning of an id (session {row.session_id}, workstream "
        f"{row.ws_id}); nothing is deleted by that.",
        hint="Give the whole id, or the alias.",
    )


def _check(limit: int, most: int) -> None:
    if not 1 <= limit <= most:
        raise InvalidRequest(f"limit: {limit} is not from 1 to {most}.")
