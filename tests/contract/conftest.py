"""What the contracts over every way to a node share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from support.hosts import Told, either
from support.queues import MemoryQueue, Queue, RedisQueue
from support.redis import RedisServer, redis_server
from support.redis_groups import redis_cluster
from support.redis_rights import restrict
from turnstone.core.host import Host


@pytest.fixture
def model() -> Told:
    return Told()


@pytest.fixture(params=["local", "http"])
async def host(request: pytest.FixtureRequest, tmp_path: Path, model: Told) -> AsyncIterator[Host]:
    async with either(request.param, tmp_path, model, max_workstreams=3) as host:
        yield host


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture(params=["redis", "memory"])
def kind(request: pytest.FixtureRequest) -> str:
    """Where a queue is kept. A file whose steps run on a cluster too says so itself."""
    return str(request.param)


@pytest.fixture
async def queue(kind: str, request: pytest.FixtureRequest) -> AsyncIterator[Queue]:
    """An empty one."""
    opened: Queue
    if kind == "memory":
        opened = MemoryQueue()
    else:
        opened = (
            RedisQueue(request.getfixturevalue("server"))
            if kind == "redis"
            else request.getfixturevalue("restricted_cluster")()
        )
        await opened.redis.flushall()
    yield opened
    await opened.aclose()


@pytest.fixture(scope="session")
def restricted_cluster() -> Iterator[Callable[[], RedisQueue]]:
    """Queues on a cluster of three masters. Their nodes are a user with the rights of the page,
    and are told of a master that does not keep the queue."""
    prefix = "{turnstone}"
    with redis_cluster() as cluster:
        for server in cluster.servers:
            with server.client() as client:
                address = restrict(client, cluster.servers[0].address, prefix)
        yield lambda: RedisQueue(cluster.keeper, prefix, address)
