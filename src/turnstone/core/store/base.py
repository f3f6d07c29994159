"""The store as the engine sees it: rows of workstreams, and an append-only journal for each.

One contract suite runs over every implementation (`tests/contract/test_store.py`). A write
either happens whole or raises and leaves nothing; when it has returned it survives the
death of the process.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from turnstone.core.events import AnyEvent, Event, TurnEnded
from turnstone.core.host import Memory, Passage, SearchHit, SessionInfo


class WorkstreamRow(msgspec.Struct, frozen=True, kw_only=True):
    """A workstream without its journal: what can be told, and searched for, while it sleeps."""

    ws_id: str
    session_id: str
    created: float  # Unix seconds
    owner: str  # the node that may write
    epoch: int  # raised by every change of owner
    last_seq: int = 0
    open_turns: int = 0  # messages accepted and not ended
    closed: bool = False
    updated: float = 0.0  # Unix seconds of the last record
    summary: dict[str, Any] = {}  # what lists show: name, state, tokens, …; a fold's, not ours


class Appended(NamedTuple):
    """What an append did. `duplicate`: the correlation id was known, nothing was written."""

    events: list[Event]
    duplicate: bool = False


class Store(Protocol):
    """Methods raise StoreError, with a sentence that says what to do, when the disk will not."""

    async def create(self, row: WorkstreamRow, first: Event) -> Event:
        """Write a new row and the first record of its journal."""

    async def append(
        self,
        ws_id: str,
        epoch: int,
        events: Sequence[Event],
        summary: dict[str, Any] | None = None,
    ) -> Appended:
        """Write records in one transaction; returns them with their ids.

        Raises NotOwner if the row's epoch is another. A `message_accepted` whose correlation
        id was accepted before writes nothing: the first one comes back, as a duplicate.
        Raises Erased if that first one was erased; NameTaken for an alias that is another's.
        """

    async def records(self, ws_id: str, after: int = 0) -> list[AnyEvent]:
        """The journal behind `after`, in order. Raises StoreError for a damaged record."""

    async def ending(self, ws_id: str, correlation_id: str) -> TurnEnded | None:
        """How the turn of this message ended; None while it has not."""

    async def row(self, ws_id: str) -> WorkstreamRow | None: ...

    async def rows(self, owner: str | None = None) -> list[WorkstreamRow]:
        """Workstreams that are not closed, in the order of their creation."""

    async def working(self) -> list[WorkstreamRow]:
        """Workstreams of every owner with a message that has not ended, by creation."""

    async def older(self, before: float) -> list[WorkstreamRow]:
        """Workstreams of every owner, closed ones too, that have no message open and no record
        since `before` (Unix seconds): the oldest first."""

    async def acquire(self, ws_id: str, owner: str) -> WorkstreamRow:
        """Make `owner` the one writer, under a raised epoch. Raises UnknownWorkstream."""

    async def erase(self, ws_id: str, epoch: int) -> None:
        """Delete a workstream with all its records, whatever its state.

        Of its correlation ids a hash is kept, so that none is accepted again. Raises
        UnknownWorkstream, and NotOwner if the row's epoch is another.
        """

    async def search(self, query: str, limit: int, ws_id: str = "") -> list[SearchHit]:
        """Where all words of the query were said (`Host.search`)."""

    async def passage(self, ws_id: str, seq: int, part: int = 0) -> Passage | None:
        """A message that was found, whole."""

    async def sessions(self, limit: int, after: str = "") -> list[SessionInfo]:
        """A page of conversations, the newest first (`Host.sessions`)."""

    async def resolve(self, name: str, limit: int = 5) -> list[WorkstreamRow]:
        """The workstreams that a name means: an alias, the id of a session or workstream, or
        the beginning of one, which may mean several."""

    async def memories(
        self, scopes: Sequence[str] | None, query: str = "", limit: int = 1000
    ) -> list[Memory]:
        """What is remembered in these scopes (None: in all), where every word of the query
        occurs in the key or the value; by key."""

    async def memory(self, scope: str, key: str) -> Memory | None: ...

    async def put_memory(self, memory: Memory) -> Memory | None:
        """Keep it in the place of what was there, which is given back; its `created` stays."""

    async def delete_memory(self, scope: str, key: str) -> bool:
        """False: there is no such memory."""

    async def count_memories(self, scopes: Sequence[str]) -> int: ...

    async def scrub(self) -> bool:
        """Make what was erased unreadable in the store's own files too.

        False: another process was reading; ask again later.
        """

    async def aclose(self) -> None:
        """Finish what is being written, then close. Idempotent."""
