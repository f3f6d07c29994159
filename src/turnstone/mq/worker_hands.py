"""The messages that a worker has in hand: from a processing list into the node's journal.

Each goes its own way at its own pace, but those of one workstream one after another, in the
order of their list. What cannot be taken on is passed on, or told to its sender. Nothing here
takes a message from a wire list.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias

from turnstone.core.errors import NodeUnavailable, TurnstoneError
from turnstone.core.logs import about
from turnstone.mq import protocol as p
from turnstone.mq.entry import read
from turnstone.mq.figures import Figures
from turnstone.mq.labels import missing
from turnstone.mq.rights import Rights
from turnstone.mq.taken import log_dead
from turnstone.mq.work import Claimed, Work
from turnstone.mq.worker_job import Job
from turnstone.mq.worker_jobs import Jobs
from turnstone.mq.worker_link import Link
from turnstone.mq.worker_probe import Probe

log = logging.getLogger(__name__)

Spawn: TypeAlias = Callable[[Coroutine[Any, Any, None]], object]

#: Seconds for a node that a message names to appear, before its sender is told that it is not
#: there; and between two looks.
TARGET_WAIT = 5.0
_TARGET_LOOK = 0.5

#: Seconds for a node that does not answer its worker, before a message in hand is given up.
NODE_WAIT = 30.0
NODE_PAUSE = 1.0

#: Seconds before a message is asked about again that another process is accepting just now.
_HELD_PAUSE = 0.5


@dataclass
class _Line:
    """The messages of one workstream that are on their way into the journal. `breaks`: how often
    one of them turned out to be in this process' list no more."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0
    breaks: int = 0


class Hands:
    """What one worker has in hand. `changed` is set whenever that is more or less.

    With a `probe`, which asks the node whether it answers, a message that is admitted may be run by
    this node only. `taking` counts the shared messages; `node_up` is clear while the node does not
    answer.
    """

    def __init__(
        self,
        work: Work,
        link: Link,
        jobs: Jobs,
        changed: asyncio.Event,
        spawn: Spawn,
        *,
        probe: Probe | None,
        target_wait: float,
        figures: Figures,
        rights: Rights,
    ) -> None:
        self._rights = rights
        self._work, self._link, self._jobs = work, link, jobs
        self._changed, self._spawn = changed, spawn
        self._probe, self._target_wait, self._figures = probe, target_wait, figures
        self.taking = 0
        self.node_up = probe.up if probe is not None else asyncio.Event()
        self.node_up.set()
        self._hands: dict[bytes, int] = {}  # entry, and its place in the line of all
        self._taken = 0
        self._lines: dict[str, _Line] = {}

    def __len__(self) -> int:
        return len(self._hands)

    def take(self, claimed: Claimed) -> None:
        """Have a message in hand, if it is not already."""
        if claimed.entry in self._hands:
            return
        self._taken += 1
        self._figures.claimed += 1
        self._hands[claimed.entry] = self._taken
        self.taking += claimed.lane == "shared"
        self._changed.set()
        self._spawn(self._hold(claimed))

    async def _hold(self, claimed: Claimed) -> None:
        about(ws_id=claimed.ws_id, correlation_id=claimed.correlation_id)
        try:
            if not claimed.problem and (why := self._rights.problem(claimed.raw)):
                claimed = replace(claimed, problem=why)
            if claimed.problem and not claimed.ws_id:
                await self._bury(claimed, claimed.problem)
            elif not claimed.problem and claimed.target_node not in {"", self._work.node_id}:
                await self._pass_on(claimed, claimed.target_node)
            elif not claimed.problem and (there := await self._jobs.elsewhere(claimed)):
                await self._link.insist(lambda: self._work.forward(claimed, there))
            elif claimed.ws_id:
                await self._in_line(claimed)
            else:
                await self._admit(claimed)
        except Exception:
            # A mistake of ours must not end the work on all others. The message is still in its
            # list: the next sweep tries again, and the count of tries ends that.
            log.exception("message %s broke in the worker's hand", claimed.correlation_id)
        finally:
            del self._hands[claimed.entry]
            self.taking -= claimed.lane == "shared"
            self._changed.set()

    async def _in_line(self, claimed: Claimed) -> None:
        """Messages of one workstream, one after another, in the order of the list."""
        line = self._lines.setdefault(claimed.ws_id, _Line())
        line.users += 1
        breaks = line.breaks
        try:
            async with line.lock:
                if line.breaks != breaks:
                    # One before it lost its place, and may be back behind it by now. The next look
                    # at the list takes all of them again, in their order; so no message may go on
                    # that was taken between two which do not.
                    line.breaks += 1
                    return
                if claimed.problem:
                    await self._jobs.let_go(claimed.ws_id)
                    await self._bury(claimed, claimed.problem)
                else:
                    await self._at_owner(claimed)
        finally:
            line.users -= 1
            if not line.users:
                del self._lines[claimed.ws_id]

    async def _at_owner(self, claimed: Claimed) -> None:
        owner = await self._link.insist(lambda: self._work.owner(claimed.ws_id))
        if owner in {"", self._work.node_id}:
            await self._admit(claimed)
        elif claimed.target_node:
            await self._bury(
                claimed, f"Workstream {claimed.ws_id} is on node {owner}, not {self._work.node_id}."
            )
        else:
            await self._link.insist(lambda: self._work.forward(claimed, owner))

    async def _owned_elsewhere(self, ws_id: str) -> str:
        owner = await self._link.insist(lambda: self._work.owner(ws_id))
        return "" if owner == self._work.node_id else owner

    async def _pass_on(self, claimed: Claimed, target: str) -> None:
        """To the node that it names, if there is one; its sender is told if there is none."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._target_wait
        while True:
            nodes = await self._link.insist(self._work.nodes)
            if any(node["node_id"] == target for node in nodes):
                await self._link.insist(lambda: self._work.forward(claimed, target))
                return
            if loop.time() > deadline and read(claimed.entry).any_node:
                await self._admit(claimed)
                return
            if loop.time() > deadline:
                await self._bury(claimed, f"There is no node {target}.")
                return
            await asyncio.sleep(_TARGET_LOOK)

    async def _bury(self, claimed: Claimed, why: str) -> None:
        await self._link.insist(lambda: self._work.bury(claimed, why))
        log_dead(claimed.correlation_id, why)
        self._figures.dead += 1

    async def _admit(self, claimed: Claimed) -> None:
        attempt, bind = secrets.token_hex(8), self._probe is not None
        while True:
            if self._probe is not None:
                await self._probe.answers()  # what is bound to one that does not is nobody's
            admitted = await self._link.insist(
                lambda: self._work.admit(claimed, bind=bind, attempt=attempt)
            )
            # While the lease is over the message keeps its place: those behind it in the
            # workstream must not be admitted first, once it is renewed.
            if admitted.admission not in {"held", "lapsed"}:
                break
            await asyncio.sleep(_HELD_PAUSE)
            # Its owner may have been unknown, for Redis had lost that.
            if claimed.ws_id and (there := await self._owned_elsewhere(claimed.ws_id)):
                await self._link.insist(partial(self._work.forward, claimed, there))
                return
        if admitted.admission == "dead":
            log_dead(claimed.correlation_id, f"tried {admitted.tries} times, or given up before")
            self._figures.dead += 1
        if admitted.admission == "refused":
            log_dead(claimed.correlation_id, "another text came under this id before")
        if admitted.admission == "fenced" and claimed.ws_id in self._lines:
            self._lines[claimed.ws_id].breaks += 1
        if admitted.admission in {"done", "dead", "refused"}:
            await self._jobs.let_go(claimed.ws_id)
        elif admitted.admission == "run":
            job = Job(
                message=p.parse(claimed.raw),
                correlation_id=claimed.correlation_id,
                epoch=admitted.epoch,
                lane=claimed.lane,
                raw=claimed.raw,
                claimed=claimed,
                tries=admitted.tries,
                bound=admitted.bound,
                place=self._hands[claimed.entry],
            )
            self._figures.redelivered += admitted.tries > 1
            if why := await self._lacks(claimed, bound=admitted.bound):
                await self._jobs.refuse(job, why)
            else:
                await self.carry(job)

    async def _lacks(self, claimed: Claimed, *, bound: bool) -> str:
        """Why a message that somebody sent to this very node is not for it; empty if it is. An
        open workstream is not asked what it required, and what may have begun here goes on."""
        wanted = read(claimed.entry).requires
        if bound or not missing(wanted, self._work.labels):
            return ""
        ws_id = claimed.ws_id
        if ws_id and await self._link.insist(lambda: self._work.owner(ws_id)):
            return ""
        lacks = ", ".join(missing(wanted, self._work.labels))
        return f"Node {self._work.node_id} lacks what this message requires: {lacks}."

    async def carry(self, job: Job) -> None:
        """Do a job; a node that does not answer has some time to come back."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + NODE_WAIT
        while True:
            try:
                await self._jobs.do(job)
            except NodeUnavailable as error:
                if loop.time() > deadline:
                    await self._jobs.refuse(job, str(error))
                    return
                self.node_up.clear()
                await asyncio.sleep(NODE_PAUSE)
            except TurnstoneError as error:
                log.error("message %s: %s", job.correlation_id, error)
                return
            else:
                self.node_up.set()
                return
