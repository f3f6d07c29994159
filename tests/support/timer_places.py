"""Where timers are kept, for their contract: on Redis, in memory, and in a node's store."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

import redis.asyncio

from modelserver.plans import echo
from support.clocks import SetClock
from support.nodes import local_node
from support.redis import RedisServer
from turnstone.core import events as ev
from turnstone.core.clock import SystemClock
from turnstone.core.store import SqliteStore
from turnstone.core.timekeeping import StoreTimers
from turnstone.core.timers import Timers
from turnstone.mq.keys import Keys
from turnstone.mq.memory_broker import MemoryBroker
from turnstone.mq.redis_work import RedisWork
from turnstone.mq.signing import Keyring
from turnstone.mq.timers import MemoryTimers


class Place(Protocol):
    """Timers as a test sees them: who works on them, and what was sent."""

    async def node(self) -> Timers:
        """The timers, as one process more sees them."""

    async def sent(self) -> list[str]:
        """The correlation ids of the messages that were sent, in their order."""

    async def aclose(self) -> None: ...


class MemoryPlace:
    def __init__(self) -> None:
        self.broker = MemoryBroker(clock=SetClock())

    async def node(self) -> Timers:
        return MemoryTimers(self.broker)

    async def sent(self) -> list[str]:
        return _ids(list(self.broker.list(self.broker.keys.inbound)))

    async def aclose(self) -> None:
        pass


class RedisPlace:
    def __init__(self, server: RedisServer) -> None:
        self.redis: Any = redis.asyncio.Redis(unix_socket_path=server.socket)
        self._server = server
        self._opened: list[RedisWork] = []

    async def node(self, keyring: Keyring | None = None) -> Timers:
        name = f"n{len(self._opened)}"
        work = await RedisWork.open(self._server.address, name, keyring=keyring)
        self._opened.append(work)
        return work.timers

    async def sent(self) -> list[str]:
        return _ids(await self.redis.lrange(Keys().inbound, 0, -1))

    async def aclose(self) -> None:
        for work in self._opened:
            await work.aclose()
        await self.redis.aclose()


class StorePlace:
    """On SQLite, with one node that the messages are sent to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._opened = AsyncExitStack()
        self._clock = SystemClock()
        self._host: Any = None

    async def node(self) -> Timers:
        if self._host is None:
            entered = local_node(self._folder, echo, clock=self._clock)
            self._host = (await self._opened.enter_async_context(entered)).host
            # What is due is for the test to fire.
            self._host._tasks.pop().cancel()
        store = await SqliteStore.open(self._folder / "turnstone.db")
        self._opened.push_async_callback(store.aclose)
        return StoreTimers(store, self._host, self._clock)

    async def sent(self) -> list[str]:
        found = []
        store = await SqliteStore.open(self._folder / "turnstone.db")
        try:
            for row in await store.rows():
                found += [
                    (e.timestamp, e.correlation_id)
                    for e in await store.records(row.ws_id)
                    if isinstance(e, ev.MessageAccepted)
                ]
        finally:
            await store.aclose()
        return [correlation_id for _, correlation_id in sorted(found)]

    async def aclose(self) -> None:
        await self._opened.aclose()


def _ids(messages: list[bytes]) -> list[str]:
    return [json.loads(message)["correlation_id"] for message in messages]
