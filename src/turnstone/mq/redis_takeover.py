"""The steps of `RedisWork` for a node without room, and for what dead nodes have left:
`Work.glance`, `Work.orphans`, `Work.take_over` and `Work.holder`. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from turnstone.mq import keys as limits
from turnstone.mq.keys import Keys
from turnstone.mq.taken import claimed, unfinished
from turnstone.mq.work import SLICE, Claimed, Orphans, TakenOver

#: Shares of the grace of a node after which it is gone for sure: before its work is anybody's.
SURE = 2 / 3


class RedisTakeOver:
    """What `RedisWork` has of these steps."""

    node_id: str
    keys: Keys
    _me: str
    _lease: float
    _grace: float
    _lists: dict[Any, str]

    async def glance(self) -> list[Claimed]:
        keys = [self.keys.stage, self.keys.inbound, self._lists["shared"]]
        taken = self._leased(await self._run("glance", keys, self._me, SLICE))
        return [claimed("shared", entry) for entry in taken]

    async def orphans(self) -> tuple[float | None, list[Orphans]]:
        ttl = max(limits.NODE_TTL, round(self._lease))
        values = (self._me, self.node_id, self._lease, ttl, SURE * self._grace, SLICE)
        due, nodes = await self._run("orphans", [self.keys.alive, self.keys.seen], *values)
        seconds = float(due)
        return (None if seconds < 0 else seconds), [_orphans(*node) for node in nodes]

    async def take_over(
        self, ws_id: str, former: str, epoch: int, made: Sequence[str] = ()
    ) -> TakenOver:
        keys = [self.keys.owner(ws_id), self.keys.epoch(ws_id), self.keys.alive]
        values = (self._me, self.node_id, former, epoch, ws_id, limits.CID_TTL, *made)
        outcome, known, *found = self._leased(await self._run("takeover", keys, *values))
        left = found[0] if found else []
        mine = [unfinished(*left[i : i + 3]) for i in range(0, len(left), 3)]
        return TakenOver(outcome.decode(), int(known), tuple(mine))

    async def holder(self, correlation_id: str) -> str:
        record = self.keys.message(correlation_id)
        state, node = await self._ask("HMGET", record, "s", "n")
        return (node or b"").decode() if state in {b"claimed", b"accepted"} else ""

    async def noted(self, correlation_id: str) -> tuple[str, str]:
        record = self.keys.message(correlation_id)
        state, node = await self._ask("HMGET", record, "s", "n")
        return (state or b"").decode(), (node or b"").decode()

    def _leased(self, found: Any) -> Any:
        raise NotImplementedError

    async def _run(self, name: str, keys: Sequence[str], *values: Any) -> Any:
        raise NotImplementedError

    async def _ask(self, *command: Any) -> Any:
        raise NotImplementedError


def _orphans(
    node: bytes, store: bytes, sure: int, accepted: list[bytes], waiting: list[bytes]
) -> Orphans:
    return Orphans(
        node.decode(errors="replace"),
        store.decode(errors="replace"),
        bool(sure),
        tuple(_pairs(accepted)),
        tuple(ws_id.decode() for ws_id in waiting),
    )


def _pairs(values: list[bytes]) -> Iterator[tuple[str, str]]:
    for cid, ws_id in zip(values[::2], values[1::2], strict=True):
        yield cid.decode(errors="replace"), ws_id.decode()
