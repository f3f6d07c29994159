"""Take-over: what a dead node had of a store that this node shares goes on here.

The store's owner and epoch come first, then those of the queue, so that whoever dies in between
leaves nothing that the next look would not find. It runs no turn, and decides nothing about one.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

from turnstone.core.errors import StoreError
from turnstone.mq.work import Orphans, TakenOver, Work
from turnstone.mq.worker_link import Link

log = logging.getLogger(__name__)

#: Times that an epoch is raised for one take-over, where another node raises it too.
_ATTEMPTS = 3


class Estate(Protocol):
    """A node's side of it (`turnstone.core.heir.Heir`)."""

    store_id: str

    async def taker(self, correlation_id: str) -> str: ...
    async def inherit(self, ws_id: str, former: str, above: int, *, sure: bool) -> int: ...
    async def go_on(self, ws_id: str) -> None: ...


class Heirs:
    """Looks for what dead nodes have left. `resume` goes on with a workstream that is this
    node's now."""

    def __init__(
        self,
        work: Work,
        link: Link,
        estate: Estate,
        resume: Callable[[str, TakenOver], Awaitable[None]],
    ) -> None:
        self._work, self._link, self._estate = work, link, estate
        self._resume = resume

    async def look(self) -> float | None:
        """Take over what can be; seconds until the next look, if that is due before the next
        beat."""
        due, found = await self._link.insist(self._work.orphans)
        for left in found:
            if left.store in {"", self._estate.store_id}:
                try:
                    await self._take_from(left)
                except StoreError as error:
                    log.warning("the work of node %s cannot be taken over: %s", left.node_id, error)
        return due

    async def adopt(self, ws_id: str) -> int:
        """Be the owner of a workstream that the queue has forgotten, if nobody in the store has it
        who lives; its epoch, 0 if it is not to be had."""
        known = await self._link.insist(partial(self._work.own, ws_id, 0))
        try:
            epoch = await self._estate.inherit(ws_id, "", known, sure=False)
        except StoreError as error:
            log.warning("workstream %s cannot be taken on: %s", ws_id, error)
            return 0
        if epoch:
            await self._link.insist(partial(self._work.own, ws_id, epoch))
        return epoch

    async def _take_from(self, left: Orphans) -> None:
        made: dict[str, list[str]] = {}
        for cid, ws_id in left.accepted:
            # A message that made its workstream does not name it.
            name = ws_id or await self._estate.taker(cid)
            if name:
                made.setdefault(name, []).append(cid)
        for ws_id in dict.fromkeys([*made, *left.waiting]):
            await self._take(left, ws_id, made.get(ws_id, []))

    async def _take(self, left: Orphans, ws_id: str, made: list[str]) -> None:
        above = 0
        for _ in range(_ATTEMPTS):
            epoch = await self._estate.inherit(ws_id, left.node_id, above, sure=left.sure)
            if not epoch:
                return
            step = partial(self._work.take_over, ws_id, left.node_id, epoch, made)
            taken = await self._link.insist(step)
            if taken.outcome != "stale":
                break
            above = taken.epoch
        if taken.outcome == "taken":
            await self._resume(ws_id, taken)
