"""Text of any length kept in bounded memory: its head, its tail, and how much was between.

Pure. Pieces go in as they come; nothing is kept beyond the limit, however much arrives.
"""

from __future__ import annotations

from collections import deque


class HeadTail:
    """Keeps the first and the last half of `limit` characters; counts what it drops."""

    def __init__(self, limit: int) -> None:
        self._head_room = limit // 2
        self._tail_room = limit - limit // 2
        self._limit = limit
        self._head: list[str] = []
        self._tail: deque[str] = deque()
        self._tail_size = 0
        self.dropped = 0

    def add(self, text: str) -> None:
        if self._head_room:
            self._head.append(text[: self._head_room])
            taken = len(self._head[-1])
            self._head_room -= taken
            text = text[taken:]
        if text:
            self._tail.append(text)
            self._tail_size += len(text)
            self._shrink()

    def text(self) -> str:
        """What was kept, with a note where the rest was."""
        head, tail = "".join(self._head), "".join(self._tail)
        if not self.dropped:
            return head + tail
        note = f"[{self.dropped:,} characters cut out here; the limit is {self._limit:,}]"
        return f"{head}\n{note}\n{tail}"

    def _shrink(self) -> None:
        while (excess := self._tail_size - self._tail_room) > 0:
            first = self._tail.popleft()
            if len(first) > excess:
                self._tail.appendleft(first[excess:])
            gone = min(len(first), excess)
            self._tail_size -= gone
            self.dropped += gone
