"""The contract of the queue's steps around a process's life: its seat, and what it leaves noted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from support.queues import MemoryQueue, Queue, RedisQueue, ids, send, take_on, take_shared
from support.redis import RedisServer, redis_server
from turnstone.mq.errors import AnotherWorker
from turnstone.mq.work import Seat


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture(params=["redis", "memory"])
async def queue(request: pytest.FixtureRequest) -> AsyncIterator[Queue]:
    opened: Queue
    if request.param == "memory":
        opened = MemoryQueue()
    else:
        opened = RedisQueue(request.getfixturevalue("server"))
        await opened.redis.flushall()
    yield opened
    await opened.aclose()


async def test_a_seat_is_of_one_living_process_whatever_its_node_is_called(queue: Queue) -> None:
    a = await queue.node("a", seat=Seat("server", "one"))

    with pytest.raises(AnotherWorker, match="the server server already, as node a"):
        await queue.node("b", seat=Seat("server", "two"))
    with pytest.raises(AnotherWorker):
        await queue.node("a", seat=Seat("other", "two"))

    assert await a.rival() is None
    assert await a.beat({})
    nodes = [node["node_id"] for node in await a.nodes()]
    assert nodes == ["a"]


async def test_a_seat_is_free_when_its_process_has_left_or_its_lease_is_over(queue: Queue) -> None:
    a = await queue.node("a", seat=Seat("server"))
    await a.aclose()
    b = await queue.node("b", seat=Seat("server"))
    await queue.end_lease(b)

    c = await queue.node("c", seat=Seat("server"))

    assert await c.rival() is None


async def test_a_process_that_slept_beyond_its_lease_gets_no_new_one_once_another_has_its_seat(
    queue: Queue,
) -> None:
    a = await queue.node("a", seat=Seat("server"))
    await queue.push(send("c1"))
    (claimed,) = await take_shared(a)
    await queue.end_lease(a)
    b = await queue.node("a", seat=Seat("server"))

    with pytest.raises(AnotherWorker):
        await a.beat({})
    assert (await a.admit(claimed)).admission == "lapsed"
    rival = await a.rival()
    assert rival is not None
    assert rival.incarnation == f"a|{b.boot}"

    await b.aclose()
    assert await a.rival() is None
    assert not await a.beat({})


async def test_a_process_that_held_the_same_lock_is_dead_whatever_its_lease_says(
    queue: Queue,
) -> None:
    await queue.node("a", seat=Seat("server", "lock"))
    b = await queue.node("a", seat=Seat("server", "lock"))

    assert await b.rival() is None


async def test_nothing_stays_noted_of_a_message_that_is_another_nodes_now(queue: Queue) -> None:
    a, b = await queue.node("a"), await queue.node("b")
    await queue.push(send("c1"))
    (claimed,) = await take_shared(a)
    epoch = await take_on(a, claimed)
    (noted,) = await a.unfinished()
    await queue.lose_record("c1")
    await queue.push(send("c1"))
    (again,) = await take_shared(b)
    await take_on(b, again)
    if isinstance(queue, MemoryQueue):
        queue.broker.inflight["a"]["c1"] = b"s" + claimed.entry
    elif isinstance(queue, RedisQueue):
        await queue.redis.hset(queue.keys.inflight("a"), "c1", b"s" + claimed.entry)

    assert await a.stand("c1", epoch, noted.raw, noted.lane) == "other"

    assert await a.unfinished() == []
    assert [one.correlation_id for one in await b.unfinished()] == ["c1"]


async def test_what_a_node_has_no_room_for_goes_back_to_the_head_as_if_never_taken(
    queue: Queue,
) -> None:
    a, b = await queue.node("a"), await queue.node("b")
    for cid in ("c1", "c2"):
        await queue.push(send(cid))
    assert await a.pull_shared(0)
    (claimed,) = await a.claim(1)
    admitted = await a.admit(claimed, bind=True)

    assert await a.give_back(claimed, admitted.epoch)
    assert not await a.give_back(claimed, admitted.epoch)

    assert ids(await queue.entries(queue.keys.inbound)) == ["c1", "c2"]
    record = await queue.record("c1")
    assert (record["s"], record["n"], record["fx"], record["tries"]) == ("queued", "", False, 0)
    (first, second) = await take_shared(b)
    assert (await b.admit(first)).admission == "run"
    assert (await b.admit(second)).admission == "run"


async def test_a_message_without_an_id_goes_back_to_staging_with_the_one_that_it_was_given(
    queue: Queue,
) -> None:
    a = await queue.node("a")
    await queue.push(send())
    (claimed,) = await take_shared(a)
    admitted = await a.admit(claimed)

    assert await a.give_back(claimed, admitted.epoch)

    assert await queue.entries(queue.keys.inbound) == []
    assert await queue.entries(queue.keys.stage) == [claimed.entry]
