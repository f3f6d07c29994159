"""A Redis that is not there, not ours, or gone for a while: told clearly, waited for, survived."""

from __future__ import annotations

import asyncio
import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from modelserver import Reply, hold, text
from modelserver.plans import echo, last_user_text
from support.redis import redis_server
from support.workers import working_node
from turnstone.core.errors import ConfigurationError
from turnstone.mq import AsyncTurnstoneClient, TurnstoneClient
from turnstone.mq.connection import RedisAddress
from turnstone.mq.errors import QueueUnavailable
from turnstone.mq.redis_work import RedisWork

PATIENCE = 45.0


async def test_a_client_says_where_no_redis_answers(unused_tcp_port: int) -> None:
    async with AsyncTurnstoneClient(host="127.0.0.1", port=unused_tcp_port) as client:
        with pytest.raises(QueueUnavailable, match=f"127.0.0.1:{unused_tcp_port}"):
            await client.send("go")


async def test_a_worker_says_where_no_redis_answers(unused_tcp_port: int) -> None:
    with pytest.raises(QueueUnavailable, match=f"127.0.0.1:{unused_tcp_port}"):
        await RedisWork.open(RedisAddress("127.0.0.1", unused_tcp_port), "n1")


async def test_a_wrong_password_is_told_at_once_and_not_tried_again() -> None:
    with redis_server("--requirepass", "right") as server:
        async with AsyncTurnstoneClient(port=server.port, password="wrong") as client:
            with pytest.raises(QueueUnavailable, match="password"):
                await client.send_and_wait("go", timeout=PATIENCE)
        with pytest.raises(QueueUnavailable, match="password"):
            await RedisWork.open(RedisAddress("127.0.0.1", server.port, password="wrong"), "n1")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, r"asks for a password, and none was given\. Set password, and username"),
        ({"password": "wrong"}, r"does not accept the password\. Correct password, and"),
        ({"password": "x", "username": "bob"}, "accept the password for the user bob"),
    ],
)
async def test_what_is_wrong_with_a_password_is_told_in_a_sentence(
    given: dict[str, str], told: str
) -> None:
    with redis_server("--requirepass", "right") as server:
        async with AsyncTurnstoneClient(port=server.port, **given) as client:
            with pytest.raises(QueueUnavailable, match=told):
                await client.list_nodes()


async def test_a_right_password_is_enough(tmp_path: Path) -> None:
    with redis_server("--requirepass", "right") as server:
        address = RedisAddress("127.0.0.1", server.port, password="right")

        def program() -> str:
            with TurnstoneClient(port=server.port, password="right") as client:
                return client.send_and_wait("go", timeout=PATIENCE).content

        async with working_node(tmp_path, echo, address, "n1"):
            assert await asyncio.to_thread(program) == "go"


async def test_a_redis_that_throws_work_away_is_refused() -> None:
    with redis_server("--maxmemory-policy", "allkeys-lru") as server:
        with pytest.raises(ConfigurationError, match="noeviction"):
            await RedisWork.open(server.address, "n1")


async def test_a_redis_restarted_under_load_loses_nothing_that_was_accepted(
    tmp_path: Path,
) -> None:
    with redis_server("--appendonly", "yes", "--appendfsync", "always") as server:
        async with (
            working_node(tmp_path, echo, server.address, "n1", token_delay=0.003) as node,
            AsyncTurnstoneClient(port=server.port) as client,
        ):
            said = [f"message {number}" for number in range(60)]
            waiting = [
                asyncio.create_task(client.send_and_wait(each, timeout=PATIENCE)) for each in said
            ]
            for answered in (5, 25):
                await until(lambda answered=answered: sum(t.done() for t in waiting) >= answered)
                server.kill()
                await asyncio.sleep(0.3)  # it is away for a while
                await asyncio.to_thread(server.start)
            results = await asyncio.gather(*waiting)

    assert all(result.ok for result in results), [r for r in results if not r.ok]
    assert [result.content for result in results] == said
    asked = sorted(last_user_text(body) for body in node.model.requests)
    assert asked == sorted(said)  # none was run twice


async def test_a_turn_goes_on_while_redis_is_away_and_is_told_when_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gate = threading.Event()
    ended = threading.Event()

    def plan(body: dict[str, Any]) -> Reply:
        return hold(text("said while nobody could hear it"), gate, before=2)

    caplog.set_level(logging.WARNING, logger="turnstone.mq")
    with redis_server("--appendonly", "yes") as server:
        async with (
            working_node(tmp_path, plan, server.address, "n1") as node,
            AsyncTurnstoneClient(port=server.port) as client,
        ):
            waiting = asyncio.create_task(client.send_and_wait("go", timeout=PATIENCE))
            await until(lambda: bool(node.model.requests))
            server.kill()
            gate.set()
            [info] = await node.host.list()
            async with asyncio.timeout(PATIENCE):
                while (await node.host.list())[0].state != "idle":
                    await asyncio.sleep(0.01)  # the state of the node is waited for
            ended.set()
            await asyncio.to_thread(server.start)
            result = await waiting

    assert (result.ok, result.content) == (True, "said while nobody could hear it")
    lost = [r for r in caplog.records if "waits for its queue" in r.message]
    assert len(lost) == 1, [r.message for r in caplog.records]


async def test_a_worker_does_not_spin_while_redis_is_away(tmp_path: Path) -> None:
    with redis_server() as server:
        async with working_node(tmp_path, echo, server.address, "n1"):
            server.kill()
            attempts = 0

            async def turned_away(_: Any, writer: asyncio.StreamWriter) -> None:
                nonlocal attempts
                attempts += 1
                writer.close()

            stranger = await asyncio.start_server(turned_away, "127.0.0.1", server.port)
            await asyncio.sleep(3)  # the time in which attempts are counted
            stranger.close()
            await stranger.wait_closed()
            seen = attempts
            await asyncio.to_thread(server.start)

    assert 1 <= seen <= 20


async def until(condition: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)  # the condition is the state that is waited for
