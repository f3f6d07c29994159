"""What each kind of message does to the node, and what its sender is told (contract, 3.4).

A job ends in exactly one way: its turn is open, or its ending has been told and stored. Taking
messages from Redis, and giving them up, is the worker's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import msgspec

from turnstone.core import events as ev
from turnstone.core.errors import (
    NodeUnavailable,
    TooManyWorkstreams,
    TurnstoneError,
    UnknownWorkstream,
)
from turnstone.core.host import Host, SendMessage
from turnstone.mq import protocol as p
from turnstone.mq import wire
from turnstone.mq.approvals import drop_left
from turnstone.mq.figures import Figures
from turnstone.mq.pump import NODE_PAUSE, Pumps
from turnstone.mq.results import StoredResult
from turnstone.mq.rights import Rights
from turnstone.mq.work import Claimed, Work
from turnstone.mq.worker_cancel import NOTHING, STOPPED, Cancelling
from turnstone.mq.worker_job import Job
from turnstone.mq.worker_link import Link
from turnstone.mq.worker_make import Maker
from turnstone.mq.worker_room import Room
from turnstone.mq.worker_timers import Timing
from turnstone.mq.worker_turns import Turn, Turns

log = logging.getLogger(__name__)

#: What workers call themselves where a node notes who sent something.
SENDER = "queue"

#: Asks of a workstream whether it is there: what it says of a message that nobody has sent.
_NO_MESSAGE = "-"


class Jobs:
    """Does jobs on one node."""

    def __init__(
        self,
        host: Host,
        work: Work,
        link: Link,
        turns: Turns,
        room: Room,
        *,
        rights: Rights,
        figures: Figures,
    ) -> None:
        self._host, self._work, self._link, self._turns = host, work, link, turns
        self._room = room
        self._rights, self._figures = rights, figures
        self._cancelling = Cancelling(host, work, link, turns)
        self.timing = Timing(work.timers, link)
        self.pumps: Pumps  # given by the worker, whose listener needs the turns first
        self.adopt: Callable[[str], Awaitable[bool]]  # the same; see `LeftHere`
        self.maker = Maker(host, work, link, room, self._make_room)

    async def do(self, job: Job) -> None:
        """Carry it to its end, or its turn to its start. Raises NodeUnavailable."""
        message = job.message
        try:
            match message:
                case p.SendMessage() if message.timed:
                    await self._later(job, message)
                case p.SendMessage():
                    await self._send(job, message)
                case p.CreateWorkstreamMessage():
                    await self._create(job, message)
                case p.CloseWorkstreamMessage():
                    await self._close(job, message)
                case p.CommandMessage():
                    await self._command(job, message)
                case p.CancelMessage():
                    await self._cancel(job, message)
                case p.ApproveMessage() | p.PlanFeedbackMessage():
                    await self._respond(job, message.request_id)
                case p.ListWorkstreamsMessage() | p.HealthMessage() | p.ListNodesMessage():
                    await self._finish(job, "", [await self._report(message)])
                case p.ListTimersMessage() | p.CancelTimerMessage() | p.PauseTimerMessage():
                    await self._finish(job, "", [await self.timing.answer(message)])
                case _:
                    await self.refuse(job, f"A message of type {message.type!r} does nothing.")
        except NodeUnavailable:
            raise
        except TooManyWorkstreams as error:
            if not await self._room.refused(job):
                await self.refuse(job, str(error))
        except TurnstoneError as error:
            await self.refuse(job, str(error))

    async def elsewhere(self, claimed: Claimed) -> str:
        """The node that must do it, and not this one; empty for what this one may do."""
        return await self._cancelling.elsewhere(claimed)

    async def refuse(self, job: Job, why: str) -> None:
        """Tell the sender that this will not be done, and that it was all."""
        ws_id = str(getattr(job.message, "ws_id", ""))
        await self.let_go(ws_id)
        ack = p.AckEvent(ws_id=ws_id, correlation_id=job.correlation_id, status="error", detail=why)
        told = [ack, *wire.refusal(why, job.correlation_id, ws_id)]
        if ws_id:
            error = p.ErrorEvent(ws_id=ws_id, correlation_id=job.correlation_id, message=why)
            await self._publish("global", error)
        await self._finish(job, ws_id, told, StoredResult(outcome="refused", errors=[why]))

    async def let_go(self, ws_id: str) -> None:
        """Take back that this node owns a workstream, if the node has none of that name.

        A message makes its taker the owner of what it names, before anybody looks whether it is
        there; so this belongs to every end of a message that has made nothing.
        """
        if not ws_id:
            return
        try:
            there = await self._has(ws_id)
        except NodeUnavailable:
            log.warning("the owner of workstream %s is left: the node does not answer", ws_id)
            return
        if not there:
            await self._link.insist(lambda: self._work.disown(ws_id))

    async def _make_room(self) -> bool:
        return await self.pumps.make_room()

    async def _has(self, ws_id: str) -> bool:
        try:
            await self._host.knows(ws_id, _NO_MESSAGE)
        except UnknownWorkstream:
            return False
        return True

    async def _send(self, job: Job, message: p.SendMessage) -> None:
        fresh = not message.ws_id or job.asks_for_new
        ws_id = message.ws_id
        message, notice = self._rights.honoured(message, job.raw)
        if fresh:
            ws_id = await self.maker.make(job, message)
        turn = Turn(job.correlation_id, job.epoch, job.lane, job.raw, ws_id, message.message)
        self._turns.add(turn)
        start = partial(self._start, job, message, turn, fresh=fresh, notice=notice)
        try:
            try:
                await start()
            except UnknownWorkstream:
                if fresh or not await self.adopt(ws_id):
                    raise
                await start()
        except BaseException:
            self._turns.drop(turn)
            raise

    async def _start(
        self, job: Job, message: p.SendMessage, turn: Turn, *, fresh: bool, notice: str
    ) -> None:
        ws_id = turn.ws_id
        await self.pumps.watch(ws_id, fresh=fresh)
        knows = job.asks_for_new or job.proposed_ws_id
        if fresh and job.claimed is not None and not knows:
            await self.maker.listener(ws_id)
        accepted = await self._host.send(
            SendMessage(
                ws_id=ws_id,
                message=message.message,
                correlation_id=job.correlation_id,
                auto_approve=message.auto_approve,
                auto_approve_tools=message.auto_approve_tools,
                sender=SENDER,
            )
        )
        if not await self._accept(job):
            await self._say_who_has_it(turn)
            self._turns.supersede(turn)
            return
        if not accepted.duplicate:
            await self._publish(ws_id, p.AckEvent(ws_id=ws_id, correlation_id=job.correlation_id))
            await self._tell_notice(job, ws_id, notice)
        if accepted.ws_id != ws_id:
            await self._moved(turn, accepted.ws_id, useless=fresh and not knows)
        if accepted.duplicate:
            await self._recall(turn)
        turn.settled.set()
        if accepted.duplicate:
            await self._resumed(turn)

    async def _moved(self, turn: Turn, ws_id: str, *, useless: bool) -> None:
        """The journal has the message in another workstream, where its turn is: an earlier node had
        accepted it, and was lost. `useless`: nobody looks at what was made for it now."""
        made, turn.ws_id = turn.ws_id, ws_id
        await self.pumps.watch(ws_id)
        if useless:
            with contextlib.suppress(UnknownWorkstream):
                await self._host.close(made)

    async def _say_who_has_it(self, turn: Turn) -> None:
        """In the log, of a message that this try may not have."""
        standing = await self._link.insist(
            lambda: self._work.stand(turn.correlation_id, turn.epoch, turn.raw, turn.lane)
        )
        if standing == "retry":
            log.info(
                "message %s came more than once: a later copy goes on here", turn.correlation_id
            )
        elif standing in {"done", "dead"}:
            log.info("message %s has ended already", turn.correlation_id)
        else:
            log.warning("message %s is another node's now", turn.correlation_id)

    async def _recall(self, turn: Turn) -> None:
        """What an earlier process has told of the turn already."""
        seen = ""
        while page := await self._link.insist(partial(self._work.events, turn.ws_id, seen)):
            for _, envelope in page:
                event = _readable(envelope)
                if event is None or event.correlation_id != turn.correlation_id:
                    continue
                turn.collect(event)
                if isinstance(event, ev.ApprovalAnswered | ev.PlanAnswered):
                    await drop_left(self._work, self._link, event.request_id)
            seen = page[-1][0]
        # What was recorded last, before a process was killed, may never have come to Redis.
        with contextlib.suppress(UnknownWorkstream):  # closed just now
            for record in await self._host.steps(turn.ws_id, turn.correlation_id):
                turn.collect(record)

    async def _resumed(self, turn: Turn) -> None:
        """The journal had it already. If its turn has ended, and that was never told, tell it."""
        if turn.ended is not None:
            await self.end(turn)
            return
        ending = await self._host.ending(turn.ws_id, turn.correlation_id)
        if ending is None:
            return
        await self.pumps.caught_up(turn.ws_id, ev.EventId.parse(ending.id))
        if not self._turns.waits(turn):
            return
        turn.collect(ending)
        await self.end(turn)

    async def catch_up(self, turn: Turn, saw: Callable[[ev.Event], Awaitable[None]]) -> None:
        """Events of the turn were missed: look where it is. `saw` is told of its ending, if that
        has come meanwhile."""
        await turn.settled.wait()
        while self._turns.waits(turn):
            try:
                await self._recall(turn)
                ending = await self._host.ending(turn.ws_id, turn.correlation_id)
            except NodeUnavailable:  # the worker's probe tells of that
                await asyncio.sleep(NODE_PAUSE)
                continue
            except TurnstoneError as error:
                log.warning("what came of message %s is unknown: %s", turn.correlation_id, error)
                return
            if ending is not None and self._turns.waits(turn):
                await saw(ending)
            return

    async def end(self, turn: Turn) -> None:
        """Store what came of it, and tell its ending."""
        await turn.settled.wait()
        if turn.ended is None or self._turns.get(turn.correlation_id) is not turn:
            return
        final = [one.to_json().encode() for one in wire.outbound(turn.ended)]
        cid, epoch, result = turn.correlation_id, turn.epoch, turn.result().encode()
        step = lambda: self._work.done(cid, epoch, turn.ws_id, result, final)  # noqa: E731
        if not await self._link.insist(step):
            standing = await self._link.insist(
                lambda: self._work.stand(cid, epoch, turn.raw, turn.lane)
            )
            if standing == "ok":  # Redis had lost the record
                await self._link.insist(step)
        self._figures.done += 1
        self._turns.drop(turn)

    async def _create(self, job: Job, message: p.CreateWorkstreamMessage) -> None:
        message, notice = self._rights.honoured(message, job.raw)
        ws_id = await self.maker.make(job, message)
        await self._tell_notice(job, ws_id, notice)
        await self._finish(job, ws_id, [])

    async def _close(self, job: Job, message: p.CloseWorkstreamMessage) -> None:
        try:
            await self._host.close(message.ws_id)
        except UnknownWorkstream:
            if job.tries == 1 and job.claimed is not None:
                raise  # at a later try it is closed because of the first
            await self.let_go(message.ws_id)
        await self._finish(job, message.ws_id, [self._ok(job, message.ws_id)])

    async def _cancel(self, job: Job, message: p.CancelMessage) -> None:
        if not message.message_id and not message.ws_id:
            await self.refuse(job, "It names nothing to stop: give its message_id, or a ws_id.")
            return
        if not await self._cancelling.stop(message):
            await self.refuse(job, NOTHING)
            return
        ack = p.AckEvent(ws_id=message.ws_id, detail=STOPPED)
        await self._finish(job, message.ws_id, [ack], StoredResult(content=[STOPPED]))

    async def _command(self, job: Job, message: p.CommandMessage) -> None:
        """What it says goes to the workstream's readers with the node's events, and is stored."""
        if not await self._has(message.ws_id):
            raise UnknownWorkstream(f"There is no workstream {message.ws_id} on this node.")
        await self.pumps.watch(message.ws_id)
        told = await self._host.command(
            message.ws_id, message.command, command_id=job.correlation_id, by=SENDER
        )
        status, result = "ok", StoredResult(content=[told.text])
        if told.error:
            status, result = "error", StoredResult(outcome="refused", errors=[told.text])
        ack = p.AckEvent(ws_id=message.ws_id, status=status, detail=told.text)
        await self._finish(job, message.ws_id, [ack], result)

    async def _later(self, job: Job, message: p.SendMessage) -> None:
        """A timer is made of it: that is its end, and each run is a message of its own."""
        ws_id = message.ws_id
        if ws_id and not await self._has(ws_id):
            raise UnknownWorkstream(f"There is no workstream {ws_id} on this node.")
        message, notice = self._rights.honoured(message, job.raw)
        text = f"{await self.timing.made(message, job.correlation_id)} {notice}".strip()
        ack = p.AckEvent(ws_id=ws_id, detail=text)
        await self._finish(job, ws_id, [ack], StoredResult(outcome="timer", content=[text]))

    async def _respond(self, job: Job, request_id: str) -> None:
        if not request_id:
            await self.refuse(job, "The answer names no question: its request_id is empty.")
            return
        await self._link.insist(lambda: self._work.respond(request_id, job.raw))
        await self._finish(job, "", [])

    async def _report(self, message: p.InboundMessage) -> p.OutboundEvent:
        if isinstance(message, p.ListWorkstreamsMessage):
            found = msgspec.to_builtins(await self._host.list())
            return p.WorkstreamListEvent(workstreams=found)
        if isinstance(message, p.HealthMessage):
            data = msgspec.to_builtins(await self._host.health())
            return p.HealthResponseEvent(data=data)
        return p.NodeListEvent(nodes=await self._link.insist(self._work.nodes))

    def _ok(self, job: Job, ws_id: str) -> p.OutboundEvent:
        return p.AckEvent(ws_id=ws_id, correlation_id=job.correlation_id)

    async def _accept(self, job: Job) -> bool:
        claimed = job.claimed
        if claimed is None:
            return True
        accepted = await self._link.insist(lambda: self._work.accept(claimed, job.epoch))
        self._figures.accepted += accepted
        return accepted

    async def _finish(
        self,
        job: Job,
        ws_id: str,
        told: Sequence[p.OutboundEvent],
        result: StoredResult | None = None,
    ) -> None:
        """The end of a message that has no turn: told on its channel, and stored."""
        kept = result or StoredResult(outcome="done")
        kept.correlation_id, kept.ws_id = job.correlation_id, ws_id
        for one in told:
            one.correlation_id = one.correlation_id or job.correlation_id
        final = [one.to_json().encode() for one in told]
        if await self._accept(job):
            self._figures.done += await self._link.insist(
                lambda: self._work.done(job.correlation_id, job.epoch, ws_id, kept.encode(), final)
            )

    async def _tell_notice(self, job: Job, ws_id: str, notice: str) -> None:
        if notice:
            info = p.InfoEvent(ws_id=ws_id, correlation_id=job.correlation_id, message=notice)
            await self._publish(ws_id, info)

    async def _publish(self, channel: str, event: p.OutboundEvent) -> None:
        message = event.to_json().encode()
        await self._link.insist(lambda: self._work.publish(channel, message))


def _readable(envelope: bytes) -> ev.Event | None:
    """An event of the stream; None for one of a newer version."""
    try:
        return ev.decode(envelope)
    except msgspec.DecodeError as error:
        log.warning("an event in the stream cannot be read, and is left out: %s", error)
        return None
