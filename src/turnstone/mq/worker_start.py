"""Starts a worker from settings: beside the node in its process, or before one that is elsewhere.

Sees to it that a node has one worker. It runs nothing itself.
"""

from __future__ import annotations

import asyncio
import logging

from turnstone.core.config import Settings
from turnstone.core.host import Host
from turnstone.mq.connection import RedisAddress
from turnstone.mq.errors import AnotherWorker, QueueUnavailable
from turnstone.mq.lock import Hold
from turnstone.mq.redis_work import RedisWork
from turnstone.mq.work import Seat, Work
from turnstone.mq.worker import Worker

log = logging.getLogger(__name__)

#: Seconds that a turn's first effect waits for the worker of its node to be there.
FENCE_WAIT = 10.0

#: Seconds between two looks at whether another worker lives.
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
    held: Hold | None = None,
) -> Worker:
    """A worker that has seen its Redis, ready to `run`.

    `held`: the lock that the caller holds for the node; an earlier worker that held it is dead.
    Raises QueueUnavailable where Redis does not answer or refuses,
    ConfigurationError for one that cannot keep a queue, and AnotherWorker where the node has one.
    """
    address, prefix = redis_address(settings), settings.redis.prefix
    work = await open_alone(address, node_id, prefix, node_id, held)
    return Worker(
        host,
        work,
        slots=settings.queue.slots,
        approval_timeout=settings.bridge.approval_timeout,
        auto_approve=settings.queue.auto_approve,
        in_process=in_process,
        metadata={"server_url": server_url},
    )


async def open_alone(
    address: RedisAddress, node_id: str, prefix: str, server_id: str, held: Hold | None
) -> RedisWork:
    """The queue for a process that is the only one that works for this server. Raises as
    `start_worker`."""
    seat = Seat(server_id, held.dead if held is not None else ())
    boot = held.boot if held is not None else ""
    work = await RedisWork.open(address, node_id, prefix=prefix, boot=boot, seat=seat)
    try:
        await refuse_second(work, server_id)
    except BaseException:
        await work.aclose()
        raise
    return work


async def refuse_second(work: Work, server_id: str) -> None:
    """Raises AnotherWorker if another lives that has this one's seat: it renews its lease. One
    that is gone does not; the end of that is waited for, which is a lease at most."""
    first = found = await work.rival()
    if first is not None:
        log.info(
            "Another worker was registered for server %s. Waiting to see whether it still runs: "
            "at most one lease.",
            server_id,
        )
    while found is not None and found == first:
        await asyncio.sleep(_LOOK)
        found = await work.rival()
    if found is not None:
        raise AnotherWorker(server_id, found.incarnation)
