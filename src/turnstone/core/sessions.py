"""Conversations by name: found, listed, renamed, opened again, searched, with what is remembered.

Of the whole store, whichever node has them. Reads and records; the workstreams do the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from turnstone.core import decided, earlier, forking
from turnstone.core.engine import Engine
from turnstone.core.errors import InvalidRequest, UnknownMemory, UnknownSession, UnknownWorkstream
from turnstone.core.events import Event, WsCreated, WsRename
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
from turnstone.core.naming import LONGEST, is_name
from turnstone.core.remembering import keep
from turnstone.core.store import Store, WorkstreamRow

if TYPE_CHECKING:
    from turnstone.core.exporting import Exported

#: The most of each that one request is answered with.
MAX_SESSIONS, MAX_HITS, MAX_MEMORIES, MAX_DECISIONS = 500, 100, 1000, 1000

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

    async def newest(self, workspace: str) -> str:
        """The id of the newest session that works in this folder and in which something was said,
        among the last MAX_SESSIONS of the store. Raises UnknownSession."""
        for info in await self._store.sessions(MAX_SESSIONS):
            if not info.message_count:
                continue
            match await self._store.records(info.ws_id, limit=1):
                case [WsCreated(workspace=place)] if place == workspace:
                    return info.session_id
        raise UnknownSession(
            f"There is no session in {workspace} that could be gone on with.",
            hint="turnstone sessions list has those of all folders; --resume takes one.",
        )

    async def search(self, query: str, limit: int, ws_id: str) -> list[SearchHit]:
        _check(limit, MAX_HITS)
        return await self._store.search(query, limit, ws_id)

    async def rename(self, ws_id: str, name: str, alias: str | None) -> WorkstreamInfo:
        """`Host.rename`."""
        name, wanted = name.strip(), None if alias is None else alias.strip()
        if not name and wanted is None:
            raise InvalidRequest("name: give a name, an alias, or both.")
        check_names(name, wanted or "")
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
        """`Host.resume`. An earlier session of a workstream goes on in a fork from where it was
        left: in the same one each time."""
        row, session_id, left = await found(self._store, name)
        if row.summary.get("agent"):
            raise InvalidRequest(
                f"Workstream {row.ws_id} is a sub-agent: it cannot be resumed by itself.",
                hint=f"Resume the one above it, {row.summary.get('parent')}.",
            )
        if not left:
            return await self._manager.reopen(row)
        info = await forking.fork(
            self._manager, self._store, self._engine, row.ws_id, str(left), f"resume {session_id}"
        )
        goes_on = await self._store.row(info.id)
        return await self.resume(goes_on.session_id if goes_on is not None else info.id)

    async def export(self, name: str, form: ExportFormat) -> str:
        """`Host.export`."""
        return await exported(self._store, await found(self._store, name), form)

    async def take_over(self, text: str, source: str, owner: str) -> Imported:
        """`Host.take_over`."""
        source = source.strip()[:LONGEST] or "the file"
        # Megabytes of text: the node has others to answer meanwhile.
        session = await asyncio.to_thread(_read, text, source)
        from turnstone.core import importing

        done = importing.Imported()
        clock, kept = self._engine.clock, self._engine.retention
        await importing.take_over(self._store, session, owner, clock, source, done, kept)
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


class Found(NamedTuple):
    """A session: of this workstream, and for an earlier one the record where it was left."""

    row: WorkstreamRow
    session_id: str
    left: int = 0


async def found(store: Store, name: str) -> Found:
    """The session that is meant by this alias, id or beginning of one. Raises UnknownSession."""
    name = name.strip()
    rows = await store.resolve(name, _SHOWN) if name else []
    meant = await _meant(store, rows[0], name) if len(rows) == 1 else list(map(_now, rows))
    if len(meant) == 1:
        return meant[0]
    if meant:
        ids = ", ".join(f"{one.row.ws_id} (session {one.session_id})" for one in meant)
        raise UnknownSession(
            f"{name!r} means several sessions: {ids}.", hint="Give more of the id."
        )
    raise UnknownSession(
        f"There is no session {name!r} in this store.",
        hint="/sessions lists them in the terminal, and GET /api/sessions over HTTP.",
    )


async def found_whole(store: Store, name: str) -> Found:
    """The same for what cannot be undone: by the alias or the whole id alone, and never by that
    of an earlier session, since its workstream holds later ones too."""
    rows = await store.resolve(name.strip(), match="whole") if name.strip() else []
    one = await found(store, name)
    if len(rows) != 1:
        raise InvalidRequest(
            f"{name!r} is only the beginning of an id (session {one.session_id}, workstream "
            f"{one.row.ws_id}); nothing is deleted by that.",
            hint="Give the whole id, or the alias.",
        )
    if one.left:
        now = _now(one.row).session_id
        raise InvalidRequest(
            f"Session {one.session_id} is an earlier one of workstream {one.row.ws_id}, which is "
            f"session {now} now; nothing is deleted by that.",
            hint=f"Deleting {now} deletes the workstream, with this session.",
        )
    return one


async def before(store: Store, row: WorkstreamRow) -> list[str]:
    """The ids of the earlier sessions of a workstream, the first one first."""
    if not row.summary.get("session_id"):
        return []
    return [one.session_id for one in earlier.held(await store.records(row.ws_id)) if one.left]


async def exported(store: Store, one: Found, form: ExportFormat) -> str:
    """The file of this session. Raises InvalidRequest where nothing was said in it."""
    records = await store.records(one.row.ws_id)
    return await asyncio.to_thread(_written, records, one.left, form)


def _written(records: Sequence[Event], left: int, form: ExportFormat) -> str:
    from turnstone.core import exporting  # heavy: only who asks for a file waits for it

    return exporting.written(earlier.up_to(records, left), form)


def _read(text: str, source: str) -> Exported:
    from turnstone.core import exporting, importing  # noqa: F401 - loaded here, beside the loop

    return exporting.read(text, source)


def check_names(name: str, alias: str) -> None:
    """Raises InvalidRequest for what cannot be one."""
    for field, text in (("name", name), ("alias", alias)):
        if not is_name(text):
            raise InvalidRequest(f"{field}: it must be one line of up to {LONGEST} characters.")


def _now(row: WorkstreamRow) -> Found:
    return Found(row, str(row.summary.get("session_id") or row.session_id))


async def _meant(store: Store, row: WorkstreamRow, name: str) -> list[Found]:
    """Which of the sessions that this workstream has been. Its journal is only read where there
    were several, and the name is not one of the last."""
    now = _now(row)
    if not row.summary.get("session_id"):
        return [now]
    if name in (row.ws_id, now.session_id, row.summary.get("alias")):
        return [now]
    sessions = earlier.held(await store.records(row.ws_id))
    return [Found(row, *one) for one in earlier.meant(name, row.ws_id, sessions)]


def _check(limit: int, most: int) -> None:
    if not 1 <= limit <= most:
        raise InvalidRequest(f"limit: {limit} is not from 1 to {most}.")
