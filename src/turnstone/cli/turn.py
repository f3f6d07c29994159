"""One message, sent and followed to the end of its turn; Ctrl-C stops the turn.

Ctrl-C comes as a callback on the event loop while no line is being asked for, and never as
an exception in the middle of something.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from turnstone.cli.feed import Feed
from turnstone.cli.render import Screen
from turnstone.core import events as ev
from turnstone.core.errors import TurnstoneError
from turnstone.core.host import Host, SendMessage

#: Where a message came from, in the record; a server puts a name it knows in its place.
SENDER = "terminal"

Question: TypeAlias = Callable[[ev.ApprovalAsked | ev.PlanAsked], Awaitable[ev.Event | None]]
"""Sees to a question. Returns the event that settled it, if that was not its own answer."""

#: Seconds between two attempts to stop a turn that is only about to begin.
_ASK_AGAIN = 0.05


class Turns:
    """The turns of one workstream, shown on a screen. `show` is told of every event."""

    def __init__(
        self,
        host: Host,
        feed: Feed,
        screen: Screen,
        question: Question,
        show: Callable[[ev.Event], None],
    ) -> None:
        self._host = host
        self._feed = feed
        self._screen = screen
        self._question = question
        self._show = show

    async def run(self, text: str) -> ev.TurnEnded | None:
        """Send this message and see its turn to the end; None if a second Ctrl-C left it."""
        turn = asyncio.create_task(self._run(text))
        stops: list[asyncio.Task[None]] = []

        def interrupted() -> None:
            if stops:
                turn.cancel()
                return
            self._screen.keys_were_echoed()
            self._screen.line("Stopping … (Ctrl-C once more leaves without waiting)", "yellow")
            stops.append(asyncio.create_task(self._stop(turn)))

        try:
            with _on_interrupt(interrupted):
                await asyncio.wait({turn})
        finally:
            await _end(turn, *stops)
        return None if turn.cancelled() else turn.result()

    async def _run(self, text: str) -> ev.TurnEnded:
        message = SendMessage(ws_id=self._feed.ws_id, message=text, sender=SENDER)
        accepted = await self._host.send(message)
        self._screen.is_known(accepted.correlation_id)
        event = await self._feed.next()
        while True:
            self._show(event)
            settled: ev.Event | None = None
            match event:
                case ev.TurnEnded() if event.correlation_id == accepted.correlation_id:
                    return event
                case ev.ApprovalAsked() | ev.PlanAsked():
                    settled = await self._question(event)
            event = settled or await self._feed.next()

    async def _stop(self, turn: asyncio.Task[ev.TurnEnded]) -> None:
        try:
            while not turn.done() and not await self._host.cancel(self._feed.ws_id):
                await asyncio.wait({turn}, timeout=_ASK_AGAIN)
        except TurnstoneError as error:
            self._screen.line(f"It could not be stopped: {error}", "red")


async def _end(*tasks: asyncio.Task[Any]) -> None:
    """Stop those that still run, and wait until they have."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def _on_interrupt(callback: Callable[[], object]) -> Iterator[None]:
    """Call this for every SIGINT while the block runs; afterwards it is as it was before.

    Outside the main thread signals cannot be caught, and nothing is changed.
    """
    loop = asyncio.get_running_loop()
    before = signal.getsignal(signal.SIGINT)
    try:
        loop.add_signal_handler(signal.SIGINT, callback)
    except (NotImplementedError, RuntimeError, ValueError):
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, before)
