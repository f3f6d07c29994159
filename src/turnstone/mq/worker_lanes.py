"""The two lanes of a worker: work for its node as it comes, and shared work while it has room.

They take messages into the worker's hands, and do nothing with them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from turnstone.mq.work import Work
from turnstone.mq.worker_hands import Hands
from turnstone.mq.worker_link import Link
from turnstone.mq.worker_room import Room
from turnstone.mq.worker_turns import Turns

#: Seconds of one blocking pull. Longer ones save little, and outlive a room that has gone.
PULL_WAIT = 5.0

#: Messages that are on their way into the journal at once, and those in the journal that wait
#: for their turn: beyond either, the directed list is left alone. The first is well below the
#: slice of a processing list that is looked at (`work.SLICE`).
HANDS = 64
BACKLOG = 1_000


#: Seconds between two looks of a node without room at shared work that needs none.
GLANCE = 0.25


class Lanes:
    """Those of one worker. `slots`: shared turns at once."""

    def __init__(
        self, work: Work, link: Link, hands: Hands, turns: Turns, space: Room, slots: int
    ) -> None:
        self._work, self._link, self._hands = work, link, hands
        self._turns, self._space, self._slots = turns, space, slots
        self._claiming = asyncio.Lock()

    @property
    def free(self) -> int:
        """Slots for shared work; none where no new workstream can be made. A workstream with an
        open turn has one, whoever sent it."""
        taking = self._hands.taking
        free = max(0, self._slots - len(self._turns.busy) - taking)
        return self._space.allows(free, taking)

    async def directed(self) -> None:
        """Take what is sent to this node, for ever."""
        while True:
            while len(self._hands) >= HANDS or len(self._turns) >= BACKLOG:
                await self._change()
            for claimed in await self._link.insist(self._work.directed):
                self._hands.take(claimed)
            await self._link.insist(lambda: self._work.pull_directed(PULL_WAIT))

    async def shared(self, node_answers: Callable[[], Awaitable[object]]) -> None:
        """Take shared work while there is room, for ever. `node_answers` waits for the node."""
        while True:
            if not self._hands.node_up.is_set():
                await node_answers()
            await self._room()
            if await self.claim():
                continue
            pull = asyncio.create_task(self._link.insist(lambda: self._work.pull_shared(PULL_WAIT)))
            await self._while_free(pull)

    async def roused(self) -> None:
        """Take what was put aside for the labels of this node, as soon as that is told, for ever.
        What comes while there is no room is found by a later claim."""
        while True:
            if await self._link.insist(lambda: self._work.roused(PULL_WAIT)):
                await self.claim()

    async def _room(self) -> None:
        """Wait until there is room; what needs none is taken meanwhile."""
        while not self.free:
            for claimed in await self._link.insist(self._work.glance):
                self._hands.take(claimed)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GLANCE):
                    await self._change()

    async def claim(self) -> int:
        """Take what waits in staging, as far as there is room; how many."""
        async with self._claiming:
            if not self.free:
                return 0
            taken = await self._link.insist(lambda: self._work.claim(self.free))
            for claimed in taken:
                self._hands.take(claimed)
            return len(taken)

    async def _while_free(self, pull: asyncio.Task[bool]) -> None:
        """Wait for a pull, but do not take a message from others once there is no room."""
        self._space.unasked.clear()
        full = asyncio.create_task(self._full())
        try:
            await asyncio.wait({pull, full}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            pull.cancel()
            full.cancel()
            await asyncio.gather(pull, full, return_exceptions=True)
            self._space.unasked.set()

    async def _full(self) -> None:
        """Wait until there is no free slot."""
        while self.free:
            await self._change()

    async def _change(self) -> None:
        """Wait until something has begun or ended."""
        self._turns.changed.clear()
        await self._turns.changed.wait()
