"""What a workstream has running beside its turns: started, read, listed, stopped.

In memory alone. A handle carries a mark of its own time, so that one of an earlier process, or
from before a sleep, is told apart from one of now. Knows nothing of commands or sandboxes.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from turnstone.core.errors import ToolRefused
from turnstone.core.head_tail import HeadTail
from turnstone.core.tool import EmitOutput, Glance

#: How many may run at a time in one workstream, and how many that have ended are remembered.
MAX_RUNNING, MAX_ENDED = 8, 16

#: Characters of output of one that wait to be read; of more the middle is cut out.
MAX_UNREAD = 200_000

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Job:
    what: str
    task: asyncio.Task[None] | None = None
    unread: HeadTail = field(default_factory=lambda: HeadTail(MAX_UNREAD))
    ended: str = ""


class Jobs:
    """Implements `turnstone.core.tool.Background`. Made by, and closed with, a workstream."""

    def __init__(self) -> None:
        self._mark = secrets.token_hex(2)
        self._jobs: dict[str, _Job] = {}
        self._made = 0

    @property
    def running(self) -> bool:
        return any(not job.ended for job in self._jobs.values())

    def start(self, what: str, run: Callable[[EmitOutput], Awaitable[str]]) -> str:
        running = [handle for handle, job in self._jobs.items() if not job.ended]
        if len(running) >= MAX_RUNNING:
            raise ToolRefused(
                f"{MAX_RUNNING} background processes run already: {', '.join(running)}.",
                hint="Stop one first.",
            )
        self._made += 1
        handle, job = f"bg{self._made}-{self._mark}", _Job(what)
        self._jobs[handle] = job
        job.task = asyncio.create_task(_carried(handle, job, run), name=handle)
        self._forget()
        return handle

    async def wait(self, handle: str, seconds: float) -> None:
        task = self._find(handle).task
        if task is not None:
            await asyncio.wait({task}, timeout=seconds)

    def read(self, handle: str) -> Glance:
        job = self._find(handle)
        text, job.unread = job.unread.text(), HeadTail(MAX_UNREAD)
        return Glance(handle, job.what, text, job.ended)

    async def stop(self, handle: str) -> None:
        await _stopped(self._find(handle))

    def list(self) -> Sequence[Glance]:
        return [Glance(handle, job.what, "", job.ended) for handle, job in self._jobs.items()]

    async def aclose(self) -> None:
        """Stop them all. When this returns, none of them runs."""
        await asyncio.gather(*(_stopped(job) for job in self._jobs.values()))

    def _find(self, handle: str) -> _Job:
        return self._jobs.get(handle) or self._refuse(handle)

    def _refuse(self, handle: str) -> NoReturn:
        if handle.startswith("bg") and handle.rpartition("-")[2] != self._mark:
            raise ToolRefused(
                f"The background process {handle} is gone: the node was restarted since, or the "
                "workstream had slept after it ended.",
                hint="Start it again if it is needed.",
            )
        there = ", ".join(self._jobs) or "none"
        raise ToolRefused(f"There is no background process {handle!r}. There are: {there}.")

    def _forget(self) -> None:
        ended = [handle for handle, job in self._jobs.items() if job.ended]
        for handle in ended[: len(ended) - MAX_ENDED] if len(ended) > MAX_ENDED else ():
            del self._jobs[handle]


async def _carried(handle: str, job: _Job, run: Callable[[EmitOutput], Awaitable[str]]) -> None:
    def emit(text: str) -> None:
        job.unread.add(text)  # another one after each look

    try:
        job.ended = await run(emit)
    except asyncio.CancelledError:
        job.ended = "stopped"
    except Exception as error:
        log.exception("the background process %s broke", handle)
        job.ended = f"ended by an error in turnstone itself: {type(error).__name__}: {error}"


async def _stopped(job: _Job) -> None:
    """Cancelled itself, it still waits until the process is gone."""
    if job.task is None:
        return
    job.task.cancel()
    waiting = asyncio.gather(job.task, return_exceptions=True)
    try:
        await asyncio.shield(waiting)
    except asyncio.CancelledError:
        await waiting
        raise
    job.ended = job.ended or "stopped"  # before it had begun
