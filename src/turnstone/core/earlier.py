"""The sessions that a workstream has been: `/new` makes it another one, in the same journal. Pure.

An earlier one is the journal up to where it was left. Nothing is read from a store or written here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from turnstone.core.events import ConversationSet, Event, EventId, WsCreated


class Held(NamedTuple):
    """`left`: the number of the record by which it became another one; 0: it is the one now."""

    session_id: str
    left: int = 0


def held(records: Iterable[Event]) -> list[Held]:
    """All of them, the first one first."""
    found: list[Held] = []
    for record in records:
        if isinstance(record, WsCreated | ConversationSet) and record.session_id:
            if found:
                found[-1] = Held(found[-1].session_id, EventId.parse(record.id).seq)
            found.append(Held(record.session_id))
    return found


def meant(name: str, ws_id: str, sessions: Sequence[Held]) -> list[Held]:
    """Those that this may mean: a whole id, or the beginning of one; that of the workstream means
    the one now. `sessions`: as `held` gives them."""
    whole = [one for one in sessions if one.session_id == name]
    begins = name.lower()
    return whole or [
        one
        for one in sessions
        if one.session_id.startswith(begins) or (not one.left and ws_id.startswith(begins))
    ]


def up_to(records: Iterable[Event], left: int) -> list[Event]:
    """The journal of one that was left there; all of it for the one now."""
    return [record for record in records if not left or EventId.parse(record.id).seq < left]
