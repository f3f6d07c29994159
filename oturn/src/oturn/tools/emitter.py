"""Lets a tool publish events from any thread, in order, and all before it counts as finished."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self

from oturn.questions import Publish


class Emitter:
    """An async context manager around the run of one tool."""

    def __init__(self, publish: Publish | None) -> None:
        self._publish = publish
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Any] = asyncio.Queue()
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
            # Behind whatever the tool emitted last, which goes the same way.
            self._loop.call_soon(self._events.put_nowait, _END)
        else:
            self._pump.cancel()
        try:
            await asyncio.wait({self._pump})
        finally:
            self._pump.cancel()
        if kind is None:
            self._pump.result()  # what the publisher raised

    async def publish(self, event: Any) -> None:
        if self._publish is not None:
            await self._publish(event)

    def emit(self, event: Any) -> None:
        """Publish soon; from any thread. Without effect once the loop is gone."""
        try:
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)
        except RuntimeError:
            return  # the loop was closed under a thread that had been given up

    async def _pump_events(self) -> None:
        while (event := await self._events.get()) is not _END:
            await self.publish(event)


_END = object()
