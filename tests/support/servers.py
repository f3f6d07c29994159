"""A node's server for tests: the real app on real uvicorn and a free port, in this event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from turnstone.core.host import Host
from turnstone.server.app import NodeApp
from turnstone.server.auth import Auth, Token
from turnstone.server.connection import HEAD_TIME
from turnstone.server.run import MAX_CONNECTIONS, serve

READ, APPROVE, FULL = "token-that-reads", "token-that-approves", "token-that-does-all"

#: Seconds for a server to start or stop; more is a failure.
PATIENCE = 60.0


def three_roles() -> Auth:
    return Auth([Token(READ, "read"), Token(APPROVE, "approve", "ann"), Token(FULL, "full")])


@dataclass
class Served:
    """A server that runs; `url` is where. `stop` ends it before its time."""

    app: NodeApp
    url: str
    running: asyncio.Task[None]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def client(self, token: str | None = FULL, **headers: str) -> httpx2.AsyncClient:
        """A peer that knows nothing of our client."""
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        return httpx2.AsyncClient(base_url=self.url, headers=headers, timeout=PATIENCE)

    async def stop(self) -> None:
        self.running.cancel()
        async with asyncio.timeout(PATIENCE):
            await asyncio.wait({self.running})


@asynccontextmanager
async def serving(
    host: Host,
    *,
    auth: Auth | None = None,
    port: int = 0,
    max_connections: int = MAX_CONNECTIONS,
    head_time: float = HEAD_TIME,
    **app: Any,
) -> AsyncIterator[Served]:
    """Serve this host; `app` are arguments of NodeApp."""
    node_app = NodeApp(host, auth or three_roles(), **app)
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(
        serve(
            node_app,
            "127.0.0.1",
            port,
            ready=url.set_result,
            max_connections=max_connections,
            head_time=head_time,
        )
    )
    async with asyncio.timeout(PATIENCE):
        waiting: list[asyncio.Future[Any]] = [running, url]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        running.result()
    served = Served(node_app, url.result(), running)
    try:
        yield served
    finally:
        await served.stop()
