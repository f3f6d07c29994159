"""`kill -9` of a node whose store others share: another carries its turn on, and nothing is done
twice. Two real nodes, a real Redis, a real PostgreSQL.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from modelserver import ModelServer, Reply, call, calls, hold, text
from modelserver.plans import echo, last_user_text, tool_results
from support.nodes import start_host
from support.postgres import PostgresServer
from support.queue_node import queue_node
from support.redis import RedisServer, redis_server
from support.workers import running_worker
from turnstone.mq import AsyncTurnstoneClient
from turnstone.mq.keys import Keys

PATIENCE = 60.0

#: Seconds: a lease short enough to wait for its end.
SOON: dict[str, Any] = {"lease": 1.0, "grace": 1.0}


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


def allowing(client: AsyncTurnstoneClient) -> Any:
    async def on_event(event: Any) -> None:
        if event.type == "approval_request":
            await client.approve(event.correlation_id, ws_id=event.ws_id)

    return on_event


async def asked_of(model: ModelServer, count: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while len(model.requests) < count:
            await asyncio.sleep(0.01)  # what the model was asked is the state that is waited for


async def test_a_turn_whose_node_dies_before_its_tool_goes_on_elsewhere(
    tmp_path: Path, redis: RedisServer, postgres: PostgresServer
) -> None:
    url, gate = postgres.database(), threading.Event()

    def plan(body: dict[str, Any]) -> Reply:
        if tool_results(body):
            return text(f"heard: {tool_results(body)[-1][1]}")
        reply = calls(call("bash", command="echo effect >> effects; echo ran"))
        return hold(reply, gate) if len(model.requests) == 1 else reply

    with ModelServer(plan) as model:
        async with AsyncTurnstoneClient(port=redis.port) as client:
            waiting = asyncio.create_task(
                client.send_and_wait("go", timeout=PATIENCE, on_event=allowing(client))
            )
            async with queue_node(
                tmp_path / "one", model.base_url, redis.port, "n1", url=url, **SOON
            ) as one:
                await asked_of(model, 1)
                async with queue_node(
                    tmp_path / "two", model.base_url, redis.port, "n2", url=url, **SOON
                ):
                    await one.kill()
                    killed = time.monotonic()
                    await asked_of(model, 2)
                    print("taken over after", time.monotonic() - killed, "s; lease", SOON["lease"])
                    result = await waiting
            gate.set()

    assert (result.ok, "ran" in result.content) == (True, True), result
    assert (tmp_path / "one/workspace/effects").read_text() == "effect\n"


async def test_a_command_that_ran_when_its_node_died_is_not_run_again_elsewhere(
    tmp_path: Path, redis: RedisServer, postgres: PostgresServer
) -> None:
    url, effects = postgres.database(), tmp_path / "one/workspace/effects"

    def plan(body: dict[str, Any]) -> Reply:
        results = tool_results(body)
        if results:
            return text(f"heard: {results[-1][1]}")
        return calls(call("bash", command="echo effect >> effects; sleep 1000"))

    with ModelServer(plan) as model:
        async with AsyncTurnstoneClient(port=redis.port) as client:
            waiting = asyncio.create_task(
                client.send_and_wait("go", timeout=PATIENCE, on_event=allowing(client))
            )
            async with queue_node(
                tmp_path / "one", model.base_url, redis.port, "n1", url=url, **SOON
            ) as one:
                async with asyncio.timeout(PATIENCE):
                    while not effects.exists() or not effects.read_text():
                        await asyncio.sleep(0.01)  # the file is the state that is waited for
                async with queue_node(
                    tmp_path / "two", model.base_url, redis.port, "n2", url=url, **SOON
                ):
                    await one.kill()
                    result = await waiting

    assert effects.read_text().splitlines() == ["effect"]
    assert "unknown" in result.content.lower(), result


async def test_a_question_of_a_dead_node_is_answered_to_the_one_that_took_over(
    tmp_path: Path, redis: RedisServer, postgres: PostgresServer
) -> None:
    url = postgres.database()

    def plan(body: dict[str, Any]) -> Reply:
        results = tool_results(body)
        return text(f"heard: {results[-1][1]}") if results else calls(call("bash", command="ls"))

    asked: asyncio.Queue[str] = asyncio.Queue()

    def on_event(event: Any) -> None:
        if event.type == "approval_request":
            asked.put_nowait(event.correlation_id)

    with ModelServer(plan) as model:
        async with AsyncTurnstoneClient(port=redis.port) as client:
            waiting = asyncio.create_task(
                client.send_and_wait("go", auto_approve=False, timeout=PATIENCE, on_event=on_event)
            )
            async with queue_node(
                tmp_path / "one", model.base_url, redis.port, "n1", url=url, **SOON
            ) as one:
                async with asyncio.timeout(PATIENCE):
                    question = await asked.get()
                await one.kill()
            await client.approve(question, approved=False, feedback="rather not")
            async with queue_node(
                tmp_path / "two", model.base_url, redis.port, "n2", url=url, **SOON
            ):
                result = await waiting

    assert (result.ok, "rather not" in result.content) == (True, True), result
    with redis.client() as connection:
        assert not connection.exists(f"turnstone:resp:{question}")


async def test_follow_ups_that_wait_for_a_dead_node_are_answered_in_their_order(
    tmp_path: Path, redis: RedisServer, postgres: PostgresServer
) -> None:
    url = postgres.database()
    with ModelServer(echo) as model:
        async with AsyncTurnstoneClient(port=redis.port) as client:
            async with queue_node(
                tmp_path / "one", model.base_url, redis.port, "n1", url=url, **SOON
            ) as one:
                first = await client.send_and_wait("first", timeout=PATIENCE)
                await one.kill()
            said = [f"m{number}" for number in range(4)]
            waiting = []
            for each in said:
                sent = await client.send(each, ws_id=first.ws_id)
                waiting.append(sent)
            with redis.client() as connection:
                assert connection.llen("turnstone:inbound:n1") == len(said)
            async with queue_node(
                tmp_path / "two", model.base_url, redis.port, "n2", url=url, **SOON
            ):
                async with asyncio.timeout(PATIENCE):
                    for cid in waiting:
                        while (result := await client.result(cid)) is None:
                            await asyncio.sleep(0.05)  # the result is what is waited for
                        assert result.ok, result
                # From now on it is the other node's, and nothing waits for a look of anybody.
                after = await client.send_and_wait("after", ws_id=first.ws_id, timeout=PATIENCE)

        assert [last_user_text(body) for body in model.requests] == ["first", *said, "after"]
    assert (after.ok, after.ws_id) == (True, first.ws_id)


async def test_a_zombie_whose_workstream_was_taken_over_has_no_effects(
    tmp_path: Path, redis: RedisServer, postgres: PostgresServer
) -> None:
    url, gate = postgres.database(), threading.Event()

    def plan(body: dict[str, Any]) -> Reply:
        if last_user_text(body) == "say":
            return text("said")
        if tool_results(body):
            return text(f"heard: {tool_results(body)[-1][1]}")
        reply = calls(call("bash", command="echo effect >> effects; echo ran"))
        return hold(reply, gate) if len(model.requests) == 1 else reply

    with ModelServer(plan) as model:
        async with AsyncTurnstoneClient(port=redis.port) as client:
            waiting = asyncio.create_task(
                client.send_and_wait("go", timeout=PATIENCE, on_event=allowing(client))
            )
            async with queue_node(
                tmp_path / "one", model.base_url, redis.port, "n1", url=url, **SOON
            ) as zombie:
                await asked_of(model, 1)
                zombie.pause()
                async with queue_node(
                    tmp_path / "two", model.base_url, redis.port, "n2", url=url, **SOON
                ):
                    result = await waiting
                    zombie.wake()
                    gate.set()
                    again = await client.send_and_wait(
                        "say", ws_id=result.ws_id, timeout=PATIENCE, on_event=allowing(client)
                    )

    assert (result.ok, "ran" in result.content) == (True, True), result
    assert again.ok, again
    assert (tmp_path / "one/workspace/effects").read_text() == "effect\n"


async def test_a_workstream_whose_node_was_forgotten_goes_on_where_its_store_is_shared(
    tmp_path: Path, redis: RedisServer, postgres: PostgresServer
) -> None:
    keys, url = Keys(), postgres.database()

    @asynccontextmanager
    async def node(node_id: str) -> AsyncIterator[None]:
        host = await start_host(tmp_path / node_id, model.base_url, url=url, node_id=node_id)
        try:
            async with running_worker(host, redis.address, node_id, estate=host.heir):
                yield
        finally:
            await host.aclose()

    with ModelServer(echo) as model, redis.client() as hand:
        async with AsyncTurnstoneClient(port=redis.port) as client:
            async with node("n1"):
                first = await client.send_and_wait("one", timeout=PATIENCE)
            hand.delete(keys.owner(first.ws_id), keys.epoch(first.ws_id), keys.node("n1"))
            hand.delete(keys.alive, keys.seen)
            hand.set(keys.floor, 7)
            async with node("n2"):
                second = await client.send_and_wait("two", ws_id=first.ws_id, timeout=PATIENCE)
                unknown = await client.send_and_wait("two", ws_id="00000000", timeout=PATIENCE)
            epoch = hand.get(keys.epoch(first.ws_id))

    assert (second.ok, second.content, second.ws_id) == (True, "two", first.ws_id), second
    assert "one" in str(model.requests[-1]), model.requests[-1]
    assert epoch == b"9"
    assert unknown.outcome == "refused"
