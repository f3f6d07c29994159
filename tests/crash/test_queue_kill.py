"""`kill -9` of a node that works from the queue: every message done once, whatever it was doing."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from modelserver import ModelServer, Reply, call, calls, hold, text
from modelserver.plans import echo, last_user_text, tool_results
from support.queue_node import queue_node
from support.redis import RedisServer, redis_server
from turnstone.core import events as ev
from turnstone.core.store.sqlite import SqliteStore
from turnstone.mq import AsyncTurnstoneClient, TurnResult

PATIENCE = 45.0


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


def push(redis: RedisServer, where: str, cid: str, said: str) -> None:
    """A message as a client of 0.2 sends it."""
    message = {"type": "send", "correlation_id": cid, "timestamp": 0.0, "message": said}
    with redis.client() as connection:
        connection.rpush(where, json.dumps(message))


async def result_of(client: AsyncTurnstoneClient, cid: str) -> TurnResult:
    async with asyncio.timeout(PATIENCE):
        while (result := await client.result(cid)) is None:
            await asyncio.sleep(0.05)  # the result is the state that is waited for
    return result


async def both_lanes_wait(redis: RedisServer) -> None:
    with redis.client() as connection:
        async with asyncio.timeout(PATIENCE):
            while connection.info("clients")["blocked_clients"] < 2:
                await asyncio.sleep(0.01)  # Redis is the state that is waited for


async def gone_from(redis: RedisServer, name: str) -> None:
    """Wait until a list is empty: its message was taken."""
    with redis.client() as connection:
        async with asyncio.timeout(PATIENCE):
            while connection.exists(name):
                await asyncio.sleep(0.01)  # Redis is the state that is waited for


async def statuses(folder: Path, ws_ids: Sequence[str]) -> list[list[str]]:
    """How the journal of each workstream says that its calls ended, once its node is gone."""
    store = await SqliteStore.open(folder / "turnstone.db")
    try:
        journals = [await store.records(ws_id) for ws_id in ws_ids]
    finally:
        await store.aclose()
    return [[e.status for e in events if isinstance(e, ev.ToolFinished)] for events in journals]


@pytest.mark.parametrize("where", ["turnstone:inbound", "turnstone:inbound:n1"])
async def test_a_message_that_was_taken_by_a_process_that_never_saw_it_is_done_once(
    tmp_path: Path, redis: RedisServer, where: str
) -> None:
    with ModelServer(echo) as model:
        async with queue_node(tmp_path, model.base_url, redis.port) as node:
            await both_lanes_wait(redis)
            node.pause()  # Redis gives it what comes next all the same
            push(redis, where, "c1", "held")
            await gone_from(redis, where)
            await node.kill()
        assert model.requests == []
        async with (
            queue_node(tmp_path, model.base_url, redis.port),
            AsyncTurnstoneClient(port=redis.port) as client,
        ):
            result = await result_of(client, "c1")

        assert (result.ok, result.content) == (True, "held")
        assert [last_user_text(body) for body in model.requests] == ["held"]


async def test_an_answer_that_was_being_streamed_is_whole_after_the_restart(
    tmp_path: Path, redis: RedisServer
) -> None:
    gate = threading.Event()
    answer = "the whole answer, at last, and nothing of it twice"

    with ModelServer(lambda body: hold(text(answer), gate, before=4)) as model:
        async with AsyncTurnstoneClient(port=redis.port) as client:
            streaming = asyncio.Event()

            def on_event(event: Any) -> None:
                if event.type == "content":
                    streaming.set()

            waiting = asyncio.create_task(
                client.send_and_wait("go", timeout=PATIENCE, on_event=on_event)
            )
            async with queue_node(tmp_path, model.base_url, redis.port) as node:
                async with asyncio.timeout(PATIENCE):
                    await streaming.wait()
                await node.kill()
            gate.set()
            async with queue_node(tmp_path, model.base_url, redis.port):
                result = await waiting

    assert result.ok, result.errors
    assert result.content == answer


async def test_a_command_that_ran_is_never_run_again(tmp_path: Path, redis: RedisServer) -> None:
    effects = tmp_path / "workspace" / "effects"

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
            async with queue_node(tmp_path, model.base_url, redis.port) as node:
                async with asyncio.timeout(PATIENCE):
                    while not effects.exists() or not effects.read_text():
                        await asyncio.sleep(0.01)  # the file is the state that is waited for
                await node.kill()
            async with queue_node(tmp_path, model.base_url, redis.port):
                result = await waiting

    assert effects.read_text().splitlines() == ["effect"]
    assert "unknown" in result.content.lower(), result


def allowing(client: AsyncTurnstoneClient) -> Any:
    async def on_event(event: Any) -> None:
        if event.type == "approval_request":
            await client.approve(event.correlation_id, ws_id=event.ws_id)

    return on_event


async def test_an_answer_given_while_the_node_was_dead_counts_when_it_is_back(
    tmp_path: Path, redis: RedisServer
) -> None:
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
            async with queue_node(tmp_path, model.base_url, redis.port) as node:
                async with asyncio.timeout(PATIENCE):
                    question = await asked.get()
                await node.kill()
            await client.approve(question, approved=False, feedback="rather not")
            async with queue_node(tmp_path, model.base_url, redis.port):
                result = await waiting

    assert (result.ok, "rather not" in result.content) == (True, True), result
    with redis.client() as connection:
        assert not connection.exists(f"turnstone:resp:{question}")
    assert asked.empty()


@pytest.mark.timeout(240)
async def test_under_load_and_killed_again_and_again_every_message_is_done_once(
    tmp_path: Path, redis: RedisServer, seed: int
) -> None:
    dice = random.Random(seed)
    effects = tmp_path / "workspace" / "effects"

    def plan(body: dict[str, Any]) -> Reply:
        said = last_user_text(body)
        if tool_results(body):
            return text(f"done {said}")
        return calls(call("bash", command=f"echo {said} >> effects"))

    with ModelServer(plan, token_delay=0.002) as model:
        async with AsyncTurnstoneClient(port=redis.port) as client:
            said = [f"m{number}" for number in range(30)]
            waiting = [
                asyncio.create_task(
                    client.send_and_wait(each, timeout=4 * PATIENCE, on_event=allowing(client))
                )
                for each in said
            ]
            for _ in range(2):  # a turn whose process has ended three times is given up
                async with queue_node(tmp_path, model.base_url, redis.port) as node:
                    await asyncio.sleep(dice.uniform(0.05, 0.6))  # when to kill, not what to await
                    await node.kill()
            async with queue_node(tmp_path, model.base_url, redis.port):
                results = await asyncio.gather(*waiting)

    assert all(result.ok for result in results), [r for r in results if not r.ok]
    assert [r.content for r in results] == [f"done {each}" for each in said]
    ran = effects.read_text().split()
    assert len(ran) == len(set(ran))
    kept = await statuses(tmp_path, [result.ws_id for result in results])
    missing = [each for each in zip(said, kept, strict=True) if each[0] not in ran]
    assert all(status == ["unknown"] for _, status in missing), missing


async def test_a_zombie_has_no_effects_for_what_another_node_has_taken_over(
    tmp_path: Path, redis: RedisServer
) -> None:
    gate = threading.Event()
    asked: list[str] = []

    def plan(body: dict[str, Any]) -> Reply:
        asked.append(last_user_text(body))
        if tool_results(body):
            return text(f"heard: {tool_results(body)[-1][1]}")
        reply = calls(call("bash", command="echo effect >> effects; echo ran"))
        return hold(reply, gate) if len(asked) == 1 else reply

    node = partial(queue_node, lease=0.9, grace=0.3)
    with ModelServer(plan) as model:
        async with AsyncTurnstoneClient(port=redis.port) as client:
            waiting = asyncio.create_task(
                client.send_and_wait("go", timeout=PATIENCE, on_event=allowing(client))
            )
            async with node(tmp_path / "one", model.base_url, redis.port, "n1") as zombie:
                await asked_of(model, 1)
                zombie.pause()
                async with node(tmp_path / "two", model.base_url, redis.port, "n2"):
                    result = await waiting
                    gate.set()
                    zombie.wake()
                    await asked_of(model, 4)  # it heard that its call was not run

    assert (result.ok, "ran" in result.content) == (True, True), result
    assert (tmp_path / "two/workspace/effects").read_text() == "effect\n"
    assert not (tmp_path / "one/workspace/effects").exists()
    assert "another node" in str(model.requests[-1]["messages"][-1])


async def asked_of(model: ModelServer, count: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while len(model.requests) < count:
            await asyncio.sleep(0.01)  # what the model was asked is the state that is waited for
