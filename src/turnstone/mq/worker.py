"""The queue's consumer of one node: takes messages from Redis, and carries each to its end.

The steps are those of `Work`, in the order that `docs/redis.md` describes: beat, two lanes,
claim, admit, accept into the node's journal, fence, done, reap, sweep. An outage of Redis stops
the taking and nothing else: turns that run go on, and what was accepted is told when it is
back. The worker knows a `Host` and a `Work`; it never decides anything about a turn.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from turnstone import __version__
from turnstone.core import events as ev
from turnstone.core.errors import TurnstoneError
from turnstone.core.host import Host
from turnstone.core.timers import Timers
from turnstone.mq.approvals import Approvals
from turnstone.mq.errors import AnotherWorker, QueueBroken, QueueUnavailable
from turnstone.mq.figures import Figures
from turnstone.mq.pump import NodeEvents, Pumps
from turnstone.mq.rights import Rights
from turnstone.mq.vitals import Vitals
from turnstone.mq.work import LEASE, Work
from turnstone.mq.worker_fence import Fencing
from turnstone.mq.worker_hands import TARGET_WAIT, Hands
from turnstone.mq.worker_heirs import Estate
from turnstone.mq.worker_jobs import Jobs
from turnstone.mq.worker_lanes import Lanes
from turnstone.mq.worker_left import LeftHere
from turnstone.mq.worker_link import Link
from turnstone.mq.worker_probe import Probe
from turnstone.mq.worker_room import RETRY, Room
from turnstone.mq.worker_tidy import Tidying
from turnstone.mq.worker_turns import Turns

log = logging.getLogger(__name__)

#: Turns of the shared list that a node runs at once, if nobody says otherwise.
SLOTS = 8

#: Beats that may be missing before nobody knows whether this process still has its lease, which
#: is that of three: no new effects are started then.
_SURE = 2


class Worker:
    """The worker of one node. `run` works until `aclose`.

    `slots`: shared turns at once. `approval_timeout`: seconds for answers to questions of queued
    turns, 0 for no limit. `auto_approve`: whether that wish of a sender is passed on. With
    `in_process` the node asks `fence` before effects; otherwise a message is bound to this node
    when it is taken. `metadata` is shown of the node in its heartbeat, with what `vitals` says
    of its machine and of the disk of `state`; the labels are those of `work`. `beat_every` is a third of
    the lease of `work`. `retry`: seconds after which a full node tries a message more. `estate`:
    the node's store, where dead nodes may have had workstreams that this one takes over.
    """

    def __init__(
        self,
        host: Host,
        work: Work,
        *,
        slots: int = SLOTS,
        approval_timeout: float = 300.0,
        auto_approve: bool = True,
        in_process: bool = True,
        metadata: dict[str, object] | None = None,
        state: Path | None = None,
        beat_every: float = LEASE / 3,
        target_wait: float = TARGET_WAIT,
        retry: float = RETRY,
        estate: Estate | None = None,
    ) -> None:
        self.node_id = work.node_id
        self.ready = asyncio.Event()
        self._host, self._work = host, work
        self._slots, self._beat_every = slots, beat_every
        self.figures = Figures()
        shown = {**(metadata or {}), **({"store": estate.store_id} if estate else {})}
        self._vitals = Vitals(shown, work.labels, state)
        self._link = Link(work.node_id, self.figures)
        self._turns = Turns()
        rights = Rights(auto_approve, work.keyring)
        self._space = Room(work, self._link, self._turns.changed, retry)
        self._jobs = Jobs(
            host,
            work,
            self._link,
            self._turns,
            self._space,
            rights=rights,
            figures=self.figures,
        )
        self._pumps = Pumps(host, work, self._link, self, self._spawn, self._jobs.maker.epochs)
        self._jobs.pumps = self._pumps
        self._approvals = Approvals(host, work, self._link, approval_timeout, rights)
        self._probe = None if in_process else Probe(host, beat_every)
        self._hands = Hands(
            work,
            self._link,
            self._jobs,
            self._turns.changed,
            self._spawn,
            probe=self._probe,
            target_wait=target_wait,
            figures=self.figures,
            rights=rights,
        )
        self._lanes = Lanes(work, self._link, self._hands, self._turns, self._space, slots)
        self._fencing = Fencing(
            work,
            self._link,
            self._turns,
            self.ready,
            shares=estate is not None,
            sure=_SURE * beat_every,
        )
        self._left_here = LeftHere(
            host,
            work,
            self._link,
            estate,
            turns=self._turns,
            maker=self._jobs.maker,
            hands=self._hands,
            pumps=self._pumps,
            approvals=self._approvals,
            doubts=self._fencing.doubts,
            saw=self.saw,
        )
        self._jobs.adopt = self._left_here.adopt
        self._tidier = Tidying(
            work,
            self._link,
            beat_every,
            estate.store_id if estate else "",
            left_here=self._left_here,
            hands=self._hands,
            space=self._space,
            lanes=self._lanes,
        )
        self._beats = 0
        self._rival: AnotherWorker | None = None
        self._tidying: asyncio.Task[None] | None = None
        self._leased = asyncio.Event()
        self._at_work: set[str] = set()  # workstreams, as the node's own events say
        self._tasks: set[asyncio.Task[None]] = set()
        self._group: asyncio.TaskGroup | None = None
        self._closing = False
        self._left = asyncio.Event()

    async def run(self) -> None:
        """Work until `aclose` or cancellation; once. Raises AnotherWorker if that has the seat
        before this one has begun; a worker that loses it later waits until it is free."""
        try:
            if not self._closing:
                async with asyncio.TaskGroup() as self._group:
                    self._spawn(self._beating())
                    self._spawn(self._working())
        except BaseExceptionGroup:
            if self._rival is None:
                raise
            raise self._rival from None
        finally:
            try:
                await self._work.aclose()
            except QueueUnavailable as error:
                log.warning("the lease of node %s could not be ended: %s", self.node_id, error)
            self._left.set()

    async def aclose(self) -> None:
        """Stop taking and telling. What the node has accepted stays its own."""
        self._closing = True
        if self._group is None:
            return  # `run` has not begun, and will do nothing but let go
        for task in list(self._tasks):
            task.cancel()
        await self._left.wait()

    @property
    def timers(self) -> Timers:
        """Those of the cluster that this worker works for."""
        return self._work.timers

    async def fence(self, correlation_id: str) -> bool:
        """Whether this node may have effects for a message (`turnstone.core.engine.Fence`).

        True for what is not the queue's. Raises QueueUnavailable while nobody can say.
        """
        return await self._fencing.ask(correlation_id)

    # The listener of the pumps.

    def interested(self, ws_id: str) -> bool:
        return bool(self._turns.of(ws_id)) or self._approvals.waits(ws_id)

    def works(self, ws_id: str) -> bool:
        return ws_id in self._at_work

    async def handles(self, correlation_id: str) -> bool:
        if self._turns.get(correlation_id) is not None:
            return True
        return await self._fencing.whose(correlation_id) != "not the queue's"

    async def saw(self, event: ev.Event) -> None:
        turn = self._turns.get(event.correlation_id)
        if turn is not None:
            turn.collect(event)
            self._vitals.saw(event)
            if (waited := turn.begins(event)) is not None:
                self.figures.waits.add(waited)
        match event:
            case ev.PlanAsked() if turn is not None and await self._permits_all(event.ws_id):
                await self._approvals.accept_plan(event)
            case ev.ApprovalAsked() | ev.PlanAsked():
                self._approvals.asked(event, expires=turn is not None)
            case ev.ApprovalAnswered() | ev.PlanAnswered():
                await self._approvals.answered(event.request_id)
            case ev.TurnEnded():
                self._approvals.forget(event.ws_id)
                self._turns.over(event.correlation_id)
                if turn is not None:
                    await self._jobs.end(turn)
                self._space.rests()
            case ev.WsClosed():
                self._approvals.forget(event.ws_id)

    async def _permits_all(self, ws_id: str) -> bool:
        """Whether a sender has permitted everything beforehand: that answers plans too, as 0.2
        had it (contract, section 3.7)."""
        try:
            view = await self._host.policy(ws_id)
        except TurnstoneError:
            return False
        return view.auto_approve or any(grant.tool == "*" for grant in view.grants)

    def missed(self, ws_id: str) -> None:
        turns = self._turns.of(ws_id)
        if turns:
            log.warning(
                "events of workstream %s were missed: what its turns did is read from the node",
                ws_id,
            )
        for turn in turns:
            self._spawn(self._jobs.catch_up(turn, self.saw))

    def lost(self, ws_id: str) -> None:
        log.warning("workstream %s is another node's now", ws_id)
        self._approvals.forget(ws_id)
        for turn in self._turns.of(ws_id):
            self._turns.supersede(turn)

    # The tasks.

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        assert self._group is not None
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _working(self) -> None:
        await self._leased.wait()
        await self._left_here.inherit()
        await self._tidier.reap()
        await self._left_here.take_stock()
        await self._left_here.inherit()
        self.ready.set()
        self._spawn(self._lanes.directed())
        self._spawn(self._lanes.shared(self._left_here.until_node_answers))
        if self._work.labels:
            self._spawn(self._lanes.roused())
        self._spawn(self._approvals.run())
        self._spawn(self._jobs.timing.run(self._beat_every))
        self._spawn(NodeEvents(self._host, self._work, self._link, on_event=self._node_event).run())

    async def _beating(self) -> None:
        """Keep the lease, and be the one who finds out that Redis is back."""
        loop = asyncio.get_running_loop()
        anew = False
        while True:
            if self._probe is not None:
                await self._probe.answers()
            sent = loop.time()
            self._beats += 1
            try:
                kept = await self._work.beat(self._shown())
                anew = self._leased.is_set() and (anew or not kept)
                if anew:  # before anything else goes on
                    await self._left_here.enter_again()
                    anew = False
            except (AnotherWorker, QueueUnavailable, QueueBroken) as error:
                if isinstance(error, AnotherWorker) and not self._leased.is_set():
                    self._rival = error
                    raise
                self._link.lost(error)
                await self._link.pause()
                continue
            self._fencing.beaten = self.figures.beaten = sent
            self._link.found()
            self._leased.set()
            if not kept:
                log.info("node %s has a new lease", self.node_id)
                self.figures.lease_losses += self.ready.is_set()
            if self.ready.is_set() and (self._tidying is None or self._tidying.done()):
                self._tidying = self._spawn(self._tidier.run())
            if await self._link.went_down(self._beat_every):
                await self._link.pause()

    def _shown(self) -> dict[str, object]:
        """The node's heartbeat."""
        return self._vitals.shown() | {
            "version": __version__,
            "boot": self._work.boot,
            "beats": self._beats,
            "slots": self._slots,
            "capacity": self._slots,
            "free": self._lanes.free,
            "full": self._space.full,
        }

    async def _node_event(self, event: ev.Event) -> bool:
        """What the node's own events mean here; whether others are told of this one."""
        match event:
            case ev.WsState() if event.state not in {"idle", "error"}:
                self._at_work.add(event.ws_id)
                self._pumps.wake(event.ws_id)
            case ev.WsState():
                self._at_work.discard(event.ws_id)
                self._fencing.rests(event.ws_id)
                self._space.rests()  # only now it may give its place to another
            case ev.WsCreated():
                if self._jobs.maker.announces(event.ws_id):
                    return False
                await self._jobs.maker.own(event.ws_id)
            case ev.WsClosed():
                self._at_work.discard(event.ws_id)
                self._fencing.rests(event.ws_id)
                self._space.freed()
                self._jobs.maker.forget(event.ws_id)
                await self._link.insist(lambda: self._work.disown(event.ws_id))
        return True
