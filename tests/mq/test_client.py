"""The clients: what a program may rely on, through Redis and straight to a node."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from modelserver import Reply, error, hold, text
from modelserver.plans import echo, shell
from support.nodes import local_node
from support.redis import redis_server
from support.servers import FULL, serving
from support.workers import working_node
from turnstone.core.errors import ConfigurationError, NodeUnavailable, NotAuthenticated
from turnstone.mq import AsyncTurnstoneClient, RedisBroker, TurnstoneClient

PATIENCE = 40.0


async def test_the_events_of_a_turn_come_in_order_and_end_with_its_completion(
    tmp_path: Path,
) -> None:
    with redis_server() as redis:
        async with (
            working_node(tmp_path, lambda body: text("in order", chunk=2), redis.address, "n1"),
            AsyncTurnstoneClient(port=redis.port) as client,
        ):
            events = [event async for event in client.stream("go", auto_approve=True)]

    assert [event.type for event in events][:2] == ["ws_created", "ack"]
    assert events[-1].type == "turn_complete"
    said = [event for event in events if event.type == "content"]
    assert "".join(getattr(event, "text", "") for event in said) == "in order"
    assert len({event.correlation_id for event in events}) == 1


async def test_one_client_serves_many_threads_at_once(tmp_path: Path) -> None:
    def program(port: int) -> list[tuple[str, str]]:
        said = [f"thread {number}" for number in range(24)]
        with TurnstoneClient(port=port) as client, ThreadPoolExecutor(8) as threads:
            results = threads.map(lambda each: client.send_and_wait(each, timeout=PATIENCE), said)
            return [(each, r.content) for each, r in zip(said, results, strict=True)]

    with redis_server() as redis:
        async with working_node(tmp_path, echo, redis.address, "n1"):
            pairs = await asyncio.to_thread(program, redis.port)

    assert len(pairs) == 24
    assert all(said == answer for said, answer in pairs)


async def test_an_on_event_that_raises_is_called_again_and_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    def on_event(event: Any) -> None:
        seen.append(event.type)
        raise ZeroDivisionError(event.type)

    def program(port: int) -> str:
        with TurnstoneClient(port=port) as client:
            return client.send_and_wait("go", timeout=PATIENCE, on_event=on_event).content

    with redis_server() as redis:
        async with working_node(tmp_path, echo, redis.address, "n1"):
            assert await asyncio.to_thread(program, redis.port) == "go"
            [first] = mistakes(caplog)
            async with AsyncTurnstoneClient(port=redis.port) as client:
                again = await client.send_and_wait("go", timeout=PATIENCE, on_event=on_event)
            [_, second] = mistakes(caplog)

    assert again.content == "go"
    assert seen.count("turn_complete") == 2
    for record in (first, second):
        assert "ws_created" in record.message
        assert record.exc_info is not None
        assert record.exc_info[0] is ZeroDivisionError


def mistakes(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.exc_info]


async def test_a_subscribed_callback_that_raises_is_called_again_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[str] = []
    over = threading.Event()

    def callback(event: Any) -> None:
        seen.append(event.type)
        if len(seen) % 3 == 0:
            over.set()
        raise ZeroDivisionError(event.type)

    def program(port: int) -> None:
        with TurnstoneClient(port=port) as client:
            client.subscribe(callback)
            publish()
            assert over.wait(PATIENCE)

    def publish() -> None:
        with redis.client() as connection:
            for _ in range(3):
                connection.publish("turnstone:events:global", '{"type": "info", "message": "x"}')

    with redis_server() as redis:
        await asyncio.to_thread(program, redis.port)
        assert len(mistakes(caplog)) == 1
        over.clear()
        async with AsyncTurnstoneClient(port=redis.port) as client:
            await client.subscribe(callback)
            await asyncio.to_thread(publish)
            assert await asyncio.to_thread(over.wait, PATIENCE)
    assert len(seen) == 6
    assert len(mistakes(caplog)) == 2


async def test_a_result_says_when_the_time_was_over_and_the_turn_can_be_asked_for_later(
    tmp_path: Path,
) -> None:
    gate = threading.Event()

    def plan(body: dict[str, Any]) -> Reply:
        return hold(text("late, but whole"), gate)

    with redis_server() as redis:
        async with (
            working_node(tmp_path, plan, redis.address, "n1"),
            AsyncTurnstoneClient(port=redis.port) as client,
        ):
            early = await client.send_and_wait("go", timeout=0.3)
            gate.set()
            async with asyncio.timeout(PATIENCE):
                while (late := await client.result(early.correlation_id)) is None:
                    await asyncio.sleep(0.02)  # the result is the state that is waited for

    assert (early.timed_out, early.ok, early.content) == (True, False, "")
    assert (late.ok, late.content) == (True, "late, but whole")


async def test_without_a_node_send_and_wait_ends_by_its_timeout() -> None:
    with redis_server() as redis:
        async with AsyncTurnstoneClient(port=redis.port) as client:
            result = await client.send_and_wait("go", timeout=0.3)

    assert (result.timed_out, result.ok) == (True, False)


async def test_a_broker_of_0_2_may_be_given(tmp_path: Path) -> None:
    def program(port: int) -> str:
        broker = RedisBroker(host="127.0.0.1", port=port, prefix="mine")
        try:
            with TurnstoneClient(broker) as client:
                return client.send_and_wait("go", timeout=PATIENCE).content
        finally:
            broker.close()

    with redis_server() as redis:
        async with working_node(tmp_path, echo, redis.address, "n1", work={"prefix": "mine"}):
            assert await asyncio.to_thread(program, redis.port) == "go"


async def test_what_was_subscribed_is_called_beside_the_caller_and_may_use_the_client(
    tmp_path: Path,
) -> None:
    def program(port: int) -> list[str]:
        seen: list[str] = []
        over = threading.Event()
        with TurnstoneClient(port=port) as client:

            def heard(event: Any) -> None:
                seen.append(event.type)
                if event.type == "health_response":
                    client.list_nodes()
                    over.set()

            client.subscribe(heard)
            client.health()
            assert over.wait(PATIENCE)
            client.unsubscribe()
        return seen

    with redis_server() as redis:
        async with working_node(tmp_path, echo, redis.address, "n1"):
            assert "health_response" in await asyncio.to_thread(program, redis.port)


def test_a_closed_client_says_so() -> None:
    client = TurnstoneClient()
    client.close()
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.send("go")


async def test_the_same_client_talks_to_one_node_without_redis(tmp_path: Path) -> None:
    def program(url: str) -> None:
        with TurnstoneClient(url, token=FULL) as client:
            first = client.send_and_wait("one", timeout=PATIENCE)
            again = client.send_and_wait("two", ws_id=first.ws_id, timeout=PATIENCE)
            assert (first.ok, first.content, again.content) == (True, "one", "two")
            [node] = client.list_nodes()
            here = client.send_and_wait("here", target_node=str(node["node_id"]), timeout=PATIENCE)
            assert here.content == "here"
            there = client.send_and_wait("there", target_node="elsewhere", timeout=PATIENCE)
            assert (there.ok, "elsewhere" in there.errors[0]) == (False, True)
            lost = client.send_and_wait("lost", ws_id="0badc0de", timeout=PATIENCE)
            assert (lost.ok, "0badc0de" in lost.errors[0]) == (False, True)

    async with local_node(tmp_path, echo) as node, serving(node.host) as served:
        await asyncio.to_thread(program, served.url)


async def test_a_question_of_one_node_is_answered_over_http(tmp_path: Path) -> None:
    async with (
        local_node(tmp_path, shell) as node,
        serving(node.host) as served,
        AsyncTurnstoneClient(url=served.url, token=FULL) as client,
    ):

        async def on_event(event: Any) -> None:
            if event.type == "approval_request":
                await client.approve(event.correlation_id, approved=False, feedback="not now")

        result = await client.send_and_wait(
            "run: echo effect", auto_approve=False, timeout=PATIENCE, on_event=on_event
        )

    assert result.ok
    assert "not now" in result.content


@pytest.mark.parametrize(
    ("token", "told"),
    [("unknown", "know the token from the argument token"), (None, "and none was given")],
)
async def test_a_token_that_the_node_does_not_know_is_told_with_where_it_came_from(
    tmp_path: Path, token: str | None, told: str
) -> None:
    async with (
        local_node(tmp_path, echo) as node,
        serving(node.host) as served,
        AsyncTurnstoneClient(served.url, token=token) as client,
    ):
        with pytest.raises(NotAuthenticated, match=told):
            await client.list_nodes()
        result = await client.send_and_wait("go", timeout=PATIENCE)

    assert (result.ok, result.timed_out) == (False, False)
    assert told in result.errors[0]


async def test_a_failed_turn_of_one_node_ends_with_its_error(tmp_path: Path) -> None:
    async with (
        local_node(tmp_path, lambda body: error(400, "no such thing")) as node,
        serving(node.host) as served,
        AsyncTurnstoneClient(url=served.url, token=FULL) as client,
    ):
        result = await client.send_and_wait("go", timeout=PATIENCE)

    assert (result.ok, result.timed_out, len(result.errors)) == (False, False, 1), result


async def test_a_node_that_is_not_there_is_told(unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    async with AsyncTurnstoneClient(url=url) as client:
        with pytest.raises(NodeUnavailable, match=str(unused_tcp_port)):
            await client.send_and_wait("go")


def test_naming_the_package_imports_no_redis() -> None:
    program = (
        "import sys, turnstone.mq\n"
        "assert set(turnstone.mq.__all__) >= {'MessageBroker', 'RedisBroker', 'TurnResult'}\n"
        "sys.exit('redis' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


async def test_a_full_redis_is_told_to_a_sender_that_waits() -> None:
    with redis_server() as redis:
        with redis.client() as admin:
            used = int(admin.info("memory")["used_memory"])
            admin.config_set("maxmemory", used - 100_000)
        async with AsyncTurnstoneClient(port=redis.port) as client:
            result = await client.send_and_wait("hello", timeout=1)

    assert result.timed_out
    assert not result.ok
    [problem] = result.errors
    assert "full" in problem


def test_what_the_queue_would_refuse_is_refused_before_it_is_sent() -> None:
    with TurnstoneClient(port=1) as client:
        with pytest.raises(ValueError, match="at most 1048576 bytes"):
            client.send("x" * 2_000_000)
        with pytest.raises(TypeError, match="a text is sent, and not int"):
            client.send_and_wait(5)  # type: ignore[arg-type]


@pytest.mark.parametrize("timeout", [0, -1, -0.5, float("nan")])
def test_a_time_that_is_over_before_it_begins_is_refused(timeout: float) -> None:
    with TurnstoneClient(port=1) as client:
        with pytest.raises(ValueError, match=r"timeout: it is .*, and must be more than 0 seconds"):
            client.send_and_wait("go", timeout=timeout)


@pytest.mark.parametrize("timeout", ["5", True])
async def test_a_timeout_that_is_no_number_is_refused(timeout: Any) -> None:
    async with AsyncTurnstoneClient(port=1) as client:
        with pytest.raises(TypeError, match="timeout: a number of seconds, or None"):
            await client.send_and_wait("go", timeout=timeout)


NODE = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"hots": "redis"}, r"no argument hots\. For Redis it takes host, port, db"),
        ({"broker": NODE, "port": 6379}, "port is for Redis: give one or the other"),
        ({"url": NODE, "host": "redis", "db": 1}, "db, host is for Redis: give one or the other"),
        ({"broker": NODE, "url": NODE}, "Two nodes are named"),
        ({"broker": RedisBroker(), "url": NODE}, f"Give a broker or the node {NODE}"),
        ({"broker": RedisBroker(), "port": 1}, "The broker says where Redis is: leave out port"),
        ({"broker": 5}, "must be a RedisBroker or the URL of a node, not int"),
        ({"token": "secret"}, "A token is for a node, and none is named"),
    ],
)
@pytest.mark.parametrize("client", [TurnstoneClient, AsyncTurnstoneClient])
def test_arguments_that_do_not_go_together_are_told_in_a_sentence(
    client: Any, arguments: dict[str, Any], told: str
) -> None:
    with pytest.raises(TypeError, match=told):
        client(**arguments)


@pytest.mark.parametrize("url", ["", "localhost:8080"])
def test_what_is_no_url_of_a_node_is_not_taken_for_a_redis(url: str) -> None:
    with pytest.raises(ConfigurationError, match="is not the address of a node"):
        TurnstoneClient(url)


def test_the_arguments_of_the_broker_of_0_2_are_taken() -> None:
    TurnstoneClient(host="redis", port=6380, db=1, password="x", response_ttl=60).close()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"auto_approve_tools": "bash"}, r"auto_approve_tools: a list of tools, as \['bash'\]"),
        ({"auto_approve_tools": [5]}, r"auto_approve_tools\[0\]: a text, and not int"),
        ({"ws_id": 5}, "ws_id: a text, and not int"),
        ({"name": b"x"}, "name: a text, and not bytes"),
        ({"target_node": "no such"}, "target_node: 'no such' cannot be the name of a node"),
        ({"timezone": "Europe/Berlin"}, "give its not_before or every too"),
        ({"missed": "skip"}, "give its not_before or every too"),
    ],
)
async def test_what_cannot_be_sent_is_told_with_the_argument(
    arguments: dict[str, Any], told: str
) -> None:
    async with AsyncTurnstoneClient() as client:  # it never needs a Redis
        with pytest.raises((TypeError, ValueError), match=told):
            await client.send("go", **arguments)


async def test_what_cannot_be_called_is_not_subscribed() -> None:
    async with AsyncTurnstoneClient() as client:
        with pytest.raises(TypeError, match="callback: what can be called, and not int"):
            await client.subscribe(5)  # type: ignore[arg-type]  # the mistake is meant
