"""What a worker does with each beat besides beating: it looks for what was left, here and elsewhere.

What others have left is seen to by one worker at a time, whoever asks first: it costs Redis as much
as there are nodes. It runs no turn, and decides nothing about one.
"""

from __future__ import annotations

import asyncio
from functools import partial

from turnstone.mq.work import Work
from turnstone.mq.worker_hands import Hands
from turnstone.mq.worker_lanes import Lanes
from turnstone.mq.worker_left import LeftHere
from turnstone.mq.worker_link import Link
from turnstone.mq.worker_room import Room
from turnstone.mq.worker_watch import Watch

#: Slices that one look reaps: enough for any crash, and no end for a flood.
_REAPS = 50

#: Seconds after the end of a lease for the look at what its node has left.
_LATE = 0.05

#: Looks at what others have left, of all nodes together, within the time between two beats of one.
LOOKS = 5

#: What is seen to in turn: the queue's own lists, by all nodes; and what is in a store, by those that
#: share it.
_QUEUE, _STORE = "queue", "store:"


class Tidying:
    """That of one worker, which beats every so many seconds. `store_id`: see `Estate`; empty for a
    store that no other node has."""

    def __init__(
        self,
        work: Work,
        link: Link,
        beat_every: float,
        store_id: str,
        *,
        left_here: LeftHere,
        hands: Hands,
        space: Room,
        lanes: Lanes,
    ) -> None:
        self._work, self._link, self._beat_every = work, link, beat_every
        self._store = _STORE + store_id
        self._seen_to = [_QUEUE, *([self._store] if store_id else [])]
        self._left_here, self._hands, self._space, self._lanes = left_here, hands, space, lanes
        self._watch = Watch(work)

    async def run(self) -> None:
        """With every beat, and when a lease ends before the next: that is when a node is gone."""
        due = await self._once()
        while due is not None and due < self._beat_every:
            await asyncio.sleep(due + _LATE)
            due = await self._once(again=True)

    async def reap(self) -> None:
        """What processes have left that are gone."""
        for _ in range(_REAPS):
            if not await self._link.insist(self._work.reap):
                return

    async def _once(self, *, again: bool = False) -> float | None:
        """What others left, what a lost reply left, what nobody claimed; seconds until it is worth
        to look again. `again`: whose turn it was a moment ago does not ask for it."""
        await self._watch.look()
        await self._left_here.tell_again()
        mine = set(self._seen_to) if again else await self._turns()
        inherits = self._store in mine
        if inherits:  # first, for what others' work is after a while is anybody's
            await self._left_here.inherit()
        if _QUEUE in mine:
            await self.reap()
            await self._link.insist(self._work.answer_waiting)
            await self._link.insist(self._work.answer_gone)
        for claimed in await self._link.insist(self._work.sweep):
            self._hands.take(claimed)
        self._space.look()
        await self._lanes.claim()
        return await self._left_here.inherit() if inherits else None

    async def _turns(self) -> set[str]:
        """What this one sees to now."""
        seconds = self._beat_every / LOOKS
        return await self._link.insist(partial(self._work.tidies, self._seen_to, seconds))
