"""Takes a conversation back to an earlier point, or on from one in a new workstream.

What stood there is said by `core.rewinding`, from the journal; here it is read and recorded.
"""

from __future__ import annotations

import msgspec

from turnstone.core import rewinding
from turnstone.core.engine import Engine
from turnstone.core.errors import InvalidRequest, UnknownWorkstream
from turnstone.core.events import Event
from turnstone.core.host import Rewound, WorkstreamInfo
from turnstone.core.manager import WorkstreamManager
from turnstone.core.store import Store


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
    manager: WorkstreamManager, store: Store, engine: Engine, ws_id: str, at: str = ""
) -> WorkstreamInfo:
    """`Host.fork`. A workstream that is closed, or another node's, is only read."""
    if await store.row(ws_id) is None:
        raise UnknownWorkstream(
            f"There is no workstream {ws_id} in this store." if ws_id else "ws_id is missing.",
            hint="List them to see which there are.",
        )
    records, ids = await store.records(ws_id), engine.ids
    created, first = rewinding.fork_of(records, at, ws_id, ids.workstream(), ids.session())
    return await manager.create_with(created, first)
