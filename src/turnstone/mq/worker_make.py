"""Workstreams that messages make: under one id however often it is tried, told to everybody.

Decides what a new workstream is called, and nothing else about it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from functools import partial

from turnstone.core.errors import NodeUnavailable, TooManyWorkstreams, TurnstoneError
from turnstone.core.host import CreateWorkstream, Host, WorkstreamInfo
from turnstone.mq import protocol as p
from turnstone.mq.work import Work
from turnstone.mq.worker_job import Job
from turnstone.mq.worker_link import Link
from turnstone.mq.worker_room import Room

#: Seconds for which the turn of a new workstream waits for somebody who listens: a client of 0.2
#: subscribes only when it is told the workstream's id, and misses what was said before.
LISTENER_WAIT = 1.0
_LISTENER_LOOK = 0.01

#: Names that are tried for a new workstream, until one is free. A second is hardly ever needed.
_ATTEMPTS = 8


class Maker:
    """Makes workstreams on one node, and says that they are here. `epochs`: of those it said.
    `make_room` is asked where the node is full: whether it has let go of one."""

    def __init__(
        self,
        host: Host,
        work: Work,
        link: Link,
        room: Room,
        make_room: Callable[[], Awaitable[bool]],
    ) -> None:
        self._host, self._work, self._link, self._room = host, work, link, room
        self._make_room = make_room
        self._announced: dict[str, int] = {}  # and the refusals before it was asked for
        self.epochs: dict[str, int] = {}

    def announces(self, ws_id: str) -> bool:
        """Whether this workstream, just made, is announced here, with the message that made it."""
        refusals = self._announced.pop(ws_id, None)
        if refusals is not None:
            self._room.made(refusals)
        return refusals is not None

    def forget(self, ws_id: str) -> None:
        """A workstream was closed."""
        self._announced.pop(ws_id, None)
        self.epochs.pop(ws_id, None)

    async def make(self, job: Job, message: p.SendMessage | p.CreateWorkstreamMessage) -> str:
        """The workstream that this message makes, told to everybody; the same one each time."""
        wanted = await self._new_id(job)
        request = CreateWorkstream(
            ws_id=wanted,
            name=message.name,
            auto_approve=message.auto_approve,
            auto_approve_tools=message.auto_approve_tools,
        )
        self._announced[wanted] = self._room.refusals
        try:
            made = await self._create(request)
        except NodeUnavailable:
            raise  # it may have been made
        except TurnstoneError:
            self._announced.pop(wanted, None)
            raise
        await self.own(made.id)
        if job.claimed is not None:
            told = p.WorkstreamCreatedEvent(
                ws_id=made.id, correlation_id=job.correlation_id, name=made.name
            )
            await self._publish("global", told)
            told.extra["node_id"] = self._work.node_id
            await self._publish("cluster", told)
        return made.id

    async def _create(self, request: CreateWorkstream) -> WorkstreamInfo:
        while True:
            try:
                return await self._host.create(request)
            except TooManyWorkstreams:
                if not await self._make_room():
                    raise

    async def _new_id(self, job: Job) -> str:
        """The id of a message's new workstream: made of the message's own, so that a second try
        finds what the first has made, and not one that is in use."""
        if job.asks_for_new:
            return str(getattr(job.message, "ws_id", ""))
        if job.made_ws_id:  # asked again, for the node did not answer: it may have it already
            return job.made_ws_id
        mine = {"", self._work.node_id} if job.tries > 1 or job.claimed is None else {""}
        wanted = job.proposed_ws_id or _derived(job.correlation_id, 0)
        for attempt in range(1, _ATTEMPTS):
            if await self._link.insist(partial(self._work.owner, wanted)) in mine:
                break
            wanted = _derived(job.correlation_id, attempt)
        job.made_ws_id = wanted
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
