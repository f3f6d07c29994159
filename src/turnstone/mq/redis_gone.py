"""The step of `RedisWork` for nodes that were there and are gone: `Work.answer_gone`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from turnstone.mq import keys as limits
from turnstone.mq.keys import Keys
from turnstone.mq.taken import batched, log_dead
from turnstone.mq.work import SLICE


class RedisGone:
    """What `RedisWork` has of it."""

    keys: Keys
    _me: str
    _lost_after: float

    async def answer_gone(self) -> int:
        record = (limits.CID_TTL, limits.DEAD_MAX, limits.DEAD_RAW_MAX)
        values = (self._me, SLICE, self._lost_after, *record)
        moved, buried = await self._run("gone", [self.keys.stage], *values)
        for cid, reason in batched(buried):
            log_dead(cid.decode(errors="replace"), reason.decode(errors="replace"))
        return int(moved)

    async def _run(self, name: str, keys: Sequence[str], *values: Any) -> Any:
        raise NotImplementedError
