"""The queue of what people have said and no turn has taken up. In memory, for one event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class UserInput:
    """One input. A `status` other than "agent" is passed over by the runtime."""

    text: str
    status: str = "agent"
    type: str = "default"
    channel_headers: dict[str, str] | None = None
    platform_event_id: str | None = None

    def to_dict(self) -> dict[str, Any]:
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
        self._arrived = asyncio.Semaphore(0)  # at least one permit for each item

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: UserInput) -> None:
        self._items.append(item)
        self._arrived.release()

    async def take(self) -> UserInput:
        while True:
            await self._arrived.acquire()
            if self._items:  # else its item was withdrawn meanwhile
                return self._items.popleft()

    def withdraw(self) -> UserInput | None:
        """The oldest item, taken without waiting; None when there is none."""
        return self._items.popleft() if self._items else None

    def clear(self) -> int:
        """Drop everything; how much that was."""
        dropped = len(self._items)
        self._items.clear()
        return dropped

    def snapshot(self, limit: int) -> list[UserInput]:
        """The oldest `limit` items, in order."""
        return list(self._items)[: max(0, limit)]
