"""The workstreams of a node, and those of them that this terminal follows. Draws nothing.

Every workstream that was opened here is followed until the end, also while another is shown:
what it prints meanwhile waits, and its questions with it. Of all others the node's global
stream tells the states.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from turnstone.cli.feed import following
from turnstone.cli.terminal.live import Tab
from turnstone.cli.terminal.printed import Note, Printed
from turnstone.cli.terminal.seams import Dialog
from turnstone.cli.terminal.view import View, fold, known
from turnstone.core import events as ev
from turnstone.core.errors import TurnstoneError
from turnstone.core.host import Host, UsageView, WorkstreamInfo

#: Seconds between two looks whether a node elsewhere can be reached.
LOOK_AGAIN = 3.0

#: Items that wait to be printed while another workstream is shown; of more, the newest.
MOST_WAITING = 400


@dataclass(eq=False)
class Opened:
    """A workstream that is followed. `waiting`: what is to be printed of it.

    `answered`: questions that were answered here, of which the node has not told yet.
    """

    view: View
    waiting: list[Printed] = field(default_factory=list)
    dialog: Dialog | None = None
    answered: set[str] = field(default_factory=set)
    usage: UsageView | None = None
    failure: TurnstoneError | None = None
    draft: str = ""  # what stood in the input when another one was gone to
    sending: int = 0  # messages of which the node has not said that it has them
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def busy(self) -> bool:
        """A turn runs, or is about to."""
        return bool(self.view.turn or self.sending)

    async def until(self, met: Callable[[View], bool], seconds: float | None = None) -> None:
        """Waits until the view is so; at most for so many seconds, if that is said."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not met(self.view) and self.failure is None:
                    self.news.clear()
                    await self.news.wait()

    def knows(self, own_id: str) -> None:
        self.view = known(self.view, own_id)

    def say(self, item: Printed) -> None:
        self.waiting.append(item)
        if len(self.waiting) > 2 * MOST_WAITING:
            hidden = len(self.waiting) - MOST_WAITING
            self.waiting[:hidden] = [Note(f"… {hidden} things more, which /history finds …")]


class Workstreams:
    """`changed` is called when something of a workstream has changed; `failed` is told an error
    that nobody has foreseen."""

    def __init__(
        self, host: Host, changed: Callable[[], None], failed: Callable[[BaseException], None]
    ) -> None:
        self._host = host
        self._changed = changed
        self._failed = failed
        self._opened: dict[str, Opened] = {}
        self.infos: dict[str, WorkstreamInfo] = {}
        self.lost = False  # the node cannot be reached; its streams come back by themselves
        self._watching = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, ws_id: str) -> Opened:
        """Follow it, if it is not followed yet. Raises what `Host.follow` raises."""
        found = self._opened.get(ws_id)
        if found is not None and found.failure is None:
            return found
        opened = Opened(View(ws_id=ws_id))
        begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task(self._read(opened, begun))
        await begun
        self._opened[ws_id] = opened
        self._count(opened)
        if not self._watching:
            self._watching = True
            self._task(self._watch())
        return opened

    def tabs(self, here: str) -> list[Tab]:
        """As `/ws` numbers them. Of one that is followed, its view knows best."""
        tabs = []
        for number, info in enumerate(self.infos.values(), start=1):
            opened = self._opened.get(info.id)
            state, name = info.state, info.name
            if opened is not None and opened.failure is None:
                state, name = opened.view.state, opened.view.name or name
            tabs.append(Tab(number, name, state, here=info.id == here))
        return tabs

    async def refresh(self) -> list[WorkstreamInfo]:
        infos = await self._host.list()
        self.infos = {info.id: info for info in infos}
        return infos

    def working(self, *, followed: bool = False) -> list[WorkstreamInfo]:
        """Those in which a turn runs, or waits for an answer; of those that are followed here, or
        of all."""
        working = []
        for info, tab in zip(self.infos.values(), self.tabs(""), strict=True):
            if tab.state not in ("idle", "error") and (not followed or info.id in self._opened):
                working.append(msgspec.structs.replace(info, state=tab.state))
        return working

    def look_after(self) -> None:
        """Know from now on whether the node can be reached: for one that is elsewhere."""
        self._task(self._look())

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _task(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_AGAIN)
            try:
                await self._host.health()
                lost = False
            except TurnstoneError:
                lost = True
            if lost != self.lost:
                self.lost = lost
                self._changed()

    async def _read(self, opened: Opened, begun: asyncio.Future[None]) -> None:
        """For ever; why it ended is told in `failure`, or to whoever opens it."""
        try:
            async with following(self._host, opened.view.ws_id) as feed:
                self._take(opened, feed.connected)
                begun.set_result(None)
                while True:
                    self._take(opened, await feed.next())
        except TurnstoneError as error:
            if not begun.done():
                begun.set_exception(error)
                return
            opened.failure = error
            opened.news.set()
            self._changed()

    def _take(self, opened: Opened, event: ev.Event) -> None:
        opened.view, items = fold(opened.view, event)
        for item in items:
            opened.say(item)
        if isinstance(event, ev.TurnEnded) and event.ends_turn:
            self._count(opened)
        opened.news.set()
        self._changed()

    def _count(self, opened: Opened) -> None:
        """What it has used, in all: for the status bar, which waits for nobody."""
        self._task(self._counted(opened))

    async def _counted(self, opened: Opened) -> None:
        try:
            opened.usage = await self._host.usage(opened.view.ws_id)
        except TurnstoneError:
            return  # the number stays as it was
        self._changed()

    async def _watch(self) -> None:
        """The states of all, for ever. Where the node cannot be followed any more, they stay:
        the workstream that is shown tells of that."""
        try:
            await self.refresh()
            self._changed()
            events = cast("AsyncGenerator[ev.Event]", self._host.follow_all())
            async with aclosing(events):
                async for event in events:
                    await self._noted(event)
                    self._changed()
        except TurnstoneError:
            return

    async def _noted(self, event: ev.Event) -> None:
        info = self.infos.get(event.ws_id)
        match event:
            case ev.WsState() if info is not None:
                self.infos[info.id] = msgspec.structs.replace(
                    info,
                    state=event.state,
                    tokens=event.tokens,
                    context_ratio=event.context_ratio,
                )
            case ev.WsRename() if info is not None:
                name = event.name or info.name
                self.infos[info.id] = msgspec.structs.replace(info, name=name)
            case ev.WsClosed():
                self.infos.pop(event.ws_id, None)
            case ev.WsCreated() | ev.WsReopened() | ev.Truncated() | ev.WsState():
                await self.refresh()
