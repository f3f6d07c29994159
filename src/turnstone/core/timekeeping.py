"""Keeps the timers of a node and sends what is due: one task, that sleeps until the next time.

A run is sent as an ordinary message before the timer is moved on. Cut off in between, it is sent
again under the same correlation id, which the journal takes once. When something is due is for
`core.timers` to say.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from math import inf

import msgspec

from turnstone.core.clock import Clock, Ids
from turnstone.core.errors import (
    InvalidRequest,
    NotOwner,
    StoreError,
    TooManyWorkstreams,
    TurnstoneError,
    UnknownWorkstream,
)
from turnstone.core.host import CreateWorkstream, Host, SendMessage
from turnstone.core.store import Store
from turnstone.core.timers import (
    Due,
    NewTimer,
    Timer,
    TimerAction,
    Timers,
    altered,
    fire,
    run_id,
    set_up,
    unknown,
)

log = logging.getLogger(__name__)

#: Seconds between two looks, at most: other processes make timers too, and clocks are set.
LOOK = 20.0

#: Timers that are looked at in one step.
BATCH = 100

#: What a node calls the sender of runs.
SENDER = "timer"

#: Workstreams that are tried for a run until one is free. A second is hardly ever needed.
_ATTEMPTS = 8

#: How often a change is tried that meets another of the same timer.
_TRIES = 16


async def fire_due(timers: Timers) -> float:
    """Send all that is due; seconds until something is again (infinite: nothing is set).

    None is late because there are many, and one that cannot be run here stops no other.
    """
    due = await timers.due()
    began, skip, moved = due.now, 0, False
    while True:
        for timer in due.timers:
            if await _fired(timers, timer, due.now, began):
                moved = True
            else:
                skip += 1
        skip += due.left_out
        if not due.more:
            if not (skip and moved):
                return due.next - due.now if due.next else inf
            # Another node may have moved what was skipped, and others came into its place.
            skip, moved = 0, False
        due = await timers.due(skip)


async def _fired(timers: Timers, timer: Timer, now: float, began: float) -> bool:
    """Send one timer's runs; False if it stays as it was, or another has moved it."""
    try:
        runs, after = fire(timer, now, began)
    except InvalidRequest as error:  # it was made where more time zones are known
        log.error("timer %s cannot be run here: %s", timer.timer_id, error)
        return False
    swapped = await timers.swap(after, runs)
    if swapped and len(runs) > 1:
        log.warning("timer %s: %d runs were missed, and are made", timer.timer_id, len(runs))
    return swapped


async def keep(timers: Timers, wanted: NewTimer) -> Timer:
    """Make a timer; the one that is there, if it was made before. Raises InvalidRequest, also
    for an id that another one has."""
    timer = set_up(wanted, (await timers.due()).now)
    if await timers.swap(timer):
        return timer
    found = await timers.timer(timer.timer_id)
    if found is None or any(getattr(found, f) != getattr(timer, f) for f in _GIVEN):
        raise InvalidRequest(f"timer_id: {timer.timer_id!r} is that of another timer.")
    return found


async def alter(timers: Timers, timer_id: str, action: TimerAction) -> Timer:
    """Pause, resume or cancel one. Raises UnknownTimer, and InvalidRequest if it is over."""
    for _ in range(_TRIES):
        found = await timers.timer(timer_id)
        if found is None:
            raise unknown(timer_id)
        after = altered(found, action, (await timers.due()).now)
        if after == found or await timers.swap(after):
            return after
    raise InvalidRequest(f"Timer {timer_id} changes all the time.", hint="Try again.")


_GIVEN = NewTimer.__struct_fields__


class StoreTimers:
    """Implements `Timers` in a node's store; runs are sent to that node."""

    def __init__(self, store: Store, host: Host, clock: Clock) -> None:
        self._store, self._host, self._clock = store, host, clock

    async def due(self, skip: int = 0) -> Due:
        now = self._clock.now()
        found, following = await self._store.due_timers(now, skip + BATCH)
        return Due(now, found[skip:], following, more=len(found) == skip + BATCH)

    async def timers(self) -> list[Timer]:
        return await self._store.timers()

    async def timer(self, timer_id: str) -> Timer | None:
        return await self._store.timer(timer_id)

    async def swap(self, timer: Timer, runs: Sequence[float] = ()) -> bool:
        if runs:
            found = await self._store.timer(timer.timer_id)
            if found is None or found.revision != timer.revision - 1:
                return False
        for due in runs:
            try:
                await self._send(timer, due)
            except (TooManyWorkstreams, NotOwner) as error:
                log.warning("timer %s waits with its run: %s", timer.timer_id, error)
                return False
            except StoreError:
                raise
            except TurnstoneError as error:
                log.warning("a run of timer %s did not begin: %s", timer.timer_id, error)
                timer = msgspec.structs.replace(timer, problem=str(error))
        return await self._store.swap_timer(timer, self._clock.now())

    async def _send(self, timer: Timer, due: float) -> None:
        correlation_id = run_id(timer, due)
        if await self._store.taker(correlation_id) is not None:
            return
        await self._host.send(
            SendMessage(
                ws_id=timer.ws_id or await self._made(timer, correlation_id),
                message=timer.message,
                correlation_id=correlation_id,
                auto_approve=timer.auto_approve,
                auto_approve_tools=timer.auto_approve_tools,
                sender=SENDER,
            )
        )

    async def _made(self, timer: Timer, correlation_id: str) -> str:
        """A new workstream for this run, or the one that was made for it and got no message."""
        for attempt in range(_ATTEMPTS):
            digest = hashlib.sha256(f"{correlation_id}/{attempt}".encode()).hexdigest()
            row = await self._store.row(digest[:8])
            if row is None or (row.last_seq == 1 and not row.closed):
                break
        made = await self._host.create(
            CreateWorkstream(
                ws_id=digest[:8],
                name=timer.name,
                auto_approve=timer.auto_approve,
                auto_approve_tools=timer.auto_approve_tools,
            )
        )
        return made.id


class Timekeeper:
    """The timers of one node: those of its store, and those of the cluster that it works for,
    which others run. New ones are kept in the cluster, if there is one."""

    def __init__(self, store: Store, host: Host, clock: Clock, ids: Ids, node_id: str) -> None:
        self._own = StoreTimers(store, host, clock)
        self._store, self._ids, self._node_id = store, ids, node_id
        self._cluster: Timers | None = None
        self._changed = asyncio.Event()

    def share(self, timers: Timers | None) -> None:
        """From now on this node is one of a cluster's, or (None) no more."""
        self._cluster = timers

    async def set_timer(self, wanted: NewTimer) -> Timer:
        """`Host.set_timer`."""
        if not wanted.timer_id:
            wanted = msgspec.structs.replace(wanted, timer_id=self._ids.correlation())
        if self._cluster is not None:
            return await keep(self._cluster, wanted)
        if wanted.target_node not in {"", self._node_id}:
            raise InvalidRequest(
                f"target_node: there is no node {wanted.target_node} here; this is"
                f" {self._node_id}.",
                hint="Only through Redis can another node be reached.",
            )
        if wanted.requires:
            raise InvalidRequest("requires: only through Redis are there nodes to choose from.")
        row = await self._store.row(wanted.ws_id) if wanted.ws_id else None
        if wanted.ws_id and (row is None or row.closed):
            raise UnknownWorkstream(f"There is no workstream {wanted.ws_id}.")
        timer = await keep(self._own, wanted)
        self._changed.set()
        return timer

    async def timers(self) -> list[Timer]:
        """`Host.timers`."""
        found = await self._own.timers()
        return found if self._cluster is None else [*await self._cluster.timers(), *found]

    async def alter_timer(self, timer_id: str, action: TimerAction) -> Timer:
        """`Host.alter_timer`."""
        place: Timers = self._own
        if self._cluster is not None and await self._cluster.timer(timer_id) is not None:
            place = self._cluster
        timer = await alter(place, timer_id, action)
        self._changed.set()
        return timer

    async def run(self) -> None:
        """Send what is due in the store, for ever. For the server of a store only."""
        while True:
            self._changed.clear()
            wait = LOOK
            try:
                wait = min(LOOK, await fire_due(self._own))
            except TurnstoneError as error:
                log.error("timers were not looked at: %s", error)
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                continue
