"""Takes a conversation back to an earlier point, or on from one in a new workstream.

What stood there is said by `core.rewinding`, from the journal; here it is read and recorded.
"""

from __future__ import annotations

import hashlib
from itertools import count

import msgspec

from turnstone.core import rewinding
from turnstone.core.engine import Engine
from turnstone.core.errors import InvalidRequest, UnknownWorkstream
from turnstone.core.events import ConversationSet, Event
from turnstone.core.host import Rewound, WorkstreamInfo
from turnstone.core.manager import WorkstreamManager
from turnstone.core.store import Store
from turnstone.core.store.base import PART


async def rewind(
    manager: WorkstreamManager, store: Store, ws_id: str, to: str, command_id: str = ""
) -> Rewound:
    """`Host.rewind`. `command_id`: of the command that asks for it."""
    if not to.strip():
        raise InvalidRequest("to: name the message to go back to.")
    async with manager.use(ws_id) as workstream:
        records = await store.records(ws_id)
        found = rewinding.before(records, to)

        def became() -> list[Event]:
            now = workstream.transcript.conversation
            record = rewinding.conversation_at(found, "rewound", now=now)
            return [msgspec.structs.replace(record, correlation_id=command_id)]

        await workstream.change_from(became, resting=True)
        return Rewound(message=rewinding.message_at(records, to))


async def fork(
    manager: WorkstreamManager,
    store: Store,
    engine: Engine,
    ws_id: str,
    at: str = "",
    command_id: str = "",
) -> WorkstreamInfo:
    """`Host.fork`. A workstream that is closed, or another node's, is only read.

    `command_id`: of the command that asks for it; asked again, it has the fork that it made.
    """
    if await store.row(ws_id) is None:
        raise UnknownWorkstream(
            f"There is no workstream {ws_id} in this store." if ws_id else "ws_id is missing.",
            hint="List them to see which there are.",
        )
    records, ids = await store.records(ws_id), engine.ids
    for number in count():
        new = _named(ws_id, command_id, number) if command_id else ids.workstream()
        created, first = rewinding.fork_of(records, at, ws_id, new, ids.session(), command_id)
        made = await manager.create_with(created, first)
        if made is None and command_id and await _made_by(store, new, ws_id, command_id):
            made = await manager.shown(new)
        if made is not None:
            return made
    raise AssertionError("there is always another number")


async def _made_by(store: Store, new: str, ws_id: str, command_id: str) -> bool:
    """Whether this is the fork that the command has made of a workstream."""
    return any(
        isinstance(record, ConversationSet)
        and (record.why, record.source, record.correlation_id) == ("forked", ws_id, command_id)
        for record in await store.records(new, limit=PART)
    )


def _named(ws_id: str, command_id: str, number: int) -> str:
    """An id for the fork, the same each time."""
    return hashlib.sha256(f"fork {ws_id} {command_id} {number}".encode()).hexdigest()[:8]
