"""Lets a tool publish events from any thread, in order, and all before it counts as finished.

A tool in a thread that says more than can be taken is slowed down; nothing of it is lost. What
is said after the tool has finished, or was given up, is dropped.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from types import TracebackType
from typing import Any, Self

from oturn.questions import Publish

#: Events of a thread that may wait; it waits itself with more.
ROOM = 1_000


class Emitter:
    """An async context manager around the run of one tool."""

    def __init__(self, publish: Publish | None) -> None:
        self._publish = publish
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._events: deque[Any] = deque()
        self._arrived = asyncio.Event()
        self._has_room = threading.Event()
        self._has_room.set()
        self._over = False
        self._pump: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._pump = asyncio.create_task(self._pump_events())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._pump is not None
        if kind is None:
            self._events.append(_END)  # behind whatever the tool emitted last
            self._arrived.set()
        else:
            self._pump.cancel()
        try:
            await asyncio.wait({self._pump})
        finally:
            self._pump.cancel()
            self._close()
        if kind is None:
            self._pump.result()  # what the publisher raised

    async def publish(self, event: Any) -> None:
        if self._publish is not None:
            await self._publish(event)

    def emit(self, event: Any) -> None:
        """Publish soon; from any thread. Without effect once the tool is over."""
        if threading.get_ident() != self._loop_thread:
            self._has_room.wait()
        if self._over:
            return
        self._events.append(event)
        if len(self._events) >= ROOM:
            self._has_room.clear()
        if self._arrived.is_set():
            return
        try:
            self._loop.call_soon_threadsafe(self._arrived.set)
        except RuntimeError:
            self._close()  # the loop was closed under a thread that had been given up

    async def _pump_events(self) -> None:
        try:
            while True:
                await self._arrived.wait()
                self._arrived.clear()  # before looking: what arrives from here on sets it again
                while self._events:
                    event = self._events.popleft()
                    if event is _END:
                        return
                    await self.publish(event)
                    if len(self._events) < ROOM:
                        self._has_room.set()
        finally:
            self._close()

    def _close(self) -> None:
        self._over = True
        self._has_room.set()


_END = object()
