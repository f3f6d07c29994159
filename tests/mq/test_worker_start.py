"""A worker from settings: where Redis is, what it is called, and that it can be stopped early."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from modelserver.plans import echo
from support.nodes import local_host
from support.redis import redis_server
from turnstone.core.config import load_settings
from turnstone.core.errors import ConfigurationError
from turnstone.mq import AsyncTurnstoneClient
from turnstone.mq.errors import QueueUnavailable
from turnstone.mq.lock import Hold
from turnstone.mq.worker_start import WorkerFence, start_worker

PATIENCE = 60.0


async def test_a_worker_takes_its_redis_and_its_prefix_from_the_settings(tmp_path: Path) -> None:
    with redis_server("--requirepass", "secret") as redis:
        settings = load_settings(
            "turnstone-bridge",
            flags={"redis.host": "127.0.0.1", "redis.port": redis.port},
            env={
                "HOME": str(tmp_path),
                "REDIS_PASSWORD": "secret",
            },
        )
        fence = WorkerFence()
        async with local_host(tmp_path, echo, fence=fence) as host:
            worker = await start_worker(
                host, settings, node_id=host.node_id, server_url="http://here"
            )
            fence.bind(worker)
            running = asyncio.create_task(worker.run())
            async with AsyncTurnstoneClient(
                port=redis.port, password="secret", prefix=settings.redis.prefix
            ) as client:
                result = await client.send_and_wait("go", timeout=PATIENCE)
                [node] = await client.list_nodes()
            await worker.aclose()
            await running

    assert result.content == "go"
    assert (node["node_id"], node["server_url"]) == (host.node_id, "http://here")


async def test_a_worker_that_is_stopped_before_it_began_does_nothing(tmp_path: Path) -> None:
    with redis_server() as redis:
        settings = load_settings(
            "turnstone-bridge",
            flags={"redis.host": "127.0.0.1", "redis.port": redis.port},
            env={"HOME": str(tmp_path)},
        )
        async with local_host(tmp_path, echo) as host:
            worker = await start_worker(host, settings, node_id="n1")
            await worker.aclose()
            async with asyncio.timeout(PATIENCE):
                await worker.run()
        with redis.client() as connection:
            assert connection.keys("*") == []


async def test_a_fence_without_a_worker_lets_nothing_pass() -> None:
    fence = WorkerFence(patience=0.05)
    with pytest.raises(QueueUnavailable, match="has not started"):
        await fence("c1")


async def test_a_second_worker_under_the_same_name_is_refused(tmp_path: Path) -> None:
    with redis_server() as redis:
        settings = load_settings(
            "turnstone-bridge",
            flags={"redis.host": "127.0.0.1", "redis.port": redis.port},
            env={"HOME": str(tmp_path)},
        )
        async with local_host(tmp_path, echo) as host:
            worker = await start_worker(host, settings, node_id="n1", held=Hold("00000001"))
            running = asyncio.create_task(worker.run())
            async with asyncio.timeout(PATIENCE):
                await worker.ready.wait()
            with pytest.raises(ConfigurationError, match="as node n1"):
                await start_worker(host, settings, node_id="n1", held=Hold("00000002"))
            await worker.aclose()
            await running
