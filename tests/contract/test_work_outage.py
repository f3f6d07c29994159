"""The contract of the queue's steps after Redis was away, came back empty, or came back older; on
Redis and in memory."""

from __future__ import annotations

import pytest

from support.queues import (
    LONG,
    MemoryQueue,
    Queue,
    RedisQueue,
    send,
    take_directed,
    take_on,
    take_shared,
)
from turnstone.mq.memory_broker import MemoryBroker

GRACE = LONG / 2

#: Of a node in these tests: an outage is longer than all of them together.
TIMES = {"lease": LONG, "grace": GRACE, "lost_after": LONG}
OUTAGE = 10 * LONG


@pytest.fixture(params=["redis", "memory", "cluster"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def passes(queue: Queue, seconds: float) -> None:
    """So much time, in which nobody asks the queue for anything. For Redis, whose clock is that of
    the machine, all moments that it keeps are so much earlier instead."""
    if isinstance(queue, MemoryQueue):
        queue.clock.time += seconds
        return
    assert isinstance(queue, RedisQueue)
    keys, redis = queue.keys, queue.redis
    for name in (keys.alive, keys.seen, keys.gone, keys.strays, keys.waits):
        for member, score in await redis.zrange(name, 0, -1, withscores=True):
            await redis.zadd(name, {member: score - seconds})
    for field in ("last", "from", "hold"):
        moment = await redis.hget(keys.beats, field)
        if moment is not None:
            await redis.hset(keys.beats, field, float(moment) - seconds)
    async for name in redis.scan_iter(keys.node("*")):
        left = await redis.pttl(name) - round(1000 * seconds)
        await (redis.pexpire(name, left) if left > 0 else redis.delete(name))


async def comes_back_empty(queue: Queue) -> None:
    if isinstance(queue, MemoryQueue):
        queue.broker.__dict__.update(MemoryBroker(clock=queue.clock).__dict__)
    else:
        assert isinstance(queue, RedisQueue)
        await queue.redis.flushall()


async def comes_back_older(queue: Queue, beats: int) -> None:
    """As it was so many beats ago."""
    if isinstance(queue, MemoryQueue):
        queue.broker.beats.count -= beats
    else:
        assert isinstance(queue, RedisQueue)
        await queue.redis.hincrby(queue.keys.beats, "count", -beats)


async def test_nodes_that_could_not_beat_keep_what_they_have_when_redis_is_back(
    queue: Queue,
) -> None:
    a, b = await queue.node("a", **TIMES), await queue.node("b", **TIMES)
    await a.own("w1", 1)
    await queue.push(send("begun"))
    begun = await take_on(a, (await take_shared(a))[0])
    assert await a.fence("begun", begun)
    await queue.push(send("fresh"))
    fresh = await take_on(a, (await take_shared(a))[0])
    await queue.push(send("directed", ws_id="w1"), "a")
    directed = await take_on(a, (await take_directed(a))[0])

    await passes(queue, OUTAGE)
    assert not await b.beat({})

    for _ in range(3):  # also the looks after the first beat
        assert await b.reap() == 0
        due, found = await b.orphans()
        assert found == []
        assert due is not None
        assert 0 < due <= LONG
    assert await queue.dead() == []
    assert not await a.beat({})
    for cid, epoch in (("begun", begun), ("fresh", fresh), ("directed", directed)):
        assert await a.fence(cid, epoch)


async def test_who_stays_silent_after_an_outage_is_gone_after_its_time(queue: Queue) -> None:
    a, b = await queue.node("a", **TIMES), await queue.node("b", **TIMES)
    await a.own("w1", 1)
    await queue.push(send("fresh"))
    await take_on(a, (await take_shared(a))[0])
    await queue.push(send("begun"))
    begun = await take_on(a, (await take_shared(a))[0])
    assert await a.fence("begun", begun)
    await queue.push(send("waits", ws_id="w1"), "a")

    await passes(queue, OUTAGE)
    await b.beat({})
    for _ in range(2):
        await passes(queue, 0.45 * LONG)
        assert await b.beat({})
    assert (await b.orphans())[1] == []
    await passes(queue, 0.2 * LONG)  # its lease would be over, had it got one
    assert await b.beat({})
    [left] = (await b.orphans())[1]
    assert not left.sure
    assert await b.reap() == 0
    await passes(queue, 0.5 * LONG)
    assert await b.beat({})
    [left] = (await b.orphans())[1]
    assert left.sure
    assert await b.reap() == 1
    assert (await queue.record("fresh"))["s"] == "queued"
    assert (await queue.record("begun"))["s"] == "accepted"
    await passes(queue, 0.5 * LONG)
    assert await b.beat({})
    assert await b.reap() == 1
    assert (await queue.record("begun"))["s"] == "dead"


async def test_work_in_the_list_of_a_node_that_was_away_before_an_outage_waits_anew(
    queue: Queue,
) -> None:
    a, b = await queue.node("a", **TIMES), await queue.node("b", **TIMES)
    await queue.end_lease(a)
    await queue.forget_heartbeat("a")
    await queue.push(send("c1"), "a")
    assert await b.answer_gone() == 0

    await passes(queue, OUTAGE)
    await b.beat({})

    assert await b.answer_gone() == 0
    for _ in range(2):
        await passes(queue, 0.45 * LONG)
        assert await b.beat({})
    assert await b.answer_gone() == 0
    await passes(queue, 0.2 * LONG)
    assert await b.beat({})
    assert await b.answer_gone() == 1


async def test_a_redis_that_comes_back_empty_gives_no_second_node_what_one_has(
    queue: Queue,
) -> None:
    a, b = await queue.node("a", **TIMES), await queue.node("b", **TIMES)
    await queue.push(send("c1"))
    (claimed,) = await take_shared(a)
    epoch = await take_on(a, claimed)
    assert await a.fence("c1", epoch)

    await comes_back_empty(queue)
    assert not await b.beat({})
    await queue.push(send("c1"))
    await queue.push(send("c2"))
    copy, new = await take_shared(b)
    assert (await b.admit(copy)).admission == "held"
    assert (await b.admit(new)).admission == "held"
    assert not await a.beat({})
    assert await a.stand("c1", epoch, claimed.raw, "shared") == "ok"

    assert (await b.admit(copy)).admission == "accepted"
    assert (await b.admit(new)).admission == "held"  # somebody else may have that
    assert await a.fence("c1", epoch)
    await passes(queue, 0.6 * LONG)
    assert await a.beat({})  # and did not begin the time anew
    assert await b.beat({})
    await passes(queue, 0.6 * LONG)
    assert await b.beat({})
    assert (await b.admit(new)).admission == "run"


async def test_what_redis_kept_is_taken_on_at_once_though_it_came_back_empty_once(
    queue: Queue,
) -> None:
    a = await queue.node("a", **TIMES)
    await comes_back_empty(queue)
    await queue.push(send("c1"))
    b = await queue.node("b", **TIMES)  # a new process, which knows of no loss
    (claimed,) = await take_shared(b)
    epoch = await take_on(b, claimed)
    assert not await a.beat({})

    await queue.push(send("c1"))
    (copy,) = await take_shared(a)
    assert (await a.admit(copy)).admission == "accepted"
    assert await b.fence("c1", epoch)


@pytest.mark.parametrize("beats", [1, 5])
async def test_a_redis_that_comes_back_older_is_noticed_by_every_node(
    queue: Queue, beats: int
) -> None:
    a, b = await queue.node("a", **TIMES), await queue.node("b", **TIMES)
    for _ in range(5):
        assert await a.beat({})
        assert await b.beat({})
    await queue.push(send("c1"))

    await comes_back_older(queue, beats)

    assert not await b.beat({})
    (claimed,) = await take_shared(b)
    assert (await b.admit(claimed)).admission == "held"
    assert not await a.beat({})
    assert [await a.beat({}), await b.beat({})] == [True, True]
