"""Workstreams that messages make: under one id however often it is tried, told to everybody.

Decides what a new workstream is called, and nothing else about it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from dataclasses import dataclass
from functools import partial

from turnstone.core.host import CreateWorkstream, Host
from turnstone.mq import protocol as p
from turnstone.mq.work import Claimed, Lane, Work
from turnstone.mq.worker_link import Link

#: Seconds for which the turn of a new workstream waits for somebody who listens: a client of 0.2
#: subscribes only when it is told the workstream's id, and misses what was said before.
LISTENER_WAIT = 1.0
_LISTENER_LOOK = 0.01

#: Names that are tried for a new workstream, until one is free. A second is hardly ever needed.
_ATTEMPTS = 8

#: The form of a workstream's id (contract, section 0.1).
_WS_ID = re.compile(r"[0-9a-f]{8}")


@dataclass(frozen=True)
class Job:
    """One message that this node is to carry to its end. `claimed` is None for one that an
    earlier process of the node had accepted."""

    message: p.InboundMessage
    correlation_id: str
    epoch: int
    lane: Lane
    raw: bytes
    claimed: Claimed | None = None
    tries: int = 1

    @property
    def asks_for_new(self) -> bool:
        """It names a workstream that is to be made, if it is not there."""
        return json.loads(self.raw).get("create") is True

    @property
    def proposed_ws_id(self) -> str:
        """What our own clients would like the workstream to be called that this one makes. Its
        way through the queue is that of a message without a workstream."""
        proposed = json.loads(self.raw).get("new_ws_id")
        return proposed if isinstance(proposed, str) and _WS_ID.fullmatch(proposed) else ""


class Maker:
    """Makes workstreams on one node, and says that they are here. `epochs`: of those it said."""

    def __init__(self, host: Host, work: Work, link: Link, *, auto_approve: bool) -> None:
        self._host, self._work, self._link = host, work, link
        self._auto_approve = auto_approve
        self._announced: set[str] = set()
        self.epochs: dict[str, int] = {}

    def announces(self, ws_id: str) -> bool:
        """Whether this workstream, just made, is announced here, with the message that made it."""
        announced = ws_id in self._announced
        self._announced.discard(ws_id)
        return announced

    async def make(self, job: Job, message: p.SendMessage | p.CreateWorkstreamMessage) -> str:
        """The workstream that this message makes, told to everybody; the same one each time."""
        wanted = await self._new_id(job)
        self._announced.add(wanted)
        made = await self._host.create(
            CreateWorkstream(
                ws_id=wanted,
                name=message.name,
                auto_approve=message.auto_approve and self._auto_approve,
                auto_approve_tools=message.auto_approve_tools if self._auto_approve else [],
            )
        )
        await self.own(made.id)
        if job.claimed is not None:
            told = p.WorkstreamCreatedEvent(
                ws_id=made.id, correlation_id=job.correlation_id, name=made.name
            )
            await self._publish("global", told)
            told.extra["node_id"] = self._work.node_id
            await self._publish("cluster", told)
        return made.id

    async def _new_id(self, job: Job) -> str:
        """The id of a message's new workstream: made of the message's own, so that a second try
        finds what the first has made, and not one that is in use."""
        if job.asks_for_new:
            return str(getattr(job.message, "ws_id", ""))
        mine = {"", self._work.node_id} if job.tries > 1 or job.claimed is None else {""}
        wanted = job.proposed_ws_id or _derived(job.correlation_id, 0)
        for attempt in range(1, _ATTEMPTS):
            if await self._link.insist(partial(self._work.owner, wanted)) in mine:
                break
            wanted = _derived(job.correlation_id, attempt)
        return wanted

    async def own(self, ws_id: str) -> None:
        """Tell the cluster that this workstream is here."""
        link, work = self._link, self._work
        epoch = await link.insist(lambda: work.own(ws_id, 1))
        if await link.insist(lambda: work.owner(ws_id)) != work.node_id:
            epoch = await link.insist(lambda: work.own(ws_id, epoch + 1))
        self.epochs[ws_id] = epoch

    async def listener(self, ws_id: str) -> None:
        try:
            async with asyncio.timeout(LISTENER_WAIT):
                while not await self._link.insist(  # noqa: ASYNC110 - Redis tells nobody
                    lambda: self._work.listeners(ws_id)
                ):
                    await asyncio.sleep(_LISTENER_LOOK)
        except TimeoutError:
            return

    async def _publish(self, channel: str, event: p.OutboundEvent) -> None:
        message = event.to_json().encode()
        await self._link.insist(lambda: self._work.publish(channel, message))


def _derived(correlation_id: str, attempt: int) -> str:
    return hashlib.sha256(f"{correlation_id}/{attempt}".encode()).hexdigest()[:8]
