"""The steps of `RedisWork` for work that asks for labels of its node: `Work.roused` and
`Work.answer_waiting`. What waits is put aside, and taken, by the script `claim` alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from turnstone.mq import keys as limits
from turnstone.mq.connection import PATIENCE, RedisAddress, asking
from turnstone.mq.keys import Keys
from turnstone.mq.taken import batched, log_dead
from turnstone.mq.work import SLICE


class RedisLabels:
    """What `RedisWork` has of these steps."""

    node_id: str
    labels: tuple[str, ...]
    keys: Keys
    _address: RedisAddress
    _me: str
    _unknown_after: float
    _rouser: Any  # a connection of its own: it blocks

    async def roused(self, wait: float) -> bool:
        name = self.keys.rouse(self.node_id)
        async with asking(self._address, wait + PATIENCE, f"BLPOP {name}"):
            # A lost hint costs a beat, no more.
            return await self._rouser.execute_command("BLPOP", name, wait) is not None

    async def answer_waiting(self) -> int:
        record = (limits.CID_TTL, limits.DEAD_MAX, limits.DEAD_RAW_MAX)
        values = (self._me, self.node_id, SLICE, self._unknown_after, *record)
        moved, buried = await self._run("waits", [self.keys.stage], *values)
        for cid, reason in batched(buried):
            log_dead(cid.decode(errors="replace"), reason.decode(errors="replace"))
        return int(moved)

    @property
    def _labelled(self) -> tuple[str]:
        """The node's labels, as the scripts take them."""
        return (" ".join(self.labels),)

    async def _run(self, name: str, keys: Sequence[str], *values: Any) -> Any:
        raise NotImplementedError
