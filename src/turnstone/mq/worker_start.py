"""Starts a worker from settings: beside the node in its process, or before one that is elsewhere.

Sees to it that a node has one worker. It runs nothing itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict, Unpack

from turnstone.core.config import Settings
from turnstone.core.errors import ConfigurationError
from turnstone.core.host import Host
from turnstone.mq.connection import RedisAddress
from turnstone.mq.errors import AnotherWorker, QueueUnavailable
from turnstone.mq.labels import LABEL_WANTED, is_label
from turnstone.mq.lock import Hold
from turnstone.mq.redis_work import RedisWork
from turnstone.mq.signing import Keyring, keyring_in
from turnstone.mq.work import Seat, Work
from turnstone.mq.worker import Worker
from turnstone.mq.worker_heirs import Estate

log = logging.getLogger(__name__)

#: Seconds that a turn's first effect waits for the worker of its node to be there.
FENCE_WAIT = 10.0

#: Seconds between two looks at whether another worker lives.
_LOOK = 0.25


class Options(TypedDict, total=False):
    """What a node brings to the queue: see `Work`."""

    labels: Sequence[str]
    keyring: Keyring | None
    lost_after: float


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
        tls_ca_file=_path(redis.tls_ca_file),
        tls_cert_file=_path(redis.tls_cert_file),
        tls_key_file=_path(redis.tls_key_file),
        sentinels=redis.sentinels,
        sentinel_name=redis.sentinel_name,
        sentinel_username=redis.sentinel_user or None,
        sentinel_password=redis.sentinel_password.reveal() or None,
        wait_replicas=redis.wait_replicas,
        wait_ms=redis.wait_ms,
    )


def _path(named: str) -> str | None:
    return str(Path(named).expanduser()) if named else None


def keyring_of(settings: Settings) -> Keyring | None:
    """Whose messages the node takes; None: everybody's. Raises ConfigurationError."""
    return keyring_in(settings.queue.signing_secret.reveal(), settings.queue.signing_file)


def labels_of(settings: Settings) -> tuple[str, ...]:
    """The labels of the node. Raises ConfigurationError for one that no message could ask for."""
    for label in settings.node.labels:
        if not is_label(label):
            raise ConfigurationError(
                f"node.labels: {label!r} is no label. {LABEL_WANTED}",
                hint=f"Correct it where it was set: {settings.source('node.labels')}.",
            )
    return tuple(dict.fromkeys(settings.node.labels))


def options_of(settings: Settings) -> Options:
    """What the settings say of a node's part in the queue. Raises ConfigurationError."""
    return {
        "labels": labels_of(settings),
        "keyring": keyring_of(settings),
        "lost_after": settings.queue.node_lost_after,
    }


async def start_worker(
    host: Host,
    settings: Settings,
    *,
    node_id: str,
    server_url: str = "",
    in_process: bool = True,
    held: Hold | None = None,
    estate: Estate | None = None,
    facts: dict[str, object] | None = None,
) -> Worker:
    """A worker that has seen its Redis, ready to `run`.

    `facts`: what the heartbeat says of the node, beside its machine.
    `held`: the lock that the caller holds for the node; an earlier worker that held it is dead.
    `estate`: the node's way to take over what dead nodes had of a store that it shares.
    Raises QueueUnavailable where Redis does not answer or refuses,
    ConfigurationError for one that cannot keep a queue, and AnotherWorker where the node has one.
    """
    address, prefix = redis_address(settings), settings.redis.prefix
    work = await open_alone(address, node_id, prefix, node_id, held, **options_of(settings))
    return Worker(
        host,
        work,
        slots=settings.queue.slots,
        approval_timeout=settings.bridge.approval_timeout,
        auto_approve=settings.queue.auto_approve,
        in_process=in_process,
        metadata={"server_url": server_url, **(facts or {})},
        state=settings.store.path.parent,
        estate=estate,
    )


async def open_alone(
    address: RedisAddress,
    node_id: str,
    prefix: str,
    server_id: str,
    held: Hold | None,
    **options: Unpack[Options],
) -> RedisWork:
    """The queue for a process that is the only one that works for this server. Raises as
    `start_worker`."""
    seat = Seat(server_id, held.dead if held is not None else ())
    boot = held.boot if held is not None else ""
    work = await RedisWork.open(address, node_id, prefix=prefix, boot=boot, seat=seat, **options)
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
        raise AnotherWorker(server_id, found.incarnation, found.seat)
