"""Whether Redis answers: one log line an outage, and everybody waits for the same return.

Never asks Redis itself: the worker's beat does, at growing, jittered pauses while it is away.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from turnstone.mq.errors import QueueUnavailable

log = logging.getLogger(__name__)

#: Seconds before the first attempt after a loss, and at most before any. Doubled each time, and
#: drawn at random below that, so that many workers of one Redis do not return at once.
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0

T = TypeVar("T")


class Link:
    """A worker's knowledge of its Redis. Use on one event loop only."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._up = asyncio.Event()
        self._up.set()
        self._down = asyncio.Event()
        self._pause = FIRST_PAUSE
        self._found = 0.0

    @property
    def up(self) -> bool:
        return self._up.is_set()

    def lost(self, error: QueueUnavailable) -> None:
        """Redis did not answer somebody."""
        if not self.up:
            return
        log.warning("worker %s waits for its queue: %s", self._name, error)
        if asyncio.get_running_loop().time() - self._found > LONGEST_PAUSE:
            self._pause = FIRST_PAUSE
        self._up.clear()
        self._down.set()

    def found(self) -> None:
        """Redis answers (again)."""
        if self.up:
            return
        log.warning("worker %s has its queue again", self._name)
        self._found = asyncio.get_running_loop().time()
        self._down.clear()
        self._up.set()

    async def pause(self) -> None:
        """Before the next attempt to reach Redis."""
        await asyncio.sleep(random.uniform(self._pause / 2, self._pause))  # noqa: S311 - no secret
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
        once, for it may be that of a connection from before an outage.
        """
        tried = False
        while True:
            await self._up.wait()
            try:
                return await step()
            except QueueUnavailable as error:
                if tried:
                    self.lost(error)
                tried = not tried
