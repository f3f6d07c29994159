"""Gives every event of an `Oturn` to every subscriber, and never waits for one of them.

Events are handed out in one go, so their order is the same for all. A subscriber that falls
behind loses fragments, is told how many by a `lagged` event in their place, and keeps what a
program must not lose: questions, errors and endings. Nothing is decided here about turns.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from oturn.events import LaggedEvent, ev_lagged
from oturn.nucleus import Subscriber

#: Events that are kept for a subscriber when there is no more room for others.
LANDMARKS = frozenset(
    {
        "tool_call",
        "approval_request",
        "choice_request",
        "unanswered",
        "error",
        "run_aborted",
        "assistant_final",
    }
)

#: How many landmarks may wait beyond the bound; more are counted as missed like the rest.
RESERVE = 1_000

#: Events after which others get to run, where a fast stream would publish on without a pause.
BURST = 32

#: How often the readers of a full queue get to run before it counts as lagging.
PASSES = 8


class _Outbox(Protocol):
    def offer(self, event: Any) -> None:
        """Deliver, keep or count this event, at once. Raises what the subscriber raises."""

    def close(self) -> None:
        """Deliver nothing more."""


class Subscribers:
    """`backlog`: events that a subscriber without a bound of its own may be behind."""

    def __init__(self, backlog: int) -> None:
        self._backlog = backlog
        self._boxes: dict[Subscriber, _Outbox] = {}
        self._in_order: tuple[tuple[Subscriber, _Outbox], ...] = ()
        self._bounded: tuple[_Bounded, ...] = ()
        self._since_pause = 0

    def subscribe(self, queue: Subscriber | None) -> bool:
        """Add a subscriber, once. False for None; TypeError for what cannot be hashed."""
        if queue is None:
            return False
        if queue not in self._boxes:
            self._boxes[queue] = self._outbox(queue)
            self._arrange()
        return True

    def unsubscribe(self, queue: Subscriber | None) -> bool:
        """Remove a subscriber, if it is one, with what still waits for it. False for None."""
        if queue is None:
            return False
        box = self._boxes.pop(queue, None)
        if box is not None:
            box.close()
            self._arrange()
        return True

    async def publish(self, event: Any) -> None:
        """Give the event to all; suspends now and then, so that readers get to run."""
        if self._bounded:
            await self._let_read()
        for queue, box in self._in_order:
            try:
                box.offer(event)
            except Exception:  # a subscriber that cannot take an event is none any more
                self.unsubscribe(queue)
        self._since_pause += 1
        if self._since_pause >= BURST:
            await self._pause()

    async def _let_read(self) -> None:
        """Give the readers of full queues a chance to make room."""
        for _ in range(PASSES):
            if not any(box.crowded() for box in self._bounded):
                return
            await self._pause()

    def _arrange(self) -> None:
        self._in_order = tuple(self._boxes.items())
        self._bounded = tuple(box for box in self._boxes.values() if isinstance(box, _Bounded))

    async def _pause(self) -> None:
        self._since_pause = 0
        await asyncio.sleep(0)

    def _outbox(self, queue: Subscriber) -> _Outbox:
        if type(queue) is not asyncio.Queue:
            return _Waiting(queue, self._backlog, lambda: self.unsubscribe(queue))
        if queue.maxsize <= 0:
            return _Unbounded(queue, self._backlog)
        return _Bounded(queue, lambda: self.unsubscribe(queue))


class _Unbounded:
    """A queue without a bound gets one. What it missed is counted in the `lagged` event that
    lies last in it, for as long as that is unread."""

    def __init__(self, queue: asyncio.Queue[Any], bound: int) -> None:
        self._queue = queue
        self._bound = bound
        self._gap: LaggedEvent | None = None  # the last thing in the queue, if it is one

    def offer(self, event: Any) -> None:
        if self._queue.qsize() < self._bound or self._is_kept(event):
            self._gap = None
            self._queue.put_nowait(event)
            return
        if self._gap is None:
            self._gap = ev_lagged(0)
            self._queue.put_nowait(self._gap)
        self._gap["missed"] += 1

    def close(self) -> None:
        pass

    def _is_kept(self, event: Any) -> bool:
        return self._queue.qsize() < self._bound + RESERVE and _is_landmark(event)


class _Waiting:
    """Events wait in a line of their own, and a task brings them to the subscriber's `put`."""

    def __init__(self, queue: Subscriber, room: int, give_up: Callable[[], object]) -> None:
        self._queue = queue
        self._room = room  # ordinary events that may stand in line
        self._give_up = give_up
        self._line: deque[Any] = deque()
        self._gap: LaggedEvent | None = None  # the last in the line, if it is one
        self._task: asyncio.Task[None] | None = None

    def offer(self, event: Any) -> None:
        room = self._room + (RESERVE if _is_landmark(event) else 0)
        if len(self._line) < room:
            self._gap = None
            self._line.append(event)
        elif self._gap is not None:
            self._gap["missed"] += 1
        else:
            self._gap = ev_lagged(1)
            self._line.append(self._gap)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._bring())

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _bring(self) -> None:
        try:
            while self._line:
                await self._bring_next()
        except Exception:  # a subscriber that cannot take an event is none any more
            self._give_up()

    async def _bring_next(self) -> None:
        event = self._line.popleft()
        if event is self._gap:
            self._gap = None  # its reader may have looked at the count by the next event
        waiting = self._queue.put(event)
        if not inspect.isawaitable(waiting):
            raise TypeError("a subscriber's put must be awaitable")
        await waiting


class _Bounded(_Waiting):
    """A queue with a bound of its own: nothing but landmarks and a count waits outside it."""

    def __init__(self, queue: asyncio.Queue[Any], give_up: Callable[[], object]) -> None:
        super().__init__(queue, 0, give_up)
        self._bounded = queue

    def offer(self, event: Any) -> None:
        if self._line or self._bounded.full():
            super().offer(event)
        else:
            self._bounded.put_nowait(event)

    def crowded(self) -> bool:
        """Whether the next event would be the first that does not fit."""
        return not self._line and self._bounded.full()

    async def _bring_next(self) -> None:
        await self._queue.put(self._line[0])  # counts on while it waits for room
        if self._line.popleft() is self._gap:
            self._gap = None


def _is_landmark(event: Any) -> bool:
    return isinstance(event, dict) and event.get("type") in LANDMARKS
