"""One workstream, followed in the background: its events one after another, each once.

Knows a `Host` and nothing of terminals. Decides nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from turnstone.cli.bridge import Bridge
from turnstone.core import events as ev
from turnstone.core.errors import NodeUnavailable, UnknownWorkstream
from turnstone.core.host import Host

#: Events that wait to be shown. Behind a full queue the reader lags, and the node's log and
#: the bridge see to the rest.
WAITING = 1024


class Feed:
    """Made by `following`; `next` for one reader."""

    def __init__(self, ws_id: str) -> None:
        self.ws_id = ws_id
        self.connected = ev.Connected()  # what a new reader is told first
        self._queue: asyncio.Queue[ev.Event | Exception] = asyncio.Queue(WAITING)
        self._failure: Exception | None = None

    @property
    def failed(self) -> bool:
        """Nothing will come any more."""
        return self._failure is not None

    async def next(self) -> ev.Event:
        """The next event. Raises what following raised, and UnknownWorkstream after its end."""
        if self._failure is not None:
            raise self._failure
        item = await self._queue.get()
        if isinstance(item, Exception):
            self._failure = item
            raise item
        return item

    async def fill(self, host: Host) -> None:
        """Follow the workstream, for ever; what goes wrong is told to whoever calls `next`."""
        bridge = Bridge()
        try:
            async for event in host.follow(self.ws_id):
                for news in bridge.take(event):
                    await self._queue.put(news)
                if isinstance(event, ev.WsClosed):
                    text = f"Workstream {self.ws_id} was closed."
                    return await self._queue.put(UnknownWorkstream(text))
        except Exception as error:
            return await self._queue.put(error)
        await self._queue.put(NodeUnavailable("The node ended the stream of events."))


@asynccontextmanager
async def following(host: Host, ws_id: str) -> AsyncIterator[Feed]:
    """Follow a workstream while the block runs. Nothing that happens inside it is missed."""
    feed = Feed(ws_id)
    reader = asyncio.create_task(feed.fill(host), name=f"follow-{ws_id}")
    try:
        first = await feed.next()
        assert isinstance(first, ev.Connected), f"a reader is first told connected, not {first}"
        feed.connected = first
        yield feed
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
