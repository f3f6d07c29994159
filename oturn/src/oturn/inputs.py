"""The queue of what people have said and no turn has taken up. In memory; filled from any
thread, emptied by the runs of one event loop at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any

from oturn.questions import on_loop


@dataclass(frozen=True)
class UserInput:
    """One input. A `status` other than "agent" is passed over by the runtime."""

    text: str
    status: str = "agent"
    type: str = "default"
    channel_headers: dict[str, str] | None = None
    platform_event_id: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The input as a plain dict, as `get_input_queue_snapshot` shows it."""
        return {
            "status": self.status,
            "text": self.text,
            "type": self.type,
            "channel_headers": self.channel_headers or {},
            "platform_event_id": self.platform_event_id or "",
        }


class InputQueue:
    """First in, first out; several takers share it in turn."""

    def __init__(self) -> None:
        self._items: deque[UserInput] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._arrived = asyncio.Semaphore(0)  # at least one permit for each item, once bound

    def __len__(self) -> int:
        return len(self._items)

    def bind(self) -> None:
        """Be emptied on the running loop from now on."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._arrived = asyncio.Semaphore(0)
            self._loop = loop
            # Now, not before: what came before the line above has woken nobody.
            for _ in range(len(self._items)):
                self._arrived.release()

    def put(self, item: UserInput) -> None:
        """From any thread."""
        self._items.append(item)
        loop = self._loop
        if loop is None:
            return
        if on_loop(loop):
            self._arrived.release()
            return
        try:
            loop.call_soon_threadsafe(self._arrived.release)
        except RuntimeError:
            return  # the loop is closed: the next one to be bound finds it

    async def take(self) -> UserInput:
        """The oldest input; waits for one."""
        while True:
            await self._arrived.acquire()
            item = self.withdraw()
            if item is not None:  # else it was withdrawn meanwhile
                return item

    def withdraw(self) -> UserInput | None:
        """The oldest item, taken without waiting; None when there is none."""
        try:
            return self._items.popleft()
        except IndexError:  # asked without looking first: another thread may be quicker
            return None

    def clear(self) -> int:
        """Drop everything; how much that was."""
        dropped = 0
        while self.withdraw() is not None:
            dropped += 1
        return dropped

    def snapshot(self, limit: int) -> list[UserInput]:
        """The oldest `limit` items, in order."""
        return list(self._items)[: max(0, limit)]
