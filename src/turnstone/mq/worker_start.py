"""Starts a worker from settings: beside the node in its process, or before one that is elsewhere.

Sees to it that a node has one worker. It runs nothing itself.
"""

from __future__ import annotations

import asyncio

from turnstone.core.config import Settings
from turnstone.core.errors import ConfigurationError
from turnstone.core.host import Host
from turnstone.mq.connection import RedisAddress
from turnstone.mq.errors import QueueUnavailable
from turnstone.mq.redis_work import RedisWork
from turnstone.mq.work import LEASE, Work
from turnstone.mq.worker import Worker

#: Seconds that a turn's first effect waits for the worker of its node to be there.
FENCE_WAIT = 10.0

#: Seconds in which another worker, if it lives, beats; and between two looks.
_WATCH = LEASE / 3 + 1
_LOOK = 0.25


class WorkerFence:
    """The fence of a node whose worker starts after it (`turnstone.core.engine.Fence`).

    Give it to the node, and `bind` it to the worker. `patience`: seconds to wait for that.
    """

    def __init__(self, patience: float = FENCE_WAIT) -> None:
        self._patience = patience
        self._worker: Worker | None = None
        self._bound = asyncio.Event()

    def bind(self, worker: Worker) -> None:
        self._worker = worker
        self._bound.set()

    async def __call__(self, correlation_id: str) -> bool:
        try:
            async with asyncio.timeout(self._patience):
                await self._bound.wait()
        except TimeoutError:
            raise QueueUnavailable("The queue's worker of this node has not started.") from None
        assert self._worker is not None
        return await self._worker.fence(correlation_id)


def redis_address(settings: Settings) -> RedisAddress:
    """Where the settings say that Redis is."""
    redis = settings.redis
    return RedisAddress(
        host=redis.host,
        port=redis.port,
        db=redis.db,
        username=redis.user or None,
        password=redis.password.reveal() or None,
        tls=redis.tls,
    )


async def start_worker(
    host: Host,
    settings: Settings,
    *,
    node_id: str,
    server_url: str = "",
    in_process: bool = True,
    same_lock: str = "",
) -> Worker:
    """A worker that has seen its Redis, ready to `run`.

    `same_lock` names the lock that the caller holds for the node: an earlier worker that held
    it too is dead. Raises QueueUnavailable where Redis does not answer or refuses, and
    ConfigurationError for one that cannot keep a queue, or where the node has a worker already.
    """
    work = await RedisWork.open(redis_address(settings), node_id, prefix=settings.redis.prefix)
    try:
        await refuse_second(work, server_url, same_lock)
    except BaseException:
        await work.aclose()
        raise
    return Worker(
        host,
        work,
        slots=settings.queue.slots,
        approval_timeout=settings.bridge.approval_timeout,
        auto_approve=settings.queue.auto_approve,
        in_process=in_process,
        metadata={"server_url": server_url, "lock": same_lock},
    )


async def refuse_second(work: Work, server_url: str, lock: str) -> None:
    """Raises ConfigurationError if another worker beats for this node, or for this server."""
    seen = await _others(work, server_url, lock)
    if not seen:
        return
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _WATCH
    while loop.time() < deadline:
        await asyncio.sleep(_LOOK)
        now = await _others(work, server_url, lock)
        alive = next((node for node in seen if now.get(node, seen[node]) != seen[node]), None)
        if alive is not None:
            raise ConfigurationError(
                f"Another worker takes work for {server_url or f'node {work.node_id}'} already,"
                f" as node {alive}.",
                hint="One is enough: stop that one, or do not start this one.",
            )


async def _others(work: Work, server_url: str, lock: str) -> dict[object, object]:
    """Workers that may live and have this node or server: how often each has beaten."""
    return {
        node["node_id"]: (node.get("boot"), node.get("beats"))
        for node in await work.nodes()
        if node["node_id"] == work.node_id or (server_url and node.get("server_url") == server_url)
        if node.get("boot") != work.boot and not (lock and node.get("lock") == lock)
    }
