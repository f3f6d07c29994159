"""Whether a node has room for new workstreams, which shared work needs.

It learns that from the node's refusal alone, and gives back what was refused, in its order.
Directed work and open workstreams are not its business.
"""

from __future__ import annotations

import asyncio
import logging

from turnstone.mq.work import Claimed, Work
from turnstone.mq.worker_job import Job
from turnstone.mq.worker_link import Link

log = logging.getLogger(__name__)

#: Seconds after which a full node tries one message more, for a closing may have been missed.
RETRY = 30.0


class Room:
    """That of one node. `changed` is set when there is (or may be) some again; `unasked` is clear
    while this node waits for shared work; `refusals` counts what was refused for want of room.
    `retry`: seconds until a full node tries again."""

    def __init__(self, work: Work, link: Link, changed: asyncio.Event, retry: float) -> None:
        self._work, self._link, self._changed = work, link, changed
        self._retry = retry
        self.unasked = asyncio.Event()
        self.unasked.set()
        self.refusals = 0
        self._until = 0.0
        self._told = False
        self._returning = asyncio.Lock()
        self._staged = False  # whether others' staged work is still to be sent back
        self._returned: list[tuple[int, bytes]] = []  # since then: place in line, and entry

    @property
    def full(self) -> bool:
        """Whether shared work is to be left to others."""
        return self._until > asyncio.get_running_loop().time()

    def allows(self, free: int, taking: int) -> int:
        """How many more shared messages may be taken, where so many slots are free and so many
        messages are in hand: one alone, until the node has made a workstream again."""
        if self.full:
            return 0
        return max(0, min(free, 1 - taking)) if self._told else free

    async def refused(self, job: Job) -> bool:
        """The node took no new workstream for this message. True if the message was given back;
        False for one that must be refused: it was sent to this node, or an earlier try, which
        was bound to it, may have had effects here."""
        claimed = job.claimed
        if claimed is None or job.lane != "shared" or job.bound:
            return False
        self.refusals += 1
        if not self.full:
            self._staged, self._returned = True, []
        self._until = asyncio.get_running_loop().time() + self._retry
        self._changed.set()
        if not self._told:
            log.warning(
                "node %s holds all the workstreams that it may: it leaves shared work to others",
                self._work.node_id,
            )
            self._told = True
        async with self._returning:
            await self.unasked.wait()  # or this node would be given it again
            await self._give_back(claimed, job)
        return True

    async def _give_back(self, claimed: Claimed, job: Job) -> None:
        """What was claimed first is the first in the list again, whoever is refused first."""
        if self._staged:
            await self._link.insist(self._work.unstage)
            self._staged = False
        named = claimed.entry != claimed.raw  # these return to another list
        place = job.place, claimed.entry
        before = [one for one in self._returned if one < place and (one[1][:1] == b"\1") == named]
        after = max(before)[1] if before else b""
        await self._link.insist(lambda: self._work.give_back(claimed, job.epoch, after))
        self._returned.append(place)

    def freed(self) -> None:
        """A workstream was closed: there is room for one."""
        self._until = 0.0
        self._changed.set()

    def rests(self) -> None:
        """A turn has ended: its workstream may give its place to another."""
        if self.full:
            self.freed()

    def made(self, refusals: int) -> None:
        """The node has made a workstream, which was asked for after so many refusals: if none came
        since, it is not full, as far as anybody knows."""
        if refusals != self.refusals:
            return
        self._until = 0.0
        self._changed.set()
        if self._told:
            log.warning("node %s has room again: it takes shared work", self._work.node_id)
            self._told = False

    def look(self) -> None:
        """Wake who waits for room, if it is time to try again."""
        if self._until and not self.full:
            self._changed.set()
