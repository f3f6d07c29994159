"""The store of the settings, open while a command looks into it or changes it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from turnstone.core.config import Settings
from turnstone.core.node import NodeLock, lock_process
from turnstone.core.store import Store
from turnstone.wiring import open_store


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[tuple[Store, NodeLock]]:
    """The store, and this process as one of its nodes. Raises StoreError, ConfigurationError."""
    lock = lock_process(settings.store.path)
    try:
        store = await open_store(settings, lock)
        try:
            yield store, lock
        finally:
            await store.aclose()
    finally:
        lock.release()
