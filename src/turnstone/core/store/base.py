"""The store as the engine sees it: rows of workstreams, and an append-only journal for each.

One contract suite runs over every implementation (`tests/contract/test_store.py`). A write
either happens whole or raises and leaves nothing; when it has returned it survives the
death of the process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import msgspec

from turnstone.core.events import AnyEvent, Event, TurnEnded
from turnstone.core.host import Memory, Passage, SearchHit, SessionInfo
from turnstone.core.timers import Timer

#: What a name may be. `whole`: no beginning of an id; `session`: the id of a session alone.
Match: TypeAlias = Literal["any", "whole", "session"]
Unless: TypeAlias = Callable[[SearchHit], bool]

#: Records that are read at a time: some milliseconds of work.
PART = 250


class Place(NamedTuple):
    """Where a workstream stands in the order of creation."""

    created: float
    ws_id: str


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

    @property
    def place(self) -> Place:
        return Place(self.created, self.ws_id)


class Appended(NamedTuple):
    """What an append did. `duplicate`: the correlation id was known, nothing was written."""

    events: list[Event]
    duplicate: bool = False


class Store(Protocol):
    """Methods raise StoreError, with a sentence that says what to do, when the disk will not."""

    async def create(self, row: WorkstreamRow, first: Event, behind: Sequence[Event] = ()) -> Event:
        """Write a new row, the first record of its journal and those behind it, in one
        transaction; returns the first. Raises NameTaken for an alias that is another's."""

    async def append(
        self,
        ws_id: str,
        epoch: int,
        events: Sequence[Event],
        summary: dict[str, Any] | None = None,
    ) -> Appended:
        """Write records in one transaction; returns them with their ids.

        Raises NotOwner if the row's epoch is another. Raises Unsettled where the answer to the
        commit is missing: nothing else is written before `settle` has told what is there. A `message_accepted` whose correlation
        id was accepted before writes nothing: the first one comes back, as a duplicate.
        Raises Erased if that first one was erased; NameTaken for an alias that is another's.
        """

    async def settle(self, ws_id: str, epoch: int, after: int) -> list[AnyEvent]:
        """What was written behind `after`, once that is certain and will stay so.

        Waits for a commit that is still on its way. Raises NotOwner, and Unsettled where the
        store does not answer.
        """

    async def records(self, ws_id: str, after: int = 0, limit: int | None = None) -> list[AnyEvent]:
        """The journal behind `after`, in order: all of it, or the first `limit` records.

        Raises StoreError for a damaged record, and for one that only a newer version knows;
        UnknownWorkstream if it was erased meanwhile. One that never was has none.
        """

    async def ending(self, ws_id: str, correlation_id: str) -> TurnEnded | None:
        """How the turn of this message ended; None while it has not."""

    async def taker(self, correlation_id: str) -> str | None:
        """The workstream that has accepted this message; empty: it was erased since; None: it
        was never accepted."""

    async def row(self, ws_id: str) -> WorkstreamRow | None: ...

    async def rows(
        self, owner: str | None = None, *, after: Place | None = None, limit: int | None = None
    ) -> list[WorkstreamRow]:
        """Workstreams that are not closed, in the order of their creation: all of them, or the
        first `limit` behind a place."""

    async def states(self, owner: str) -> dict[str, int]:
        """How many workstreams that are not closed are in which state (empty: their summary
        names none). What does not occur is left out."""

    async def working(self) -> list[WorkstreamRow]:
        """Workstreams of every owner with a message that has not ended, by creation."""

    async def older(self, before: float) -> list[WorkstreamRow]:
        """Workstreams of every owner, closed ones too, that have no message open and no record
        since `before` (Unix seconds): the oldest first."""

    async def below(self, ws_id: str) -> list[WorkstreamRow]:
        """The sub-agents of a workstream, of every owner, closed ones too, by creation; those
        below them are theirs."""

    async def acquire(
        self, ws_id: str, owner: str, epoch: int | None = None, *, above: int = 0
    ) -> WorkstreamRow:
        """Make `owner` the one writer, under a raised epoch, which is more than `above` too.

        Raises UnknownWorkstream, and NotOwner if the row's epoch is not the one that was looked
        at (`epoch`; None: whatever it is).
        """

    async def erase(self, ws_id: str, epoch: int, below: Sequence[tuple[str, int]] = ()) -> None:
        """Delete a workstream with all its records, whatever its state; and those `below` it
        (ids with their epochs) in the same transaction.

        Of their correlation ids a hash is kept, so that none is accepted again. Raises
        UnknownWorkstream, and NotOwner if the epoch of a row is another: then all are there.
        """

    async def search(
        self, query: str, limit: int, ws_id: str = "", unless: Unless | None = None
    ) -> list[SearchHit]:
        """Where all words of the query were said (`Host.search`). `unless`: says which hits are
        left out, and others found in their place; it is called in another thread."""

    async def passage(self, ws_id: str, seq: int, part: int = 0) -> Passage | None:
        """A message that was found, whole."""

    async def sessions(self, limit: int, after: str = "") -> list[SessionInfo]:
        """A page of conversations, the newest first (`Host.sessions`)."""

    async def resolve(self, name: str, limit: int = 5, match: Match = "any") -> list[WorkstreamRow]:
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

    async def due_timers(self, now: float, limit: int) -> tuple[list[Timer], float]:
        """Active timers that are due, the earliest first; and the first due time after that (0:
        there is none)."""

    async def timers(self) -> list[Timer]:
        """Those that live, by their next time, those without one last."""

    async def timer(self, timer_id: str) -> Timer | None:
        """One; also for some days after it has ended."""

    async def swap_timer(self, timer: Timer, now: float) -> bool:
        """Keep this revision in the place of the one before it (none, for the first); False, and
        nothing is written, if another is there."""

    async def scrub(self, *, anew: bool = False) -> bool:
        """Make what was erased unreadable in the store's own files too. `anew`: write them anew
        for it, which reaches all and holds writes up for long where they are large.

        False: another process was reading; ask again later.
        """

    async def trouble(self) -> str:
        """Why it cannot be written, if the last that was asked of it failed for that and a
        write would still fail; empty: it is well, as far as is known."""

    async def aclose(self) -> None:
        """Finish what is being written, then close. Idempotent."""
