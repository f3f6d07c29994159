"""What a node takes over from one that is gone, in a store that both share.

The epoch in the row decides who may write, as ever: whoever is taken for gone and is not can do
no harm. Whether a node is gone is for the caller to say; this asks for the lock that a process
holds as long as its connection lasts. It runs nothing itself.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from turnstone.core.errors import NotOwner, UnknownWorkstream
from turnstone.core.manager import WorkstreamManager
from turnstone.core.store import Store

log = logging.getLogger(__name__)


class Heir:
    """That of one node. `store_id` names the store; `holds` says of a node whether a process of
    it holds its lock there, and `lives` whether it may be about to come back, too."""

    def __init__(
        self,
        store: Store,
        manager: WorkstreamManager,
        node_id: str,
        store_id: str,
        *,
        holds: Callable[[str], Awaitable[bool]],
        lives: Callable[[str], Awaitable[bool]],
    ) -> None:
        self.store_id = store_id
        self._store, self._manager, self._node_id = store, manager, node_id
        self._holds, self._lives = holds, lives

    async def taker(self, correlation_id: str) -> str:
        """The workstream that has accepted this message; empty: none in this store (any more)."""
        return await self._store.taker(correlation_id) or ""

    async def inherit(self, ws_id: str, former: str, above: int, *, sure: bool) -> int:
        """Be the owner of a workstream that `former` had; the epoch, which is more than `above`.

        0: it is not here, or another's, or `former` holds its lock still. `sure`: it is not asked
        about that. What is this node's already stays so. Raises StoreError.
        """
        row = await self._store.row(ws_id)
        if row is None:
            return 0
        if row.owner == self._node_id and row.epoch > above:
            return row.epoch
        if row.owner not in {self._node_id, former} and await self._lives(row.owner):
            return 0
        if row.owner == former and not sure and await self._holds(former):
            return 0
        try:
            taken = await self._store.acquire(ws_id, self._node_id, row.epoch, above=above)
        except (NotOwner, UnknownWorkstream):
            return 0  # another was quicker, or it was erased just now
        log.warning("workstream %s is taken over from node %s", ws_id, row.owner)
        return taken.epoch

    async def go_on(self, ws_id: str) -> None:
        """See to it that its open turn is worked on, if it has one."""
        await self._manager.go_on(ws_id)
