"""Memory and history as one workstream sees them: its scopes, and what it may take for its own.

What was said in a workstream that has read from outside may be somebody else's words. It is
told apart here, and marks the workstream that recalls it.
"""

from __future__ import annotations

from collections.abc import Iterable

from turnstone.core.clock import Clock
from turnstone.core.errors import InvalidRequest
from turnstone.core.events import EventId
from turnstone.core.host import Memory, SearchHit
from turnstone.core.journal import Journal
from turnstone.core.memory import (
    USER,
    Hit,
    Opened,
    Recalled,
    ScopeKind,
    checked_value,
    key_of,
    workspace_scope,
)
from turnstone.core.store import Store
from turnstone.core.store.base import Unless
from turnstone.core.store.search import read_message_id


class Remembering:
    """Implements `turnstone.core.memory.MemoryStore`. One per workstream."""

    def __init__(self, store: Store, journal: Journal, workspace: str, clock: Clock) -> None:
        self._store = store
        self._journal = journal
        self._clock = clock
        self._scopes: dict[ScopeKind, str] = {
            "user": USER,
            "workspace": workspace_scope(workspace),
        }

    async def remember(self, key: str, value: str, scope: ScopeKind) -> Memory | None:
        return await keep(self._store, self._clock, key, value, self._scopes[scope])

    async def get(self, key: str, scope: ScopeKind) -> Memory | None:
        return await self._store.memory(self._scopes[scope], key_of(key))

    async def forget(self, key: str, scope: ScopeKind) -> bool:
        return await self._store.delete_memory(self._scopes[scope], key_of(key))

    async def recall(self, query: str, limit: int) -> Recalled:
        memories = await self._store.memories(list(self._scopes.values()), query)
        if not query.strip():
            return Recalled(memories)
        found = await self._store.search(query, limit, unless=self._in_view())
        outside = await self._outside({hit.ws_id for hit in found})
        hits = [Hit(hit, outside.get(hit.ws_id, "")) for hit in found]
        return Recalled(memories, hits, self._news(hits))

    async def read(self, message: str) -> Opened | None:
        try:
            ws_id, seq, part = read_message_id(message)
        except ValueError as error:
            raise InvalidRequest(f"message: {error}.") from error
        passage = await self._store.passage(ws_id, seq, part)
        if passage is None:
            return None
        outside = (await self._outside([ws_id])).get(ws_id, "")
        news = (outside,) if outside and ws_id != self._journal.ws_id else ()
        return Opened(passage, outside, news)

    def _in_view(self) -> Unless | None:
        """Says of a hit whether the model reads it in its turn as it is: not what a compaction
        took away. Goes by what is sent now."""
        transcript = self._journal.transcript
        if transcript.turn is None:
            return None
        begun = EventId.parse(transcript.turn.message.id).seq
        ws_id = self._journal.ws_id
        sent = [str(message["content"]) for message in transcript.messages]

        def reads(hit: SearchHit) -> bool:
            text = hit.snippet.strip("…")
            return hit.ws_id == ws_id and hit.seq >= begun and any(text in one for one in sent)

        return reads

    async def _outside(self, ws_ids: Iterable[str]) -> dict[str, str]:
        """Those of the workstreams that have read from outside, with what marks a reader."""
        marked: dict[str, str] = {}
        for ws_id in ws_ids:
            row = await self._store.row(ws_id)
            if row is not None and row.summary.get("tainted"):
                marked[ws_id] = f"recall of workstream {ws_id}"
        return marked

    def _news(self, hits: Iterable[Hit]) -> tuple[str, ...]:
        own = self._journal.ws_id
        return tuple({hit.outside: None for hit in hits if hit.outside and hit.found.ws_id != own})


async def keep(store: Store, clock: Clock, key: str, value: str, scope: str) -> Memory | None:
    """Remember a value; what was there before is given back. Raises InvalidRequest."""
    now = clock.now()
    kept = Memory(
        scope=scope,
        key=key_of(key),
        value=checked_value(value),
        created=now,
        updated=now,
    )
    return await store.put_memory(kept)


class Counting:
    """How many memories a conversation in a workspace can recall."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def __call__(self, workspace: object) -> int:
        return await self._store.count_memories([USER, workspace_scope(str(workspace))])
