"""The bridge: the same queue, in front of a server that is reached over HTTP."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from modelserver import Plan
from modelserver.plans import echo, last_user_text, shell
from support.nodes import local_node
from support.redis import RedisServer, redis_server
from support.servers import FULL, serving
from support.workers import running_worker
from turnstone.api.http_host import HttpHost
from turnstone.core.errors import ConfigurationError
from turnstone.mq import AsyncTurnstoneClient
from turnstone.mq.redis_work import RedisWork
from turnstone.mq.worker_start import refuse_second

PATIENCE = 40.0


@asynccontextmanager
async def bridged(
    folder: Path, plan: Plan, redis: RedisServer, **worker: Any
) -> AsyncIterator[Any]:
    """A served node with a worker before it that knows nothing but its URL."""
    async with local_node(folder, plan) as node, serving(node.host) as served:
        host = HttpHost(served.url, FULL)
        try:
            async with running_worker(host, redis.address, "n1", in_process=False, **worker):
                yield node
        finally:
            await host.aclose()


async def test_messages_through_the_bridge_are_answered(tmp_path: Path) -> None:
    with redis_server() as redis:
        async with (
            bridged(tmp_path, echo, redis) as node,
            AsyncTurnstoneClient(port=redis.port) as client,
        ):
            first = await client.send_and_wait("one", timeout=PATIENCE)
            again = await client.send_and_wait("two", ws_id=first.ws_id, timeout=PATIENCE)
            many = await asyncio.gather(
                *(client.send_and_wait(f"many {n}", timeout=PATIENCE) for n in range(20))
            )

    assert (first.content, again.content) == ("one", "two"), (first, again)
    assert [result.content for result in many] == [f"many {n}" for n in range(20)]
    asked = [last_user_text(body) for body in node.model.requests]
    assert len(asked) == len(set(asked)) == 22


async def test_a_question_is_answered_through_the_bridge(tmp_path: Path) -> None:
    with redis_server() as redis:
        async with (
            bridged(tmp_path, shell, redis),
            AsyncTurnstoneClient(port=redis.port) as client,
        ):

            async def on_event(event: Any) -> None:
                if event.type == "approval_request":
                    await client.approve(event.correlation_id)

            result = await client.send_and_wait(
                "run: echo bridged", auto_approve=False, timeout=PATIENCE, on_event=on_event
            )

    assert (result.ok, "bridged" in result.content) == (True, True), result


async def test_a_second_worker_for_a_server_is_refused(tmp_path: Path) -> None:
    with redis_server() as redis:
        metadata = {"server_url": "http://node:8080", "lock": "elsewhere"}
        async with bridged(tmp_path, echo, redis, metadata=metadata, beat_every=0.2):
            second = await RedisWork.open(redis.address, "another-name")
            try:
                with pytest.raises(ConfigurationError, match="as node n1"):
                    await refuse_second(second, "http://node:8080", "here")
                await refuse_second(second, "http://other:8080", "here")
            finally:
                await second.aclose()


PROGRAM = """
import logging, sys
from turnstone.core.errors import TurnstoneError
from turnstone.mq.bridge import Bridge
from turnstone.mq import RedisBroker
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
try:
    Bridge(sys.argv[1], RedisBroker(port=int(sys.argv[2])), auth_token=sys.argv[3]).run()
except TurnstoneError as error:
    sys.exit(str(error))
"""


async def bridge(url: str, redis: RedisServer, token: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        url,
        str(redis.port),
        token,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_the_bridge_program_works_stops_gently_and_is_the_only_one(tmp_path: Path) -> None:
    with redis_server() as redis:
        async with (
            local_node(tmp_path, echo) as node,
            serving(node.host) as served,
            AsyncTurnstoneClient(port=redis.port) as client,
        ):
            first = await bridge(served.url, redis, FULL)
            try:
                result = await client.send_and_wait("through the program", timeout=PATIENCE)
                [entry] = await client.list_nodes()
                second = await bridge(served.url, redis, FULL)
                _, complaint = await asyncio.wait_for(second.communicate(), PATIENCE)
                first.terminate()
                code = await asyncio.wait_for(first.wait(), PATIENCE)
            finally:
                if first.returncode is None:
                    first.kill()
                await first.communicate()

    assert result.content == "through the program"
    assert entry["node_id"] == node.host.node_id
    assert entry["server_url"] == served.url
    assert "on this machine already" in complaint.decode()
    assert code == 0


async def test_the_bridge_program_says_when_the_server_does_not_know_its_token(
    tmp_path: Path,
) -> None:
    with redis_server() as redis:
        async with local_node(tmp_path, echo) as node, serving(node.host) as served:
            process = await bridge(served.url, redis, "some-other-token")
            _, complaint = await asyncio.wait_for(process.communicate(), PATIENCE)

    assert "token" in complaint.decode()
    assert "Traceback" not in complaint.decode()
    assert process.returncode == 1
