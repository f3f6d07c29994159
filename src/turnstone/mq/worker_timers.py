"""What a worker does about timers: those that messages make and change, and those that are due.

Any node's worker fires what is due, and whichever does it first does it for all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from math import inf
from typing import Any, TypeAlias, TypeVar

import msgspec

from turnstone.core.errors import InvalidRequest
from turnstone.core.timekeeping import alter, fire_due, keep
from turnstone.core.timers import Timer, TimerAction, described
from turnstone.mq import protocol as p
from turnstone.mq.errors import QueueBroken
from turnstone.mq.timers import wanted_of
from turnstone.mq.work import QueueTimers
from turnstone.mq.worker_link import Link

log = logging.getLogger(__name__)

#: Seconds between two times at which timers are signed anew, where that is needed.
RENEW_EVERY = 600.0

T = TypeVar("T")

#: Types that ask about timers, or change one; `send` makes one.
Asking: TypeAlias = p.ListTimersMessage | p.CancelTimerMessage | p.PauseTimerMessage


class Timing:
    """The timers of the queue, as one worker works on them."""

    def __init__(self, timers: QueueTimers, link: Link) -> None:
        self._timers, self._link = timers, link
        self._renewal = -inf  # of the event loop's clock: when the timers were signed anew last

    async def made(self, message: p.SendMessage, correlation_id: str) -> str:
        """Make what the message asks for, and say so. Raises InvalidRequest."""
        wanted = wanted_of(message, correlation_id)
        return described(await self._asked(lambda: keep(self._timers, wanted)))

    async def answer(self, message: Asking) -> p.OutboundEvent:
        """The timers, after what the message does. Raises UnknownTimer, InvalidRequest."""
        match message:
            case p.CancelTimerMessage():
                found = [await self._altered(message.timer_id, "cancel")]
            case p.PauseTimerMessage():
                action: TimerAction = "pause" if message.paused else "resume"
                found = [await self._altered(message.timer_id, action)]
            case _:
                found = await self._asked(self._timers.timers)
        return p.TimerListEvent(timers=[shown(one) for one in found])

    async def _altered(self, timer_id: str, action: TimerAction) -> Timer:
        return await self._asked(lambda: alter(self._timers, timer_id, action))

    async def _asked(self, step: Callable[[], Awaitable[T]]) -> T:
        """The result of a step for a sender, who is told if a name is used for something else:
        waiting for the end of that would hold up all other work. Raises InvalidRequest then."""

        async def once() -> T:
            try:
                return await step()
            except QueueBroken as error:
                raise InvalidRequest(
                    f"The queue cannot keep this timer: {error}",
                    hint="Remove what uses that name, and send the message again.",
                ) from error

        return await self._link.insist(once)

    async def run(self, longest: float) -> None:
        """Fire what is due, for ever; look every `longest` seconds at least."""
        while True:
            wait = await self._link.insist(lambda: fire_due(self._timers))
            await self._renew()
            await asyncio.sleep(min(longest, wait))

    async def _renew(self) -> None:
        """Sign timers anew once in a while: others may still sign with a secret that goes."""
        now = asyncio.get_running_loop().time()
        if now - self._renewal < RENEW_EVERY:
            return
        self._renewal = now
        if count := await self._link.insist(self._timers.renew):
            log.info("%d timers are signed with the first secret now", count)


def shown(timer: Timer) -> dict[str, Any]:
    """As the wire has it."""
    found: dict[str, Any] = msgspec.to_builtins(timer)
    return found
