"""Events that carry a `future` for a subscriber to resolve, and how long to wait for one.

Once any subscriber has taken the future, it is waited for without limit. When nobody has
within a grace, the question is given up and the asker goes on by policy; the future is left
as it is, so that a late answer does no harm. No question is asked or judged here.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, ItemsView, Iterator, Mapping, ValuesView
from typing import Any, TypeAlias

from oturn.events import UnansweredEvent, ev_unanswered

Publish: TypeAlias = Callable[[Any], Awaitable[None]]


class Question(dict[str, Any]):
    """An event dict that notes when its `future` is taken: by `[]`, `get`, `pop`, `values`,
    `items`, or copied as a whole. Printing it is no taking.

    `grace` in seconds; None waits without limit from the start.
    """

    def __init__(self, event: Mapping[str, Any], grace: float | None = None) -> None:
        super().__init__(event)
        self.grace = grace
        self._future: asyncio.Future[Any] = event["future"]
        self._taken = asyncio.Event()
        # An answer that comes after the question was given up may be an exception: it is seen.
        self._future.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def settled(self) -> asyncio.Future[Any] | None:
        """The future, done; None when the question was given up. Never raises its exception."""
        if self.grace is not None and not await self._claimed(self.grace):
            return None
        await asyncio.wait({self._future})
        return self._future

    def given_up(self, decision: str) -> UnansweredEvent:
        """The event that tells how policy decided in the place of an answer."""
        peek = super().__getitem__
        asked_id = peek("delta_id") if "delta_id" in self else peek("id")
        return ev_unanswered(
            request=peek("type"), id=asked_id, tool=peek("tool"), decision=decision
        )

    async def _claimed(self, grace: float) -> bool:
        taken = asyncio.ensure_future(self._taken.wait())
        try:
            await asyncio.wait(
                {taken, self._future}, timeout=grace, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            taken.cancel()
        return self._taken.is_set() or self._future.done()

    def __getitem__(self, key: str) -> Any:
        self._note(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None, /) -> Any:
        self._note(key)
        return super().get(key, default)

    def pop(self, key: str, *default: Any) -> Any:
        self._note(key)
        return super().pop(key, *default)

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        self._taken.set()
        return dict.values(self)

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        self._taken.set()
        return dict.items(self)

    def copy(self) -> dict[str, Any]:
        self._taken.set()
        return super().copy()

    def __iter__(self) -> Iterator[str]:
        # Defined so that dict(event) and {**event} copy by way of __getitem__ above.
        return super().__iter__()

    def _note(self, key: str) -> None:
        if key == "future":
            self._taken.set()


def new_future() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()


def new_id(prefix: str) -> str:
    """`prefix` and 32 hexadecimal digits."""
    return f"{prefix}_{uuid.uuid4().hex}"
