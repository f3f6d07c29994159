"""Whether Redis answers: one log line for each reason of an outage, and everybody waits for the
same return.

A step that an answering Redis refuses (it is full, or a name is used otherwise) waits by itself,
and holds no other up; that too is one line when it begins and one when it is over.

Never asks Redis itself: the worker's beat does, at growing, jittered pauses while it is away.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TypeVar

from turnstone.core.errors import TurnstoneError
from turnstone.mq.errors import (
    AnotherWorker,
    LeaseOver,
    QueueBroken,
    QueueRefuses,
    QueueUnavailable,
)
from turnstone.mq.figures import Figures

log = logging.getLogger(__name__)

#: Seconds before the first attempt after a loss, and at most before any. Doubled each time, and
#: drawn at random below that, so that many workers of one Redis do not return at once.
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0

T = TypeVar("T")


@dataclass
class _Refusal:
    """One that was logged: the steps that wait for its end, and when it was heard last."""

    waiting: int = 0
    heard: float = 0.0


class Link:
    """A worker's knowledge of its Redis. Use on one event loop only."""

    def __init__(self, name: str, figures: Figures | None = None) -> None:
        self._name = name
        self._figures = figures or Figures()
        self._up = asyncio.Event()
        self._up.set()
        self._down = asyncio.Event()
        self._pause = FIRST_PAUSE
        self._found = 0.0
        self._lost: TurnstoneError | None = None
        self._reasons: set[str] = set()  # that were told of this outage
        self._refusals: dict[str, _Refusal] = {}

    @property
    def up(self) -> bool:
        return self._up.is_set()

    def lost(self, error: TurnstoneError) -> None:
        """Redis did not answer somebody, or lets this process do nothing."""
        reason = str(error).partition(": ")[0]  # behind it may be what is never the same
        if self._lost is not None and (
            reason in self._reasons
            # This tells more than what else may be wrong, and a lease ends in every outage.
            or isinstance(self._lost, AnotherWorker)
            or isinstance(error, LeaseOver)
        ):
            return
        still = "waits" if self._lost is None else "still waits"
        log.warning("worker %s %s for its queue: %s", self._name, still, error)
        self._lost = error
        self._reasons.add(reason)
        if self.up and asyncio.get_running_loop().time() - self._found > LONGEST_PAUSE:
            self._pause = FIRST_PAUSE
        self._up.clear()
        self._down.set()

    def found(self) -> None:
        """Redis answers (again)."""
        self._look_at_refusals()
        if self.up:
            return
        log.warning("worker %s has its queue again", self._name)
        self._figures.reconnects += 1
        self._lost = None
        self._reasons.clear()
        self._found = asyncio.get_running_loop().time()
        self._down.clear()
        self._up.set()

    async def pause(self) -> None:
        """Before the next attempt to reach Redis."""
        await asyncio.sleep(_drawn(self._pause))
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    async def went_down(self, timeout: float) -> bool:
        """Wait for a loss, at most so long."""
        try:
            async with asyncio.timeout(timeout):
                await self._down.wait()
        except TimeoutError:
            return False
        return True

    async def insist(self, step: Callable[[], Awaitable[T]]) -> T:
        """The result of a step of the queue, which is asked again until Redis answers.

        Every step may be: what was asked twice happens once. A first failure is tried again at
        once, for it may be that of a connection from before an outage. What Redis refuses is
        asked again at growing pauses, for somebody may mend that.
        """
        tried, pause = False, FIRST_PAUSE
        with ExitStack() as over:
            while True:
                await self._up.wait()
                try:
                    return await step()
                except (QueueRefuses, QueueBroken) as error:
                    over.close()
                    over.callback(self._refused(error))
                    await asyncio.sleep(_drawn(pause))
                    pause = min(2 * pause, LONGEST_PAUSE)
                except LeaseOver as error:  # every step waits for the next beat
                    self.lost(error)
                except QueueUnavailable as error:
                    if tried:
                        self.lost(error)
                    tried = not tried

    def _refused(self, error: TurnstoneError) -> Callable[[], None]:
        """Note that a step waits because of this, until what is returned is called."""
        if str(error) not in self._refusals:
            level = logging.ERROR if isinstance(error, QueueBroken) else logging.WARNING
            log.log(level, "worker %s waits with a step: %s", self._name, error)
        refusal = self._refusals.setdefault(str(error), _Refusal())
        refusal.waiting += 1
        refusal.heard = asyncio.get_running_loop().time()

        def over() -> None:
            refusal.waiting -= 1

        return over

    def _look_at_refusals(self) -> None:
        """Those that nobody has heard for a while are over: one that comes and goes is one."""
        before = asyncio.get_running_loop().time() - LONGEST_PAUSE
        for text, refusal in list(self._refusals.items()):
            if not refusal.waiting and refusal.heard < before:
                log.warning("worker %s goes on; this is over: %s", self._name, text)
                del self._refusals[text]


def _drawn(pause: float) -> float:
    return random.uniform(pause / 2, pause)  # noqa: S311 - no secret
