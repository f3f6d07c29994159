"""Events that a client missed: it is given the whole answer, or is told that it has a cut one."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from modelserver import Reply, call, calls, hold, text
from modelserver.plans import last_user_text, tool_results
from support.nodes import local_node
from support.redis import RedisServer, redis_server
from support.servers import FULL, serving
from support.workers import working_node
from turnstone.core import events as ev
from turnstone.core.host import CreateWorkstream, SendMessage
from turnstone.core.local_host import LocalHost
from turnstone.mq import AsyncTurnstoneClient
from turnstone.mq.client_node import NodeLine
from turnstone.mq.errors import QueueUnavailable
from turnstone.mq.results import StoredResult

PATIENCE = 40.0

WHOLE = "The first part.\n\nThe second part."


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server("--appendonly", "yes") as server:
        yield server


def two_steps(body: dict[str, Any]) -> Reply:
    """An answer in two steps, with a call between them; to anything but `two`, an echo."""
    if last_user_text(body) != "two":
        return text(last_user_text(body))
    if tool_results(body):
        return text("The second part.", chunk=4)
    return calls(call("search", query="x", path="."), text="The first part.", chunk=4)


class HandNode:
    """Takes one message from the shared list, and tells of its turn what a test wants told."""

    def __init__(self, redis: RedisServer) -> None:
        self._redis = redis
        self.ids = {"correlation_id": "", "ws_id": ""}

    async def take(self) -> None:
        with self._redis.client() as client:
            found = await asyncio.to_thread(client.blpop, ["turnstone:inbound"], PATIENCE)
        assert isinstance(found, tuple)
        message = json.loads(found[1])
        self.ids = {"correlation_id": message["correlation_id"], "ws_id": message["new_ws_id"]}

    def tell(self, *events: ev.Event) -> None:
        with self._redis.client() as client:
            for event in events:
                fields = {name: getattr(event, name) for name in event.__struct_fields__}
                envelope = ev.encode(type(event)(**fields | self.ids))
                name = f"turnstone:x:ev:{self.ids['ws_id']}"
                client.xadd(name, {"envelope": envelope}, id=event.id)

    def tell_a_cut_turn(self) -> None:
        """The end of the first step and most of the second are not in the stream."""
        self.tell(
            ev.MessageAccepted(message="two", id="2-0"),
            ev.StepStarted(id="2-1"),
            ev.Content(text="The fir", id="2-2"),
            ev.TurnEnded(text="The second part.", steps=2, id="9-0"),
        )

    def keep(self) -> None:
        cid, ws_id = self.ids["correlation_id"], self.ids["ws_id"]
        stored = StoredResult(correlation_id=cid, ws_id=ws_id, content=WHOLE.split("\n\n"))
        with self._redis.client() as client:
            client.hset(f"turnstone:x:cid:{cid}", "r", stored.encode().decode())

    def looks(self) -> int:
        """How often somebody has looked for a stored result."""
        with self._redis.client() as client:
            seen = client.info("commandstats")
        assert isinstance(seen, dict)
        return int(seen.get("cmdstat_hget", {"calls": 0})["calls"])


async def test_an_answer_whose_events_were_trimmed_is_whole(
    tmp_path: Path, redis: RedisServer
) -> None:
    gate, reading, on = threading.Event(), asyncio.Event(), asyncio.Event()
    heard: list[Any] = []

    async def on_event(event: Any) -> None:
        heard.append(event)
        if event.type == "ack":
            reading.set()
            await on.wait()

    async with (
        working_node(
            tmp_path, lambda body: hold(two_steps(body), gate, before=0), redis.address, "n1"
        ),
        AsyncTurnstoneClient(port=redis.port) as client,
        asyncio.timeout(PATIENCE),
    ):
        asked = asyncio.create_task(
            client.send_and_wait("two", timeout=PATIENCE, on_event=on_event)
        )
        await reading.wait()
        gate.set()
        while await client.result(heard[0].correlation_id) is None:
            await asyncio.sleep(0.02)  # the result is the state that is waited for
        with redis.client() as admin:
            admin.xtrim(f"turnstone:x:ev:{heard[0].ws_id}", maxlen=1, approximate=False)
        on.set()
        result = await asked

    assert result.content == WHOLE
    assert (result.ok, result.outcome) == (True, "done")
    assert [name for name, _ in result.tool_results] == ["search"]
    assert [event.type for event in heard][-2:] == ["info", "turn_complete"]
    assert "missed" in heard[-2].message


async def test_a_cut_answer_waits_for_the_stored_one_however_late(redis: RedisServer) -> None:
    node = HandNode(redis)
    async with AsyncTurnstoneClient(port=redis.port) as client, asyncio.timeout(PATIENCE):
        asked = asyncio.create_task(client.send_and_wait("two", timeout=PATIENCE))
        await node.take()
        node.tell_a_cut_turn()
        while node.looks() < 7 and not asked.done():
            await asyncio.sleep(0.02)  # the looks are the state that is waited for
        node.keep()
        result = await asked

    assert (result.ok, result.content) == (True, WHOLE)


async def test_a_cut_answer_of_which_nothing_is_stored_is_not_reported_as_whole(
    redis: RedisServer,
) -> None:
    node = HandNode(redis)
    async with AsyncTurnstoneClient(port=redis.port) as client, asyncio.timeout(PATIENCE):
        asked = asyncio.create_task(client.send_and_wait("two", timeout=3))
        await node.take()
        node.tell_a_cut_turn()
        result = await asked
        again = await client.result(result.correlation_id)

    assert (result.ok, result.timed_out, again) == (False, True, None)
    assert "parts of its answer were missed" in result.errors[0]


async def test_a_stream_of_which_parts_were_missed_says_so_and_ends(redis: RedisServer) -> None:
    node = HandNode(redis)
    async with AsyncTurnstoneClient(port=redis.port) as client, asyncio.timeout(PATIENCE):
        asked = asyncio.create_task(types_of(client))
        await node.take()
        node.tell_a_cut_turn()
        seen = await asked

    assert seen == ["ws_created", "ack", "content", "info", "turn_complete"]


async def types_of(client: AsyncTurnstoneClient) -> list[str]:
    return [event.type async for event in client.stream("two")]


async def test_a_turn_whose_events_end_before_it_does_is_whole(redis: RedisServer) -> None:
    """As after a loss of the stream: what was seen so far has no hole, and is not all."""
    node = HandNode(redis)
    async with AsyncTurnstoneClient(port=redis.port) as client, asyncio.timeout(PATIENCE):
        asked = asyncio.create_task(client.send_and_wait("two", timeout=PATIENCE))
        await node.take()
        node.tell(
            ev.MessageAccepted(message="two", id="2-0"),
            ev.StepStarted(id="2-1"),
            ev.Content(text="The fir", id="2-2"),
        )
        node.keep()
        result = await asked

    assert (result.ok, result.content) == (True, WHOLE)


async def test_a_redis_that_is_away_when_the_stored_answer_is_looked_for_is_waited_for(
    redis: RedisServer,
) -> None:
    node = HandNode(redis)
    over = asyncio.Event()

    def on_event(event: Any) -> None:
        if event.type == "turn_complete":
            redis.kill()
            over.set()

    async with AsyncTurnstoneClient(port=redis.port) as client, asyncio.timeout(PATIENCE):
        asked = asyncio.create_task(
            client.send_and_wait("two", timeout=PATIENCE, on_event=on_event)
        )
        await node.take()
        node.tell_a_cut_turn()
        await over.wait()
        await asyncio.to_thread(redis.start)
        node.keep()
        result = await asked

    assert (result.ok, result.content) == (True, WHOLE)


async def test_who_asks_later_waits_a_moment_for_a_redis_that_is_away(redis: RedisServer) -> None:
    async with AsyncTurnstoneClient(port=redis.port) as client:
        assert await client.result("c1") is None
        redis.kill()
        asked = asyncio.create_task(client.result("c1"))
        await asyncio.to_thread(redis.start)
        assert await asked is None
        redis.kill()
        with pytest.raises(QueueUnavailable, match=str(redis.port)):
            await client.result("c1")


async def test_the_answer_of_several_steps_is_the_same_live_and_stored(
    tmp_path: Path, redis: RedisServer
) -> None:
    async with (
        working_node(tmp_path, two_steps, redis.address, "n1"),
        AsyncTurnstoneClient(port=redis.port) as client,
        asyncio.timeout(PATIENCE),
    ):
        live = await client.send_and_wait("two", timeout=PATIENCE)
        while (stored := await client.result(live.correlation_id)) is None:
            await asyncio.sleep(0.02)  # the result is the state that is waited for

    assert live.content == stored.content == WHOLE


async def test_the_answer_of_several_steps_of_one_node_is_the_same_live_and_stored(
    tmp_path: Path,
) -> None:
    async with (
        local_node(tmp_path, two_steps) as node,
        serving(node.host) as served,
        AsyncTurnstoneClient(served.url, token=FULL) as client,
    ):
        live = await client.send_and_wait("two", timeout=PATIENCE)
        stored = await client.result(live.correlation_id)

    assert stored is not None
    assert live.content == stored.content == WHOLE


async def test_a_reader_of_one_node_whose_events_are_gone_gets_the_answer_of_its_turn(
    tmp_path: Path,
) -> None:
    async with local_node(tmp_path, two_steps) as node:
        ws = (await node.host.create(CreateWorkstream())).id
        line = NodeLine(node.host, "http://n1")
        for cid, message in (("c1", "one"), ("c2", "two"), ("c3", "three")):
            await ended(node.host, ws, cid, message)
            assert (await kept(line, cid, ws)).content == said(message)
        assert (await kept(line, "c2", ws)).content == said("two")


async def test_a_reader_of_one_node_whose_events_are_gone_in_the_middle_gets_the_rest(
    tmp_path: Path,
) -> None:
    gate = threading.Event()

    def plan(body: dict[str, Any]) -> Reply:
        reply = two_steps(body)
        return hold(reply, gate, before=4) if tool_results(body) else reply

    async with local_node(tmp_path, plan) as node:
        ws = (await node.host.create(CreateWorkstream())).id
        line = NodeLine(node.host, "http://n1")
        await node.host.send(SendMessage(ws_id=ws, correlation_id="c1", message="two"))
        await node.host.send(SendMessage(ws_id=ws, correlation_id="c2", message="three"))
        async with asyncio.timeout(PATIENCE):
            async for event in node.host.follow(ws):
                if isinstance(event, ev.Content) and "sec" in event.text:
                    break
            running = line.turn("c1", ws, "0-1")
            waiting = line.turn("c2", ws, "0-1")
            for reading in (running, waiting):
                while not isinstance(await anext(reading), ev.History):
                    pass
            gate.set()
            assert (await last(running)).content == said("two")
            assert (await last(waiting)).content == said("three")


async def last(reading: AsyncIterator[ev.Event | StoredResult]) -> StoredResult:
    return [event async for event in reading if isinstance(event, StoredResult)][-1]


def said(message: str) -> list[str]:
    return WHOLE.split("\n\n") if message == "two" else [message]


async def ended(host: LocalHost, ws: str, cid: str, message: str) -> None:
    await host.send(SendMessage(ws_id=ws, correlation_id=cid, message=message))
    async with asyncio.timeout(PATIENCE):
        while await host.ending(ws, cid) is None:
            await asyncio.sleep(0.01)  # the ending is the state that is waited for


async def kept(line: NodeLine, cid: str, ws: str) -> StoredResult:
    """What the line says of a turn, read from a place that is long gone."""
    async with asyncio.timeout(PATIENCE):
        async for event in line.turn(cid, ws, "0-1"):
            if isinstance(event, StoredResult):
                assert await line.result(cid) is event
                return event
    raise AssertionError("no ending came")


async def test_a_turn_whose_workstream_is_closed_is_no_answer(tmp_path: Path) -> None:
    gate = threading.Event()

    async def on_event(event: Any) -> None:
        if event.type == "content":
            await client.close_workstream(event.ws_id)

    async with (
        local_node(
            tmp_path, lambda body: hold(text("never all of it", chunk=4), gate, before=2)
        ) as node,
        serving(node.host) as served,
        AsyncTurnstoneClient(served.url, token=FULL) as client,
    ):
        result = await client.send_and_wait("go", timeout=PATIENCE, on_event=on_event)
        gate.set()

    assert (result.ok, result.timed_out, len(result.errors)) == (False, False, 1), result


async def test_a_message_that_waits_in_a_workstream_which_is_closed_gets_no_answer(
    tmp_path: Path,
) -> None:
    gate, waits = threading.Event(), asyncio.Event()

    def on_event(event: Any) -> None:
        waits.set()

    async with (
        local_node(tmp_path, lambda body: hold(text("never all of it"), gate)) as node,
        serving(node.host) as served,
        AsyncTurnstoneClient(served.url, token=FULL) as client,
        asyncio.timeout(PATIENCE),
    ):
        ws = (await node.host.create(CreateWorkstream())).id
        await node.host.send(SendMessage(ws_id=ws, correlation_id="c1", message="one"))
        asked = asyncio.create_task(
            client.send_and_wait("two", ws_id=ws, timeout=PATIENCE, on_event=on_event)
        )
        await waits.wait()
        await client.close_workstream(ws)
        result = await asked
        gate.set()

    assert (result.ok, result.timed_out, len(result.errors)) == (False, False, 1), result


async def test_a_stream_of_one_node_that_ends_before_the_turn_does_is_no_answer() -> None:
    """A node that closes a workstream, and has no ending to tell."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        kind, body = "application/json", b'{"status": "ok", "ws_id": "w1"}'
        if head.startswith("GET"):
            kind = "text/event-stream"
            happened: list[ev.Event] = [ev.Content(text="half", id="2-1"), ev.WsClosed(id="3-0")]
            frames = (f"id: {one.id}\ndata: ".encode() + ev.encode(one) for one in happened)
            body = b"".join(frame + b"\n\n" for frame in frames)
        lines = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        writer.write(f"{lines}Connection: close\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with AsyncTurnstoneClient(f"http://127.0.0.1:{port}") as client:
            result = await client.send_and_wait("go", ws_id="w1", timeout=PATIENCE)

    assert (result.ok, result.timed_out, result.outcome) == (False, False, "closed")
    assert "w1 was closed" in result.errors[0]
