"""Leaving a stream before its end closes it at once, and not when it is collected. Pure."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from oturn.transport.base import StreamItem


@asynccontextmanager
async def closing(items: AsyncIterator[StreamItem]) -> AsyncIterator[AsyncIterator[StreamItem]]:
    """The same items; behind the block their stream is closed, if it can be (generators can)."""
    try:
        yield items
    finally:
        if isinstance(items, AsyncGenerator):
            await items.aclose()
