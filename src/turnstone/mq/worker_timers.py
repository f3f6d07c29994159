"""What a worker does about timers: those that messages make and change, and those that are due.

Any node's worker fires what is due, and whichever does it first does it for all.
"""

from __future__ import annotations

import asyncio
from typing import Any, TypeAlias

import msgspec

from turnstone.core.timekeeping import alter, fire_due, keep
from turnstone.core.timers import Timer, TimerAction, Timers, described
from turnstone.mq import protocol as p
from turnstone.mq.timers import wanted_of
from turnstone.mq.worker_link import Link

#: Types that ask about timers, or change one; `send` makes one.
Asking: TypeAlias = p.ListTimersMessage | p.CancelTimerMessage | p.PauseTimerMessage


class Timing:
    """The timers of the queue, as one worker works on them."""

    def __init__(self, timers: Timers, link: Link) -> None:
        self._timers, self._link = timers, link

    async def made(self, message: p.SendMessage, correlation_id: str) -> str:
        """Make what the message asks for, and say so. Raises InvalidRequest."""
        wanted = wanted_of(message, correlation_id)
        return described(await self._link.insist(lambda: keep(self._timers, wanted)))

    async def answer(self, message: Asking) -> p.OutboundEvent:
        """The timers, after what the message does. Raises UnknownTimer, InvalidRequest."""
        match message:
            case p.CancelTimerMessage():
                found = [await self._altered(message.timer_id, "cancel")]
            case p.PauseTimerMessage():
                action: TimerAction = "pause" if message.paused else "resume"
                found = [await self._altered(message.timer_id, action)]
            case _:
                found = await self._link.insist(self._timers.timers)
        return p.TimerListEvent(timers=[shown(one) for one in found])

    async def _altered(self, timer_id: str, action: TimerAction) -> Timer:
        return await self._link.insist(lambda: alter(self._timers, timer_id, action))

    async def run(self, longest: float) -> None:
        """Fire what is due, for ever; look every `longest` seconds at least."""
        while True:
            wait = await self._link.insist(lambda: fire_due(self._timers))
            await asyncio.sleep(min(longest, wait))


def shown(timer: Timer) -> dict[str, Any]:
    """As the wire has it."""
    found: dict[str, Any] = msgspec.to_builtins(timer)
    return found
