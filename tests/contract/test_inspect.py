"""Looking into a queue from outside: on Redis and in memory alike."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from support.queues import MemoryQueue, Queue, RedisQueue, send, take_on, take_shared
from support.redis import RedisServer
from turnstone.mq.entry import MESSAGE_MAX
from turnstone.mq.errors import LetterNotReplayed, UnknownLetter
from turnstone.mq.inspect import Inspector
from turnstone.mq.inspect_memory import MemoryInspector
from turnstone.mq.inspect_redis import RedisInspector


@dataclass
class Bench:
    queue: Queue
    inspector: Inspector

    async def now(self) -> float:
        queue = self.queue
        return await queue._now() if isinstance(queue, RedisQueue) else queue.clock.now()  # type: ignore[attr-defined]

    async def bury(self, raw: bytes, why: str = "No.") -> str:
        """A dead letter; its id."""
        node = await self.queue.node("n")
        await self.queue.push(raw)
        (claimed,) = await take_shared(node)
        await node.bury(claimed, why)
        return (await self.inspector.letters(1))[0].id


@pytest.fixture(params=["redis", "memory"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    if request.param == "memory":
        memory = MemoryQueue()
        yield Bench(memory, MemoryInspector(memory.broker))
        return
    server: RedisServer = request.getfixturevalue("server")
    queue = RedisQueue(server)
    await queue.redis.flushall()
    inspector = RedisInspector(server.address)
    yield Bench(queue, inspector)
    await inspector.aclose()
    await queue.aclose()


async def test_an_empty_queue_has_nothing(bench: Bench) -> None:
    view = await bench.inspector.view()

    assert (view.lists, view.leases, view.inflight, view.dead) == ((), (), {}, 0)
    assert (view.waiting, view.oldest) == (0, None)
    assert await bench.inspector.letters() == []
    assert await bench.inspector.purge() == 0


async def test_a_view_has_lists_leases_and_what_is_in_flight(bench: Bench) -> None:
    node = await bench.queue.node("a", boot="one", labels=("gpu",))
    now = await bench.now()
    await bench.queue.push(send("c1"))
    await take_on(node, (await take_shared(node))[0])
    await bench.queue.push(send("c2", timestamp=now - 90))
    await bench.queue.push(send("c3", timestamp=now - 5))
    await bench.queue.push(send("c4"), "b")
    await bench.queue.push(b"{", "c")
    await bench.queue.push(send("c5", requires=["arm"]))
    await take_shared(node, 0)
    await bench.queue.push(send("c6", timestamp="soon"), "d")

    view = await bench.inspector.view()

    assert {one.name.removeprefix("turnstone:"): one.length for one in view.lists} == {
        "inbound:b": 1,
        "inbound:c": 1,
        "inbound:d": 1,
        "x:stage": 3,
    }
    ages = {one.name.removeprefix("turnstone:"): one.oldest for one in view.lists}
    assert ages["x:stage"] == pytest.approx(90, abs=20)
    assert (ages["inbound:b"], ages["inbound:c"], ages["inbound:d"]) == (None, None, None)
    assert (view.waiting, view.inflight, view.labels) == (6, {"a": 1}, {"a": "gpu"})
    (lease,) = view.leases
    assert (lease.node, lease.boot) == ("a", "one")
    assert 900 < lease.left <= 1_000


async def test_work_that_no_node_may_take_is_shown_with_what_it_lacks(bench: Bench) -> None:
    node = await bench.queue.node("a")
    await bench.queue.push(send("c1", requires=["arm"]))
    await take_shared(node)

    view = await bench.inspector.view()
    assert list(view.unmet) == ["arm"]
    assert [one.name for one in view.lists] == ["turnstone:x:wait:arm"]


async def test_letters_come_newest_first_and_page_by_page(bench: Bench) -> None:
    for n in range(5):
        await bench.bury(send(f"c{n}"), f"Reason {n}.")

    first = await bench.inspector.letters(2)
    rest = await bench.inspector.letters(9, first[-1].id)

    assert [one.correlation_id for one in [*first, *rest]] == ["c4", "c3", "c2", "c1", "c0"]
    assert first[0].reason == "Reason 4."
    assert (first[0].node, first[0].raw, first[0].cut) == ("n", send("c4"), False)
    assert first[0].time == pytest.approx(await bench.now(), abs=30)
    assert await bench.inspector.letter(first[1].id) == first[1]


async def test_a_letter_is_sent_again_once_as_a_message_of_its_own(bench: Bench) -> None:
    letter = await bench.bury(send("c1", message="once more", name="w1", later=[1]))

    new_id = await bench.inspector.replay(letter)

    (entry,) = await bench.queue.entries("turnstone:inbound")
    told = json.loads(entry)
    assert told.pop("timestamp") == pytest.approx(await bench.now(), abs=30)
    assert told == json.loads(send(new_id, message="once more", name="w1", later=[1]))
    assert new_id != "c1"
    assert await bench.queue.dead() == []
    with pytest.raises(UnknownLetter):
        await bench.inspector.replay(letter)
    assert len(await bench.queue.entries("turnstone:inbound")) == 1


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (send("c1", "x" * 70_000), "first 65536"),
        (b'{"correlation_id": "c1", "type": "send", "message": "' + b"x" * MESSAGE_MAX, "kept"),
        (b"[]", "object"),
        (b'{"type": "dance"}', "dance"),
        (b'{"type": "send", "message": "\xff"}', "UTF-8"),
        (b"[" * 2_000, "deep"),
    ],
)
async def test_a_letter_that_cannot_be_sent_again_stays_and_the_reason_is_told(
    bench: Bench, raw: bytes, why: str
) -> None:
    letter = await bench.bury(raw)

    with pytest.raises(LetterNotReplayed, match=why):
        await bench.inspector.replay(letter)
    assert (await bench.inspector.letter(letter)).size == len(raw)
    assert await bench.queue.entries("turnstone:inbound") == []


@pytest.mark.parametrize("letter", ["1-1", "x", "", "-", "+", "99999999999999999999999-1"])
async def test_a_letter_that_is_not_there_is_told(bench: Bench, letter: str) -> None:
    await bench.bury(send("c1"))
    for asked in (bench.inspector.letter, bench.inspector.replay, bench.inspector.drop):
        with pytest.raises(UnknownLetter):
            await asked(letter)
    assert len(await bench.inspector.letters()) == 1


async def test_letters_are_dropped_one_by_one_or_all(bench: Bench) -> None:
    found = [await bench.bury(send(f"c{n}")) for n in range(4)]
    await bench.inspector.drop(found[1])

    assert [one.correlation_id for one in await bench.inspector.letters()] == ["c3", "c2", "c0"]
    assert await bench.inspector.purge() == 3
    assert await bench.queue.dead() == []


async def test_a_queue_under_another_prefix_is_seen_where_there_is_none_under_this(
    server: RedisServer,
) -> None:
    queue, here = RedisQueue(server, "other"), RedisInspector(server.address, "mine")
    try:
        await queue.redis.flushall()
        assert await here.others() == []
        await queue.node("a")
        await queue.redis.rpush("third:inbound", b"{}")
        assert await here.others() == ["other", "third"]
        await queue.redis.rpush("mine:inbound", b"{}")
        assert await here.others() == []
    finally:
        await here.aclose()
        await queue.aclose()
