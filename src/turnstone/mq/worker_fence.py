"""The fence of a worker: before a turn's first effect, whether this node may have effects for it.

It decides by the queue's record of the message, and starts nothing.
"""

from __future__ import annotations

import asyncio
from typing import Literal, TypeAlias

from turnstone.mq.errors import QueueUnavailable
from turnstone.mq.work import Work
from turnstone.mq.worker_link import Link
from turnstone.mq.worker_turns import Turn, Turns

#: Seconds that a turn's first effect waits for the worker, and for Redis, to say that it may be.
_FENCE_WAIT = 10.0

#: Seconds between two looks whether a turn of the queue has come to this worker.
_LOOK = 0.05

#: Seconds after which all events of a turn that has ended have come: those of a workstream, and
#: what the node says of it, come on two ways.
_SETTLED = 5.0

Whose: TypeAlias = Literal["not the queue's", "another's", "coming"]


class Fencing:
    """That of one worker. `ready` is set once it knows what earlier processes have left.
    `shares`: the node may take up turns of other nodes, whose store it shares. `sure`: seconds
    after the last `beaten` for which nobody doubts the lease."""

    def __init__(
        self,
        work: Work,
        link: Link,
        turns: Turns,
        ready: asyncio.Event,
        *,
        shares: bool,
        sure: float,
    ) -> None:
        self._work, self._link, self._turns, self._ready = work, link, turns, ready
        self._shares, self._sure = shares, sure
        self.beaten = float("-inf")  # when the last beat was sent, on the loop's clock
        self.doubts: set[str] = set()  # workstreams in which an earlier process left turns open

    async def ask(self, correlation_id: str) -> bool:
        """True for what is not the queue's. Raises QueueUnavailable while nobody can say."""
        try:
            async with asyncio.timeout(_FENCE_WAIT):
                await self._ready.wait()
                turn = self._turns.get(correlation_id)
                while turn is None:
                    whose = await self.whose(correlation_id)
                    if whose != "coming":
                        return whose == "not the queue's"
                    await asyncio.sleep(_LOOK)
                    turn = self._turns.get(correlation_id)
                await turn.settled.wait()
                return turn.ours and await self._pass(turn)
        except TimeoutError:
            raise QueueUnavailable(
                f"Redis has not answered node {self._work.node_id} for {_FENCE_WAIT:.0f} s.",
                hint="Look whether it runs.",
            ) from None

    def rests(self, ws_id: str) -> None:
        """A workstream rests: what an earlier process left open there has ended."""
        if ws_id in self.doubts:
            loop = asyncio.get_running_loop()
            loop.call_later(_SETTLED, self.doubts.discard, ws_id)

    async def whose(self, correlation_id: str) -> Whose:
        """Of a turn that this worker does not know. It may be one of the queue all the same: one
        that the node has taken up from a dead process, an earlier one of its own or another
        node's, and whose message has come to nobody yet, or to another node."""
        if self._turns.superseded(correlation_id):
            return "another's"
        if not (self._shares or self._doubtful):
            return "not the queue's"
        try:
            state, node = await self._noted(correlation_id)
        except QueueUnavailable:
            return "not the queue's"  # and so it does not wait for Redis
        if not state:
            return "not the queue's"
        elsewhere = state != "queued" and node != self._work.node_id and not self._shares
        return "another's" if state in {"done", "dead"} or elsewhere else "coming"

    @property
    def _doubtful(self) -> bool:
        """Whether an earlier process may have left turns that nobody here knows yet."""
        return bool(self.doubts) or not self._ready.is_set()

    async def _noted(self, correlation_id: str) -> tuple[str, str]:
        if not self._doubtful:
            return await self._work.noted(correlation_id)
        return await self._link.insist(lambda: self._work.noted(correlation_id))

    async def _pass(self, turn: Turn) -> bool:
        cid, epoch = turn.correlation_id, turn.epoch
        passed = await self._link.insist(lambda: self._work.fence(cid, epoch))
        if not passed:
            # Redis may have lost the record; then the message stays on this node.
            standing = await self._link.insist(
                lambda: self._work.stand(cid, epoch, turn.raw, turn.lane)
            )
            passed = standing == "ok" and await self._link.insist(
                lambda: self._work.fence(cid, epoch)
            )
        if asyncio.get_running_loop().time() - self.beaten > self._sure:
            raise QueueUnavailable(
                f"Node {self._work.node_id} has not renewed its lease for {self._sure:.3g} s.",
                hint="Another node may have this message by now.",
            )
        return passed
