"""Nodes that work from a queue: the real engine, the real worker, a real Redis, one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelserver import ModelServer, Plan
from support.nodes import start_host
from support.redis import RedisServer
from turnstone.core.host import Host
from turnstone.core.local_host import LocalHost
from turnstone.mq.connection import RedisAddress
from turnstone.mq.redis_work import RedisWork
from turnstone.mq.worker import Worker
from turnstone.mq.worker_start import WorkerFence

#: Seconds for a worker to start or stop, and for a turn; more is a failure.
PATIENCE = 60.0


@dataclass
class WorkingNode:
    """A node whose worker runs. `model.requests` has what its model was asked."""

    host: LocalHost
    worker: Worker
    model: ModelServer
    running: asyncio.Task[None]

    @property
    def node_id(self) -> str:
        return self.worker.node_id


@asynccontextmanager
async def working_node(
    folder: Path,
    plan: Plan,
    address: RedisAddress,
    node_id: str,
    *,
    token_delay: float = 0.0,
    engine: dict[str, Any] | None = None,
    work: dict[str, Any] | None = None,
    **worker: Any,
) -> AsyncIterator[WorkingNode]:
    """A node with its store in `folder`; started again there, it goes on."""
    with ModelServer(plan, token_delay=token_delay) as model:
        fence = WorkerFence()
        host = await start_host(folder, model.base_url, fence=fence, **(engine or {}))
        try:
            async with running_worker(host, address, node_id, work=work, **worker) as one:
                fence.bind(one[0])
                yield WorkingNode(host, one[0], model, one[1])
        finally:
            await host.aclose()


@asynccontextmanager
async def running_worker(
    host: Host,
    address: RedisAddress,
    node_id: str,
    *,
    work: dict[str, Any] | None = None,
    **options: Any,
) -> AsyncIterator[tuple[Worker, asyncio.Task[None]]]:
    steps = await RedisWork.open(address, node_id, **(work or {}))
    worker = Worker(host, steps, **options)
    running = asyncio.create_task(worker.run())
    try:
        ready = asyncio.create_task(worker.ready.wait())
        async with asyncio.timeout(PATIENCE):
            await asyncio.wait({ready, running}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if running.done():
            running.result()
        yield worker, running
    finally:
        await worker.aclose()
        await asyncio.gather(running, return_exceptions=True)


def end_lease(server: RedisServer, work: RedisWork) -> None:
    """End the lease of that process, as if it had not beaten in time."""
    with server.client() as connection:
        connection.zadd("turnstone:x:alive", {f"{work.node_id}|{work.boot}": 1})
