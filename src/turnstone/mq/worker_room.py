"""Whether a node has room for new workstreams, which shared work needs.

It learns that from the node's refusal alone, and gives back what was refused. Directed work and
open workstreams are not its business.
"""

from __future__ import annotations

import asyncio
import logging

from turnstone.mq.work import Work
from turnstone.mq.worker_link import Link
from turnstone.mq.worker_make import Job

log = logging.getLogger(__name__)

#: Seconds after which a full node tries one message more, for a closing may have been missed.
RETRY = 30.0


class Room:
    """That of one node. `changed` is set when there is (or may be) some again; `unasked` is clear
    while this node waits for shared work."""

    def __init__(self, work: Work, link: Link, changed: asyncio.Event) -> None:
        self._work, self._link, self._changed = work, link, changed
        self.unasked = asyncio.Event()
        self.unasked.set()
        self._until = 0.0
        self._told = False

    @property
    def full(self) -> bool:
        """Whether shared work is to be left to others."""
        return self._until > asyncio.get_running_loop().time()

    async def refused(self, job: Job) -> bool:
        """The node took no new workstream for this message. True if the message was given back;
        False for one that must be refused: it was sent to this node, or tried here before."""
        claimed = job.claimed
        if claimed is None or job.lane != "shared" or job.tries > 1:
            return False
        self._until = asyncio.get_running_loop().time() + RETRY
        self._changed.set()
        if not self._told:
            log.warning(
                "node %s holds all the workstreams that it may: it leaves shared work to others",
                self._work.node_id,
            )
            self._told = True
        await self.unasked.wait()  # or this node would be given it again
        await self._link.insist(lambda: self._work.give_back(claimed, job.epoch))
        return True

    def freed(self) -> None:
        """A workstream was closed."""
        self._until = 0.0
        self._changed.set()

    def made(self) -> None:
        """A workstream was made."""
        if self._told:
            log.warning("node %s has room again: it takes shared work", self._work.node_id)
            self._told = False

    def look(self) -> None:
        """Wake who waits for room, if it is time to try again."""
        if self._told and not self.full:
            self._changed.set()
