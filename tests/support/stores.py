"""Stores for tests that need a slow disk, or one that fails for a while; and what is in one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakValueDictionary

from turnstone.core.errors import StoreError
from turnstone.core.events import AnyEvent, Event
from turnstone.core.store import Appended, SqliteStore


async def journal(folder: Path, ws_id: str) -> list[AnyEvent]:
    """What is kept of a workstream of the node in this folder, read beside it."""
    store = await SqliteStore.open(folder / "turnstone.db")
    try:
        return await store.records(ws_id)
    finally:
        await store.aclose()


class UnsteadyStore(SqliteStore):
    """The real store, whose writes of some records take long, or fail a number of times.

    `held` names the record whose write waits for `gate`; `writing` is set while one does.
    """

    _made: ClassVar[WeakValueDictionary[Path, UnsteadyStore]] = WeakValueDictionary()

    @classmethod
    def of(cls, folder: Path) -> UnsteadyStore:
        """The one that the node in this folder was started on last."""
        return cls._made[folder / "turnstone.db"]

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._made[path] = self
        self.held: type[Event] | None = None
        self.writing = asyncio.Event()
        self.gate = asyncio.Event()
        self.failing: type[Event] | None = None
        self.failures = 0

    async def append(
        self,
        ws_id: str,
        epoch: int,
        events: Sequence[Event],
        summary: dict[str, Any] | None = None,
    ) -> Appended:
        if self.held is not None and isinstance(events[0], self.held):
            self.held = None
            self.writing.set()
            await self.gate.wait()
        if self.failures and self.failing is not None and isinstance(events[0], self.failing):
            self.failures -= 1
            raise StoreError("The disk is full; nothing was written.", hint="Make room.")
        return await super().append(ws_id, epoch, events, summary)
