"""Carries a node's events to Redis: each to its workstream's stream and channel, in order, once.

One task for each workstream that is awake, and one for the node's own events. An event of the
stream keeps its id, so that a pump goes on where an earlier one ended, after an outage of Redis
or a restart of the process. It decides nothing; the ending of a turn of the queue is handed to
whoever opened it, in its place among the other events.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import aclosing
from typing import Any, Protocol

from turnstone.core import events as ev
from turnstone.core.errors import TurnstoneError, UnknownWorkstream
from turnstone.core.host import Host
from turnstone.core.summary import Summary
from turnstone.mq import wire
from turnstone.mq.outbound import OutboundEvent, StateChangeEvent
from turnstone.mq.work import Work
from turnstone.mq.worker_link import Link

log = logging.getLogger(__name__)

#: Seconds without an event after which a pump ends, if nobody's turn or question is open.
IDLE = 30.0

#: Seconds after a turn for which a pump stays even if its place is needed: what the node says of
#: the workstream and of itself comes on two ways.
LINGER = 0.2

#: Seconds before a node that did not answer is asked again.
NODE_PAUSE = 1.0

#: Seconds between two looks at how far a pump is; only a start does that.
_LOOK = 0.05

#: Where a workstream that was just made begins: behind the record that made it.
BEGINNING = ev.EventId(1)

#: Events that change a workstream's state, as 0.2 showed it on the workstream's channel too.
_MOVES = (
    ev.StepStarted,
    ev.ApprovalAsked,
    ev.ApprovalAnswered,
    ev.PlanAsked,
    ev.PlanAnswered,
    ev.CallsDecided,
    ev.ToolStarted,
    ev.TurnEnded,
)

#: The parts of a snapshot. They tell how things stand, and did not happen now.
_SNAPSHOT = (ev.Connected, ev.History, ev.Truncated)

#: What waits for an answer: told again by whoever comes to follow.
_QUESTIONS = (ev.ApprovalAsked, ev.PlanAsked)

Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


class Listener(Protocol):
    """Who has an interest in the events, besides Redis. Called in order, and waited for."""

    def interested(self, ws_id: str) -> bool:
        """Whether something of this workstream is still open."""

    def works(self, ws_id: str) -> bool:
        """Whether the node has said that it is at work, and not yet that it rests."""

    async def handles(self, correlation_id: str) -> bool:
        """Whether the ending of this turn is told by `saw`, or elsewhere, and not by the pump."""

    async def saw(self, event: ev.Event) -> None:
        """An event that is in the stream now."""

    def missed(self, ws_id: str) -> None:
        """Events of it were missed, and will not come: the node was away."""

    def lost(self, ws_id: str) -> None:
        """The workstream is another node's now."""


class Pumps:
    """The pumps of one worker, one for each workstream that is awake. `epochs`: of those that
    are this node's."""

    def __init__(
        self,
        host: Host,
        work: Work,
        link: Link,
        listener: Listener,
        spawn: Spawn,
        epochs: Mapping[str, int],
    ) -> None:
        self.host, self.work, self.link, self.listener = host, work, link, listener
        self.epochs = epochs
        self._spawn = spawn
        self._pumps: dict[str, _Pump] = {}

    async def watch(self, ws_id: str, *, fresh: bool = False) -> None:
        """From when this returns, no event of the workstream is missed by Redis.

        `fresh`: it was made just now, and everything since counts.
        """
        pump = self._pumps.get(ws_id)
        if pump is None:
            pump = self._pumps[ws_id] = _Pump(self, ws_id, fresh=fresh)
            self._spawn(pump.run())
        pump.touched = True
        await pump.ready.wait()

    def wake(self, ws_id: str) -> None:
        """The same, for who does not need to wait."""
        if ws_id in self._pumps:
            self._pumps[ws_id].touched = True
        else:
            self._spawn(self.watch(ws_id))

    async def make_room(self) -> bool:
        """Let go of a workstream that rests, and of which all is in Redis; False: there is none.

        A node puts none to sleep that is followed.
        """
        for pump in list(self._pumps.values()):
            if pump.let_go():
                await pump.over.wait()
                return True
        return False

    async def caught_up(self, ws_id: str, place: ev.EventId) -> None:
        """Wait until everything up to this place is in Redis."""
        while (pump := self._pumps.get(ws_id)) is not None and not pump.has(place):  # noqa: ASYNC110 - a start only
            await asyncio.sleep(_LOOK)

    def ended(self, ws_id: str, pump: _Pump) -> None:
        if self._pumps.get(ws_id) is pump:  # and not the next one already
            del self._pumps[ws_id]


class _Pump:
    """One workstream's. `ready` is set when its place among the events is known, `over` when it
    follows them no more."""

    def __init__(self, pumps: Pumps, ws_id: str, *, fresh: bool) -> None:
        self.ready = asyncio.Event()
        self.over = asyncio.Event()
        self.touched = True
        self._pumps = pumps
        self._ws_id = ws_id
        self._fresh = fresh
        self._after: ev.EventId | None = None
        self._state = ""
        self._rests = 0.0  # since when, on the loop's clock; 0: it does not
        self._silence: asyncio.Timeout | None = None  # while the next event is waited for
        self._asked = False  # to let go

    def let_go(self) -> bool:
        """End soon, if all there was is in Redis and nothing is open; False: it is needed, or
        was asked before."""
        if self._silence is None or not self._rests or self._asked or self._open():
            return False
        self._asked = True
        self._silence.reschedule(max(self._rests + LINGER, asyncio.get_running_loop().time()))
        return True

    def _open(self) -> bool:
        listener = self._pumps.listener
        return listener.interested(self._ws_id) or listener.works(self._ws_id)

    def has(self, place: ev.EventId) -> bool:
        return self._after is not None and self._after >= place

    async def run(self) -> None:
        pumps = self._pumps
        try:
            self._after = await self._place()
            if self._after is not None:
                self.ready.set()
            while await self._follow():
                pass
        finally:
            pumps.ended(self._ws_id, self)
            self.ready.set()
            self.over.set()

    async def _place(self) -> ev.EventId | None:
        """Behind what Redis has already; None: where the workstream is now."""
        last = await self._pumps.link.insist(lambda: self._pumps.work.last_event(self._ws_id))
        if last:
            return ev.EventId.parse(last)
        return BEGINNING if self._fresh else None

    async def _follow(self) -> bool:
        """Carry events until there is nothing to wait for; False then."""
        events = self._pumps.host.follow(self._ws_id, self._after)
        try:
            async with aclosing(events):  # type: ignore[type-var]
                while True:
                    async with asyncio.timeout(IDLE) as self._silence:
                        event = await anext(events)
                    self._silence, self._asked = None, False
                    if not await self._carry(event) or isinstance(event, ev.WsClosed):
                        return False
        except TimeoutError:
            self._silence = None
            return self._wanted()
        except (StopAsyncIteration, UnknownWorkstream):
            return False
        except TurnstoneError as error:
            log.warning("the events of workstream %s stopped: %s", self._ws_id, error)
            await asyncio.sleep(NODE_PAUSE)
            return True

    def _wanted(self) -> bool:
        """Whether to go on after a silence. Not awaited, so that no wish falls in between."""
        if self._asked:
            wanted = self._open()
        else:
            wanted = self.touched or self._pumps.listener.interested(self._ws_id)
            self.touched = False
        self._asked = False
        if not wanted:
            self._pumps.ended(self._ws_id, self)
        return wanted

    async def _carry(self, event: ev.Event) -> bool:
        """Pass one event on; False if the workstream is another node's now."""
        place = ev.EventId.parse(event.id)
        old = self._after is not None and place <= self._after
        news = not isinstance(event, _SNAPSHOT) and (not old or isinstance(event, _QUESTIONS))
        if news:  # and not how things stand, nor text that is in Redis, or will come once more
            if await self._emit(event) < 0:
                self._pumps.listener.lost(self._ws_id)
                return False
            await self._pumps.listener.saw(event)
        self._after = max(self._after or place, place)
        if isinstance(event, ev.Truncated):
            self._pumps.listener.missed(self._ws_id)
        rests = isinstance(event, ev.TurnEnded) and event.ends_turn
        self._rests = asyncio.get_running_loop().time() if rests else 0.0
        self.ready.set()
        return True

    async def _emit(self, event: ev.Event) -> int:
        pumps = self._pumps
        told = [message.to_json().encode() for message in await self._told(event)]
        envelope, epoch = ev.encode(event), pumps.epochs.get(self._ws_id, 0)
        return await pumps.link.insist(
            lambda: pumps.work.emit(self._ws_id, event.id, envelope, told, epoch)
        )

    async def _told(self, event: ev.Event) -> list[OutboundEvent]:
        """The 0.2 spellings, with the change of state in its place."""
        told = [one for one in wire.outbound(event) if "ws" in wire.channels(one)]
        if isinstance(event, ev.Error) and event.code == "turn_failed":
            told = []  # the ending that follows says it
        ends = isinstance(event, ev.TurnEnded)
        if ends and await self._pumps.listener.handles(event.correlation_id):
            told = []
        if isinstance(event, _MOVES):
            state = Summary().after(event).state
            if state != self._state:
                self._state = state
                told.insert(0, StateChangeEvent(ws_id=self._ws_id, state=state))
        return told


class NodeEvents:
    """The node's own events: states, creations, renames and closings of its workstreams."""

    def __init__(
        self,
        host: Host,
        work: Work,
        link: Link,
        *,
        on_event: Callable[[ev.Event], Awaitable[bool]],
    ) -> None:
        self._host, self._work, self._link = host, work, link
        self._on_event = on_event

    async def run(self) -> None:
        """Tell the channels `global` and `cluster`, for ever. `on_event` is asked first; where
        it says False, nothing is told."""
        after: ev.EventId | None = None
        while True:
            try:
                async for event in self._host.follow_all(after):
                    after = ev.EventId.parse(event.id) if event.id else after
                    if await self._on_event(event):
                        await self._tell(event)
            except TurnstoneError as error:
                log.warning("the events of the node stopped: %s", error)
            await asyncio.sleep(NODE_PAUSE)

    async def _tell(self, event: ev.Event) -> None:
        for told in wire.outbound(event, self._work.node_id):
            message = told.to_json().encode()
            for channel in wire.channels(told):
                if channel != "ws":
                    await self._publish(channel, message)

    async def _publish(self, channel: str, message: bytes) -> None:
        await self._link.insist(lambda: self._work.publish(channel, message))
