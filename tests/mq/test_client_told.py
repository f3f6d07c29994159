"""What a client tells of an answer that did not come, and of what cannot be sent."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from modelserver import Reply, hold, text
from modelserver.plans import echo, shell
from support.nodes import local_node
from support.redis import redis_server
from support.servers import FULL, serving
from support.workers import end_lease, working_node
from turnstone.api.http_host import HttpHost
from turnstone.core import events as ev
from turnstone.core.errors import ConfigurationError, InvalidRequest
from turnstone.core.host import CreateWorkstream, SendMessage
from turnstone.mq import AsyncTurnstoneClient, RedisBroker, TurnstoneClient
from turnstone.mq import protocol as p
from turnstone.mq.client_turn import TurnReader
from turnstone.mq.entry import MESSAGE_MAX
from turnstone.mq.errors import MalformedMessage
from turnstone.mq.redis_work import RedisWork
from turnstone.mq.results import TurnResult

PATIENCE = 40.0

#: Long enough for a question to come on a machine that is busy; the turn can never end by itself.
TIME = 5.0


async def asks_and_waits(client: AsyncTurnstoneClient) -> tuple[TurnResult, Any]:
    """A turn whose question nobody answers: the result, and the event that asked."""
    asked: list[Any] = []

    def on_event(event: Any) -> None:
        if event.type == "approval_request":
            asked.append(event)

    result = await client.send_and_wait(
        "run: echo effect", auto_approve=False, timeout=TIME, on_event=on_event
    )
    return result, asked[0]


def check_told(result: TurnResult, asked: Any) -> None:
    assert (result.timed_out, result.ok) == (True, False)
    [told] = result.errors
    assert "may bash run?" in told
    assert f'approve("{asked.correlation_id}", ws_id="{result.ws_id}")' in told
    assert "on_event" in told


async def test_a_question_that_waits_when_the_time_is_over_is_told(tmp_path: Path) -> None:
    with redis_server() as redis:
        async with (
            working_node(tmp_path, shell, redis.address, "n1"),
            AsyncTurnstoneClient(port=redis.port) as client,
        ):
            check_told(*await asks_and_waits(client))


async def test_a_question_of_one_node_that_waits_when_the_time_is_over_is_told(
    tmp_path: Path,
) -> None:
    async with (
        local_node(tmp_path, shell) as node,
        serving(node.host) as served,
        AsyncTurnstoneClient(served.url, token=FULL) as client,
    ):
        check_told(*await asks_and_waits(client))


def test_a_question_that_was_answered_or_whose_turn_is_over_waits_no_more() -> None:
    reader = TurnReader("c1", "w1", fresh=False)
    reader.read(ev.ApprovalAsked(request_id="r1", ws_id="w1", correlation_id="c1"))
    reader.read(ev.ApprovalAsked(request_id="r2", ws_id="w1", correlation_id="c0"))
    assert [("r1" in told, "r2" in told) for told in reader.questions()] == [
        (True, False),
        (False, True),
    ]
    reader.read(ev.ApprovalAnswered(request_id="r1", ws_id="w1", correlation_id="c1"))
    assert ["r2" in told for told in reader.questions()] == [True]
    reader.read(ev.TurnEnded(outcome="cancelled", ws_id="w1", correlation_id="c0"))
    assert reader.questions() == []


def pause(admin: Redis) -> int:
    """Stop a server as a machine that hangs does; its process."""
    process = int(admin.info("server")["process_id"])
    os.kill(process, signal.SIGSTOP)
    return process


async def test_a_message_that_a_silent_redis_did_not_confirm_is_told_as_not_delivered() -> None:
    with redis_server() as redis, redis.client() as admin:
        pause(admin)
        async with AsyncTurnstoneClient(port=redis.port) as client:
            result = await client.send_and_wait("go", timeout=0.3)

    assert result.timed_out
    [told] = result.errors
    assert "could not be delivered" in told
    assert f"Redis at localhost:{redis.port} has not answered" in told


async def test_a_redis_that_falls_silent_during_a_turn_is_told(tmp_path: Path) -> None:
    gate, stopped = threading.Event(), list[int]()

    def plan(body: dict[str, Any]) -> Reply:
        return hold(text("never all of it", chunk=4), gate, before=2)

    with redis_server() as redis, redis.client() as admin:

        def on_event(event: Any) -> None:
            if event.type == "content" and not stopped:
                stopped.append(pause(admin))

        async with (
            working_node(tmp_path, plan, redis.address, "n1"),
            AsyncTurnstoneClient(port=redis.port) as client,
        ):
            result = await client.send_and_wait("go", timeout=TIME, on_event=on_event)
            os.kill(stopped[0], signal.SIGCONT)
            gate.set()

    [told] = result.errors
    assert "delivered" not in told
    assert f"Redis at localhost:{redis.port} has not answered" in told


async def test_a_node_that_takes_no_message_in_time_is_told_as_silent() -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.current_task()
        assert serving is not None
        connections.append(serving)
        await reader.read()
        writer.close()
        await writer.wait_closed()

    connections: list[asyncio.Task[None]] = []

    async with await asyncio.start_server(never, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with AsyncTurnstoneClient(f"http://127.0.0.1:{port}") as client:
            result = await client.send_and_wait("go", ws_id="w1", timeout=0.3)
        await asyncio.gather(*connections)

    [told] = result.errors
    assert "could not be delivered" in told
    assert f"node at http://127.0.0.1:{port} has not answered" in told


async def test_an_answer_that_is_only_slow_is_not_blamed_on_redis() -> None:
    with redis_server() as redis:
        slow = await RedisWork.open(redis.address, "n1")
        await slow.beat({"boot": slow.boot})
        async with AsyncTurnstoneClient(port=redis.port) as client:
            result = await client.send_and_wait("go", timeout=0.3)
        await slow.aclose()

    assert (result.timed_out, result.errors) == (True, [])


HALF = "a text \ud83d and its end"


@pytest.mark.parametrize("arguments", [{"port": 1}, {"url": "http://127.0.0.1:9"}])
@pytest.mark.parametrize("field", ["message", "name", "ws_id", "auto_approve_tools"])
def test_half_of_a_surrogate_pair_is_refused_before_anything_is_sent(
    arguments: dict[str, Any], field: str
) -> None:
    given: dict[str, Any] = {"message": "go", field: [HALF] if field[0] == "a" else HALF}
    with TurnstoneClient(**arguments) as client:
        for send in (client.send, client.send_and_wait, lambda **g: list(client.stream(**g))):
            with pytest.raises(ValueError, match=f"^{field}: at character 8 .*surrogate") as told:
                send(**given)
            assert type(told.value) is ValueError


def test_half_of_a_surrogate_pair_is_refused_in_an_answer_and_in_a_command() -> None:
    with TurnstoneClient(port=1) as client:
        with pytest.raises(ValueError, match="^feedback: at character 8"):
            client.approve("r1", feedback=HALF)
        with pytest.raises(ValueError, match="^command: at character 8"):
            client.command("w1", HALF)


async def test_half_of_a_surrogate_pair_is_an_invalid_request_to_a_node_elsewhere() -> None:
    host = HttpHost("http://127.0.0.1:9")
    try:
        with pytest.raises(InvalidRequest, match="^message: at character 8"):
            await host.send(SendMessage(ws_id="w1", message=HALF))
        with pytest.raises(InvalidRequest, match="^name: at character 8"):
            await host.create(CreateWorkstream(name=HALF))
        with pytest.raises(InvalidRequest, match="^ws_id: at character 8"):
            await host.ending(HALF, "c1")
    finally:
        await host.aclose()


async def test_a_message_has_the_same_size_for_the_client_and_for_the_node(tmp_path: Path) -> None:
    """Letters that JSON could only escape as six bytes: as UTF-8 each has two."""
    many = "ü" * (MESSAGE_MAX // 2 - 400)
    with redis_server() as redis:
        async with (
            working_node(tmp_path, lambda body: text("taken"), redis.address, "n1"),
            AsyncTurnstoneClient(port=redis.port) as client,
        ):
            taken = await client.send_and_wait(many, timeout=PATIENCE)
            with pytest.raises(ValueError, match=rf"has \d+ bytes .* at most {MESSAGE_MAX} bytes"):
                await client.send(many + "ü" * 400)

    assert (taken.ok, taken.content) == (True, "taken"), taken.errors


async def test_what_is_sent_has_just_as_many_bytes_as_are_taken() -> None:
    with redis_server() as redis:
        async with AsyncTurnstoneClient(port=redis.port) as client:
            with pytest.raises(ValueError, match="bytes") as told:
                await client.send("x" * MESSAGE_MAX, ws_id="w1")
            over = int(str(told.value).split("has ")[1].split()[0]) - MESSAGE_MAX
            # A clock's reading may take a digit more or less: that much is left free.
            await client.send("x" * (MESSAGE_MAX - over - 12), ws_id="w1")
        with redis.client() as admin:
            [raw] = admin.lrange("turnstone:inbound", 0, -1)

    assert MESSAGE_MAX - 40 < len(raw) <= MESSAGE_MAX
    assert p.parse(raw).type == "send"


@pytest.mark.parametrize(
    ("raw", "told"),
    [(b"{}", "The message has no type"), (b'{"type": "sned"}', 'no message of type "sned"')],
)
def test_a_message_without_a_type_of_ours_is_told_which_there_are(raw: bytes, told: str) -> None:
    with pytest.raises(MalformedMessage, match=told) as refused:
        p.parse(raw)
    for kind in ("send", "approve", "create_workstream", "list_nodes"):
        assert kind in str(refused.value)


@pytest.mark.parametrize("name", ["localhost", "redis:6379"])
def test_a_host_in_the_place_of_a_url_is_told_how_redis_is_named(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f'host="{name.partition(":")[0]}"'):
        TurnstoneClient(name)


def test_a_message_in_the_list_is_the_json_that_programs_of_0_2_read() -> None:
    with redis_server() as redis:
        with TurnstoneClient(port=redis.port) as client:
            client.send("Grüße, 世界 🙂", name="a\nb")
        broker = RedisBroker(host="127.0.0.1", port=redis.port)
        try:
            raw = broker.pop_inbound(1)
        finally:
            broker.close()

    assert raw is not None
    found = p.InboundMessage.from_json(raw)
    assert (found.message, found.name) == ("Grüße, 世界 🙂", "a\nb")  # type: ignore[attr-defined]
    fields = "type correlation_id timestamp ws_id message auto_approve auto_approve_tools name"
    assert list(json.loads(raw)) == [*fields.split(), "target_node"]  # those of 0.2, and no later
    assert json.loads(raw).items() <= vars(found).items()


async def test_a_queue_in_which_nobody_works_is_told_when_the_time_is_over() -> None:
    with redis_server() as redis:
        async with AsyncTurnstoneClient(port=redis.port, prefix="other", db=9) as client:
            result = await client.send_and_wait("go", timeout=0.3)

    assert result.errors == ["Not done in time: No node takes work from the queue `other` in db 9."]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"requires": ["tpu", "rack=2"]}, "No node has the labels tpu, rack=2."),
        ({"target_node": "n2"}, "Node n2 has not renewed its lease for"),
    ],
)
async def test_a_node_that_is_not_there_is_told_when_the_time_is_over(
    tmp_path: Path, arguments: dict[str, Any], told: str
) -> None:
    with redis_server() as redis:
        async with working_node(tmp_path, echo, redis.address, "n1", work={"labels": ["gpu"]}):
            gone = await RedisWork.open(redis.address, "n2", lease=0.1)
            await gone.beat({"boot": gone.boot})
            # Without `aclose`, as after a kill: its heartbeat is still there.
            async with AsyncTurnstoneClient(port=redis.port) as client:
                result = await client.send_and_wait("go", timeout=0.5, **arguments)
            await gone.aclose()

    [error] = result.errors
    assert error.startswith(f"Not done in time: {told}"), error


async def test_the_node_that_was_lost_in_the_middle_of_a_turn_is_told(tmp_path: Path) -> None:
    with redis_server() as redis:
        gone = await RedisWork.open(redis.address, "n2")
        await gone.beat({"boot": gone.boot})
        async with AsyncTurnstoneClient(port=redis.port) as client:
            waiting = asyncio.create_task(client.send_and_wait("go", timeout=3.0))
            async with asyncio.timeout(10):
                while not await gone.pull_shared(0):
                    await asyncio.sleep(0.02)  # the message is the state that is waited for
            [claimed] = await gone.claim(1)
            admitted = await gone.admit(claimed)
            assert await gone.accept(claimed, admitted.epoch)
            end_lease(redis, gone)
            result = await waiting
        await gone.aclose()

    [error] = result.errors
    assert error.startswith("Not done in time: Node n2 has not renewed its lease for"), error
