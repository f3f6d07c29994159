"""What others have left to a worker: earlier processes of its node, and nodes that are dead.

It looks for that, and hands each piece to the part of the worker whose it is. It takes no
message from Redis, and decides nothing about a turn.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from turnstone.core import events as ev
from turnstone.core.errors import NodeUnavailable
from turnstone.core.host import Host, WorkstreamInfo
from turnstone.mq import protocol as p
from turnstone.mq.approvals import Approvals
from turnstone.mq.errors import QueueBroken, QueueRefuses
from turnstone.mq.pump import Pumps
from turnstone.mq.work import TakenOver, Unfinished, Work
from turnstone.mq.worker_hands import NODE_PAUSE, Hands
from turnstone.mq.worker_heirs import Estate, Heirs
from turnstone.mq.worker_job import Job
from turnstone.mq.worker_link import Link
from turnstone.mq.worker_make import Maker
from turnstone.mq.worker_turns import Turns

log = logging.getLogger(__name__)

#: Seconds at most before a node that does not answer is asked again.
_LONGEST_PAUSE = 5.0


class LeftHere:
    """That of one worker. `doubts`: workstreams of which nobody knows whose their turns are, of
    the worker's fence. `saw` is told of questions that wait for an answer already."""

    def __init__(
        self,
        host: Host,
        work: Work,
        link: Link,
        estate: Estate | None,
        *,
        turns: Turns,
        maker: Maker,
        hands: Hands,
        pumps: Pumps,
        approvals: Approvals,
        doubts: set[str],
        saw: Callable[[ev.Event], Awaitable[None]],
    ) -> None:
        self._host, self._work, self._link, self._estate = host, work, link, estate
        self._turns, self._maker, self._hands = turns, maker, hands
        self._pumps, self._approvals = pumps, approvals
        self._doubts, self._saw = doubts, saw
        self._heirs = Heirs(work, link, estate, self._inherited) if estate else None
        self._forgotten = False  # Redis may have forgotten how messages ended here

    async def take_stock(self) -> None:
        """What the node has, and what earlier processes of it left unfinished."""
        for info in await self.until_node_answers():
            if await self._owner(info.id) in {"", self._work.node_id}:
                await self._maker.own(info.id)
        for left in await self._link.insist(self._work.unfinished):
            await self._go_on(left)
        for info in await self.until_node_answers():
            await self._watch_open(info)

    async def enter_again(self) -> None:
        """What this process has accepted, and the workstreams that it owns, for Redis may have lost
        them. Raises QueueUnavailable."""
        for ws_id, epoch in list(self._maker.epochs.items()):
            await self._enter(ws_id, partial(self._own, ws_id, epoch))
        for turn in self._turns:
            if turn.settled.is_set():  # otherwise its acceptance enters it
                cid = turn.correlation_id
                await self._enter(
                    cid, partial(self._work.stand, cid, turn.epoch, turn.raw, turn.lane)
                )
        self._forgotten = True

    async def tell_again(self) -> None:
        """What ended here while Redis lost its last moments is accepted there still, and nobody is
        at it any more: it is taken up, and its ending told once more."""
        if not self._forgotten:
            return
        self._forgotten = False
        for left in await self._link.insist(self._work.unfinished):
            if self._turns.get(left.correlation_id) is None:
                await self._go_on(left)

    async def _enter(self, name: str, step: Callable[[], Awaitable[object]]) -> None:
        try:
            await step()
        except (QueueRefuses, QueueBroken) as error:  # this one alone; its fence asks again
            log.warning("%s could not be entered again: %s", name, error)

    async def _own(self, ws_id: str, epoch: int) -> None:
        known = await self._work.own(ws_id, epoch)
        if known > epoch and not await self._work.owner(ws_id):  # it was forgotten, and is nobody's
            self._maker.epochs[ws_id] = await self._work.own(ws_id, known + 1)

    async def inherit(self) -> float | None:
        """Take over what dead nodes had of the store; seconds until the next look, if that is due
        before the next beat."""
        return await self._heirs.look() if self._heirs is not None else None

    async def adopt(self, ws_id: str) -> bool:
        """Whether a workstream that this node did not have is its own now: its node was forgotten,
        and shared the store."""
        epoch = await self._heirs.adopt(ws_id) if self._heirs is not None else 0
        if not epoch:
            return False
        assert self._estate is not None
        self._maker.epochs[ws_id] = epoch
        await self._estate.go_on(ws_id)
        return True

    async def until_node_answers(self) -> list[WorkstreamInfo]:
        """The workstreams of the node."""
        pause, waits = NODE_PAUSE, False
        while True:
            try:
                found = await self._host.list()
            except NodeUnavailable as error:
                if not waits:
                    log.warning("the worker waits for its node: %s", error)
                waits = True
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                if waits:
                    log.warning("the node answers its worker again")
                self._hands.node_up.set()
                return found

    async def _owner(self, ws_id: str) -> str:
        return await self._link.insist(lambda: self._work.owner(ws_id))

    async def _watch_open(self, info: WorkstreamInfo) -> None:
        """What an earlier process of this node, or another one, has left open in a workstream."""
        if info.state not in {"idle", "error"} or info.queued:
            self._doubts.add(info.id)
            await self._pumps.watch(info.id)
        if info.state == "attention":
            for question in await self._approvals.find(info.id):
                await self._saw(question)  # Redis has its event already

    async def _inherited(self, ws_id: str, taken: TakenOver) -> None:
        """A workstream of a dead node is this one's now."""
        assert self._estate is not None
        self._maker.epochs[ws_id] = taken.epoch
        for left in taken.mine:
            if self._turns.get(left.correlation_id) is None:
                await self._go_on(left)
        await self._estate.go_on(ws_id)
        for info in await self.until_node_answers():
            if info.id == ws_id:
                await self._watch_open(info)
        log.warning("workstream %s goes on here: its node is gone", ws_id)

    async def _go_on(self, left: Unfinished) -> None:
        """With a message that an earlier process of this node had accepted."""
        standing = await self._link.insist(
            lambda: self._work.stand(left.correlation_id, left.epoch, left.raw, left.lane)
        )
        if standing not in {"ok", "retry"}:
            return
        try:
            message = p.parse(left.raw)
            job = Job(message, left.correlation_id, left.epoch, left.lane, left.raw)
            await self._hands.carry(job)
        except Exception:  # a mistake of ours with one must not keep the worker from all others
            log.exception("message %s could not be gone on with", left.correlation_id)
