"""Which workstreams of a node are sub-agents of which: found, taken along, waited for.

Reads rows and first records. Carries no turn out; what a sub-agent may is said elsewhere.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager

from turnstone.core import events as ev
from turnstone.core.awake import Awake
from turnstone.core.errors import NotOwner, UnknownWorkstream
from turnstone.core.store import Store, WorkstreamRow
from turnstone.core.sub_agents import Inherited
from turnstone.core.workstream import Workstream


class Family:
    """Implements `agents.Home` for one node. `use` is the manager's; `make` makes a workstream,
    and says False where there is one of its id."""

    def __init__(
        self,
        store: Store,
        awake: Awake,
        node_id: str,
        use: Callable[[str], AbstractAsyncContextManager[Workstream]],
        make: Callable[[ev.WsCreated], Awaitable[bool]],
    ) -> None:
        self.use = use
        self._store = store
        self._awake = awake
        self._node_id = node_id
        self._make = make

    async def open_agent(self, created: ev.WsCreated) -> bool:
        """Make the workstream of a sub-agent, or find it: then it belongs to whoever has the one
        above. False: the id is another's."""
        if await self._make(created):
            return True
        row = await self._store.row(created.ws_id)
        if row is None or not await self._is_agent(row, created.parent, created.parent_call):
            return False
        await self.take(row)
        return True

    async def take(self, row: WorkstreamRow) -> None:
        """Make a workstream this node's that was another's when its row was read; one that is
        by now is left as it is, under its epoch. Raises NotOwner: a third was quicker."""
        if row.owner == self._node_id:
            return
        try:
            await self._store.acquire(row.ws_id, self._node_id, row.epoch)
        except NotOwner:
            now = await self._store.row(row.ws_id)
            if now is None or now.owner != self._node_id:
                raise

    async def find_agent(self, parent: str, call_id: str, ids: Iterable[str]) -> str:
        """The first of these ids that is the sub-agent of this call; empty: there is none."""
        for ws_id in ids:
            row = await self._store.row(ws_id)
            if row is None:
                break
            if await self._is_agent(row, parent, call_id):
                return ws_id
        return ""

    async def _is_agent(self, row: WorkstreamRow, parent: str, call_id: str) -> bool:
        if row.summary.get("parent") != parent:
            return False
        first = await self._store.records(row.ws_id, limit=1)
        return any(isinstance(e, ev.WsCreated) and e.parent_call == call_id for e in first)

    async def ended(self, ws_id: str, correlation_id: str) -> ev.TurnEnded | None:
        """How the turn of a message ended, of closed workstreams too; None while it has not."""
        return await self._store.ending(ws_id, correlation_id)

    def passed_on(self, ws_id: str) -> Inherited:
        """What holds in the sub-agents of a workstream; nothing, where it is not awake."""
        workstream = self._awake.get(ws_id)
        return workstream.agents.passed_on() if workstream is not None else Inherited()

    async def waited_for(self, workstream: Workstream) -> bool:
        """Not of a sub-agent whose call is over: it was stopped, or lost its workstream above."""
        parent, call_id = workstream.parent
        if not parent:
            return True
        try:
            async with self.use(parent) as above:
                return above.agents.carries(call_id)
        except UnknownWorkstream:
            return False
