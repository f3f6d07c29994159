"""Following a turn: what is not there is told, and nobody waits longer than they said."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from modelserver import hold, text
from modelserver.plans import echo
from support.nodes import local_node
from support.queues import RedisQueue, send, take_directed, take_on, take_shared
from support.redis import RedisServer, redis_server
from support.servers import FULL, serving
from turnstone.mq import AsyncTurnstoneClient, TurnstoneClient, TurnTimedOut
from turnstone.mq.client_queue import QueueLine
from turnstone.mq.errors import UnknownMessage

PATIENCE = 60.0


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture
async def queue(server: RedisServer) -> AsyncIterator[RedisQueue]:
    opened = RedisQueue(server)
    await opened.redis.flushall()
    yield opened
    await opened.aclose()


async def all_of(client: AsyncTurnstoneClient, after: str = "", ws_id: str = "") -> list[str]:
    return [event.type async for event in client.follow("never", after, ws_id=ws_id)]


def all_of_it(port: int) -> list[str]:
    with TurnstoneClient(port=port) as client:
        return [event.type for event in client.follow("never")]


async def test_a_message_that_nobody_has_sent_is_told_as_unknown(
    tmp_path: Path, queue: RedisQueue
) -> None:
    port = queue.server.port
    async with (
        local_node(tmp_path, echo) as node,
        serving(node.host) as served,
        AsyncTurnstoneClient(served.url, token=FULL) as near,
        AsyncTurnstoneClient(port=port) as client,
        asyncio.timeout(PATIENCE),
    ):
        told = await asyncio.gather(
            all_of(client),
            all_of(client, ws_id="w1"),
            all_of(client, after="w1:7-1"),
            all_of(near),
            asyncio.to_thread(all_of_it, port),
            return_exceptions=True,
        )

    assert [type(one) for one in told] == [UnknownMessage] * 5, told
    assert "'never'" in str(told[0])


async def behind_many_others(queue: RedisQueue) -> None:
    others = [send(f"o{n}", message="it names c1") for n in range(600)]
    await queue.redis.rpush(queue.keys.inbound, *others)
    await queue.push(send("c1"))


async def in_the_list_of_a_node(queue: RedisQueue) -> None:
    await queue.push(send("c1"), "away")


async def in_staging(queue: RedisQueue) -> None:
    node = await queue.node("a")
    await queue.push(send("c1"))
    assert await node.pull_shared(0)


async def claimed_by_a_node(queue: RedisQueue) -> None:
    await queue.push(send("c1"), "a")
    assert await take_directed(await queue.node("a"))


async def put_aside(queue: RedisQueue) -> None:
    await queue.push(send("c1", requires=["gpu"]))
    assert await take_shared(await queue.node("a")) == []


async def accepted(queue: RedisQueue) -> None:
    node = await queue.node("a")
    await queue.push(send("c1"))
    (claimed,) = await take_shared(node)
    await take_on(node, claimed)


@pytest.mark.parametrize(
    "wait",
    [
        behind_many_others,
        in_the_list_of_a_node,
        in_staging,
        claimed_by_a_node,
        put_aside,
        accepted,
    ],
)
async def test_a_message_is_known_wherever_it_waits(
    queue: RedisQueue, wait: Callable[[RedisQueue], Awaitable[None]]
) -> None:
    line = QueueLine(queue.address)
    await wait(queue)

    assert (await line.knows("c1"), await line.knows("c")) == (True, False)
    await line.aclose()


async def test_a_stream_that_no_node_takes_ends_in_time_and_says_why(queue: RedisQueue) -> None:
    async with AsyncTurnstoneClient(port=queue.server.port) as client:
        with pytest.raises(TurnTimedOut, match="No node takes work") as late:
            async for _ in client.stream("go", timeout=0.2):
                pass
        result = late.value.result
        with pytest.raises(TurnTimedOut):
            async for _ in client.follow(result.correlation_id, timeout=0.2):
                pass
        with pytest.raises(ValueError, match="must be more than 0"):
            await anext(client.stream("go", timeout=0))

    assert (result.timed_out, result.correlation_id != "") == (True, True)
    with TurnstoneClient(port=queue.server.port) as client, pytest.raises(TurnTimedOut):
        list(client.stream("go", timeout=0.2))


async def test_a_turn_that_takes_too_long_is_told_with_what_came_of_it_so_far(
    tmp_path: Path,
) -> None:
    gate = threading.Event()
    seen: list[str] = []
    async with (
        local_node(
            tmp_path, lambda body: hold(text("only half of it", chunk=4), gate, before=2)
        ) as node,
        serving(node.host) as served,
        AsyncTurnstoneClient(served.url, token=FULL) as client,
        asyncio.timeout(PATIENCE),
    ):
        with pytest.raises(TurnTimedOut) as late:
            async for event in client.stream("go", timeout=3.0):
                seen += [event.type]
        gate.set()
        cid = late.value.result.correlation_id
        again = [event async for event in client.follow(cid, timeout=PATIENCE)]

    assert "content" in seen
    assert late.value.result.content.startswith("only")
    assert again[-1].type == "turn_complete"
