"""The queue from end to end: a program, Redis, a worker, a node, a model, and all the way back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from modelserver import Reply, call, calls, hold, text
from modelserver.plans import echo, last_user_text, logs, shell, tool_results
from support.logs import FIRST_CAUSE, FIRST_SERVICE, FIRST_TIME, write_logs
from support.redis import RedisServer, redis_server
from support.workers import working_node
from turnstone.mq import AsyncTurnstoneClient, TurnResult, TurnstoneClient

#: Seconds for an answer, on a machine that is busy with other tests.
PATIENCE = 40.0


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


async def test_the_example_of_the_readme(tmp_path: Path, redis: RedisServer) -> None:
    def program() -> tuple[str, str]:
        with TurnstoneClient(port=redis.port) as client:
            # Generic: any available node picks it up
            result = client.send_and_wait("Analyze the error logs", auto_approve=True)
            generic = result.content

            # Directed: must run on a specific server
            result = client.send_and_wait(
                "Check disk I/O on this server",
                target_node="server-12",
                auto_approve=True,
            )
            return generic, result.content

    async with working_node(tmp_path, echo, redis.address, "server-12"):
        answers = await asyncio.to_thread(program)

    assert answers == ("Analyze the error logs", "Check disk I/O on this server")


async def test_the_logs_are_analysed_with_the_same_answer_as_without_a_queue(
    tmp_path: Path, redis: RedisServer
) -> None:
    write_logs(tmp_path / "workspace")
    async with (
        working_node(tmp_path, logs, redis.address, "n1"),
        AsyncTurnstoneClient(port=redis.port) as client,
    ):
        result = await client.send_and_wait(
            "which service failed first, and why?", timeout=PATIENCE
        )

    assert result.ok, result.errors
    assert result.content.endswith(
        f"The service {FIRST_SERVICE} failed first, at {FIRST_TIME}. "
        f"Cause: {FIRST_TIME} ERROR {FIRST_CAUSE}"
    ), result.content
    assert [name for name, _ in result.tool_results] == ["search", "read_file"]


async def test_a_hundred_turns_one_after_another_are_answered_whole(
    tmp_path: Path, redis: RedisServer
) -> None:
    async with (
        working_node(tmp_path, echo, redis.address, "n1"),
        AsyncTurnstoneClient(port=redis.port) as client,
    ):
        for number in range(100):
            said = f"message {number} of a hundred, and all of it"
            result = await client.send_and_wait(said, timeout=PATIENCE)
            assert (result.ok, result.content) == (True, said)


async def test_a_hundred_turns_of_eight_clients_at_once_are_not_mixed_up(
    tmp_path: Path, redis: RedisServer
) -> None:
    async def one(who: int, count: int) -> list[tuple[str, str]]:
        async with AsyncTurnstoneClient(port=redis.port) as client:
            said = [f"client {who}, message {number}" for number in range(count)]
            results = [await client.send_and_wait(each, timeout=PATIENCE) for each in said]
            return [(each, result.content) for each, result in zip(said, results, strict=True)]

    async with working_node(tmp_path, echo, redis.address, "n1"):
        pairs = await asyncio.gather(*(one(who, 13 if who < 4 else 12) for who in range(8)))

    flat = [pair for each in pairs for pair in each]
    assert len(flat) == 100
    assert all(said == answer for said, answer in flat)


async def test_ten_answers_of_twenty_thousand_tokens_are_whole(
    tmp_path: Path, redis: RedisServer
) -> None:
    def plan(body: dict[str, Any]) -> Reply:
        return text(long_answer(last_user_text(body)), chunk=40)

    async with (
        working_node(tmp_path, plan, redis.address, "n1"),
        AsyncTurnstoneClient(port=redis.port) as client,
    ):
        asked = [f"n{number}" for number in range(10)]
        results = await asyncio.gather(
            *(client.send_and_wait(each, timeout=PATIENCE) for each in asked)
        )

    for each, result in zip(asked, results, strict=True):
        assert result.ok, result.errors
        assert result.content == long_answer(each)


def long_answer(name: str) -> str:
    return " ".join(f"{name}.{number}" for number in range(20_000))


async def test_three_nodes_share_work_by_free_slots_and_keep_what_they_own(
    tmp_path: Path, redis: RedisServer
) -> None:
    async with AsyncExitStack() as stack:
        nodes = [
            await stack.enter_async_context(
                working_node(tmp_path / name, echo, redis.address, name, slots=4, token_delay=0.005)
            )
            for name in ("n1", "n2", "n3")
        ]
        client = await stack.enter_async_context(AsyncTurnstoneClient(port=redis.port))
        results = await asyncio.gather(
            *(client.send_and_wait(f"generic {n}", timeout=55) for n in range(300))
        )
        assert all(result.ok for result in results), [r.errors for r in results if not r.ok]
        shares = [len(node.model.requests) for node in nodes]
        # Equal nodes with equal work: none stood by while there was some.
        assert sum(shares) == 300
        assert min(shares) > 60, shares

        for result in results[:12]:
            owner = await owner_of(redis, result.ws_id)
            node = next(n for n in nodes if n.node_id == owner)
            seen = len(node.model.requests)
            again = await client.send_and_wait("follow-up", ws_id=result.ws_id, timeout=PATIENCE)
            assert (again.content, again.ws_id) == ("follow-up", result.ws_id)
            assert len(node.model.requests) == seen + 1
            assert result.content in str(node.model.requests[-1])


async def owner_of(redis: RedisServer, ws_id: str) -> str:
    with redis.client() as client:
        found = await asyncio.to_thread(client.get, f"turnstone:ws:{ws_id}")
    assert isinstance(found, bytes)
    return found.decode()


async def test_directed_work_goes_before_the_shared_work_that_waits(
    tmp_path: Path, redis: RedisServer
) -> None:
    gate = threading.Event()

    def plan(body: dict[str, Any]) -> Reply:
        return hold(echo(body), gate)

    async with (
        working_node(tmp_path, plan, redis.address, "n1", slots=2) as node,
        AsyncTurnstoneClient(port=redis.port) as client,
    ):
        shared = [
            asyncio.create_task(client.send_and_wait(f"shared {n}", timeout=PATIENCE))
            for n in range(20)
        ]
        await until(lambda: len(node.model.requests) == 2)
        directed = asyncio.create_task(
            client.send_and_wait("directed", target_node="n1", timeout=PATIENCE)
        )
        await until(lambda: len(node.model.requests) == 3)
        gate.set()
        assert (await directed).content == "directed"
        await asyncio.gather(*shared)

    order = [last_user_text(body) for body in node.model.requests]
    assert order.index("directed") == 2
    assert len(order) == 21


async def until(condition: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)  # the condition is the state that is waited for


async def test_a_client_that_knows_only_the_contract_gets_the_whole_answer_every_time(
    tmp_path: Path, redis: RedisServer
) -> None:
    async with working_node(tmp_path, echo, redis.address, "n1"):
        answers = await asyncio.to_thread(contract_client, redis, 100)

    assert answers == [f"number {n}: the whole of it, in order" for n in range(100)]


def contract_client(redis: RedisServer, count: int) -> list[str]:
    """Written from the contract alone (sections 0.5, 3 and 4), with redis-py and nothing else."""
    import json
    import time

    answers = []
    with redis.client() as connection:
        for number in range(count):
            cid = f"{number:012x}"
            channel = connection.pubsub()
            channel.subscribe("turnstone:events:global")
            message = {
                "type": "send",
                "correlation_id": cid,
                "timestamp": time.time(),
                "ws_id": "",
                "message": f"number {number}: the whole of it, in order",
                "auto_approve": True,
                "auto_approve_tools": [],
                "name": "",
                "target_node": "",
            }
            connection.rpush("turnstone:inbound", json.dumps(message))
            parts: list[str] = []
            deadline = time.monotonic() + PATIENCE
            while time.monotonic() < deadline:
                got = channel.get_message(timeout=1.0)
                if got is None or got["type"] != "message":
                    continue
                event = json.loads(got["data"])
                if event["type"] == "ws_created" and event["correlation_id"] == cid:
                    time.sleep(0.002)  # a client has other things to do as well
                    channel.subscribe(f"turnstone:events:{event['ws_id']}")
                elif event["type"] == "content":
                    parts.append(event["text"])
                elif event["type"] == "turn_complete" and event["correlation_id"] == cid:
                    break
            else:
                parts.append(" (and no ending came)")
            channel.close()
            answers.append("".join(parts))
    return answers


async def test_a_turn_that_fails_ends_for_both_kinds_of_clients(
    tmp_path: Path, redis: RedisServer
) -> None:
    from modelserver import error

    async with (
        working_node(tmp_path, lambda body: error(400, "no"), redis.address, "n1"),
        AsyncTurnstoneClient(port=redis.port) as client,
    ):
        result = await client.send_and_wait("go", timeout=PATIENCE)
        [ended] = await asyncio.to_thread(contract_client, redis, 1)

    assert not result.ok
    assert not result.timed_out
    assert len(result.errors) == 1, result.errors
    assert ended == ""


async def test_a_question_is_answered_through_the_queue(tmp_path: Path, redis: RedisServer) -> None:
    asked: list[Any] = []

    def program() -> TurnResult:
        with TurnstoneClient(port=redis.port) as client:

            def on_event(event: Any) -> None:
                if event.type == "approval_request":
                    asked.append(event)
                    client.approve(event.correlation_id, approved=True)

            return client.send_and_wait(
                "run: echo effect",
                auto_approve=False,
                timeout=PATIENCE,
                on_event=on_event,
            )

    async with working_node(tmp_path, shell, redis.address, "n1"):
        result = await asyncio.to_thread(program)

    assert result.ok, result.errors
    assert "effect" in result.content
    assert [event.items[0]["func_name"] for event in asked] == ["bash"]


async def test_a_question_that_nobody_answers_is_expired_and_the_turn_goes_on(
    tmp_path: Path, redis: RedisServer
) -> None:
    def plan(body: dict[str, Any]) -> Reply:
        results = tool_results(body)
        return text(f"I heard: {results[-1][1]}") if results else calls(call("bash", command="ls"))

    async with (
        working_node(tmp_path, plan, redis.address, "n1", approval_timeout=0.5),
        AsyncTurnstoneClient(port=redis.port) as client,
    ):
        result = await client.send_and_wait("go", auto_approve=False, timeout=PATIENCE)

    assert result.ok
    assert "nobody answered in time" in result.content


async def test_an_unknown_workstream_and_an_unknown_node_are_told(
    tmp_path: Path, redis: RedisServer
) -> None:
    async with (
        working_node(tmp_path, echo, redis.address, "n1", target_wait=0.2),
        AsyncTurnstoneClient(port=redis.port) as client,
    ):
        lost = await client.send_and_wait("go", ws_id="0badc0de", timeout=PATIENCE)
        nowhere = await client.send_and_wait("go", target_node="n9", timeout=PATIENCE)

    assert (lost.ok, lost.timed_out) == (False, False)
    assert "0badc0de" in lost.errors[0]
    assert (nowhere.ok, nowhere.timed_out) == (False, False)
    assert "n9" in nowhere.errors[0]


async def test_the_answer_is_kept_for_who_asks_later(tmp_path: Path, redis: RedisServer) -> None:
    async with (
        working_node(tmp_path, echo, redis.address, "n1"),
        AsyncTurnstoneClient(port=redis.port) as client,
    ):
        cid = await client.send("ask me later")
        async with asyncio.timeout(PATIENCE):
            while (result := await client.result(cid)) is None:
                await asyncio.sleep(0.02)  # the result is the state that is waited for

    assert (result.ok, result.content, result.correlation_id) == (True, "ask me later", cid)


async def test_messages_to_a_busy_workstream_are_answered_in_order(
    tmp_path: Path, redis: RedisServer
) -> None:
    async with (
        working_node(tmp_path, echo, redis.address, "n1") as node,
        AsyncTurnstoneClient(port=redis.port) as client,
    ):
        first = await client.send_and_wait("zero", timeout=PATIENCE)
        cids = [await client.send(f"follow-up {n}", ws_id=first.ws_id) for n in range(20)]
        async with asyncio.timeout(PATIENCE):
            while await client.result(cids[-1]) is None:
                await asyncio.sleep(0.02)  # the result is the state that is waited for

    said = [last_user_text(body) for body in node.model.requests]
    assert said == ["zero", *(f"follow-up {n}" for n in range(20))]


async def test_every_other_kind_of_message_is_answered(tmp_path: Path, redis: RedisServer) -> None:
    heard: list[Any] = []

    def has(kind: str, cid: str = "") -> bool:
        return any(e.type == kind and cid in ("", e.correlation_id) for e in heard)

    async with (
        working_node(tmp_path, echo, redis.address, "n1"),
        AsyncTurnstoneClient(port=redis.port) as client,
    ):
        await client.subscribe(heard.append)
        made = await client.create_workstream(name="mine")
        await until(lambda: has("ws_created", made))
        ws_id = next(e.ws_id for e in heard if e.type == "ws_created")
        await client.subscribe(heard.append, ws_id)
        listed, health = await client.list_workstreams(), await client.health()
        await until(lambda: has("ws_list", listed) and has("health_response", health))
        told = await client.command(ws_id, "/frobnicate")
        await until(lambda: has("ack", told))
        closed = await client.close_workstream(ws_id)
        await until(lambda: has("ack", closed) and has("ws_closed"))
        nodes = await client.list_nodes()

    listing = next(e for e in heard if e.type == "ws_list")
    assert {"id": ws_id, "name": "mine"}.items() <= listing.workstreams[-1].items()
    ack = next(e for e in heard if e.type == "ack" and e.correlation_id == told)
    assert (ack.status, "frobnicate" in ack.detail) == ("error", True)
    assert [node["node_id"] for node in nodes] == ["n1"]
    assert [e.type for e in heard].count("ws_created") == 1
