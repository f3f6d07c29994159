"""The contract of the queue's steps around a process's life: its seat, and what it leaves noted."""

from __future__ import annotations

import asyncio

import pytest

from support.queues import (
    LONG,
    PATIENCE,
    MemoryQueue,
    Queue,
    RedisQueue,
    ids,
    send,
    take_directed,
    take_on,
    take_shared,
    until,
)
from turnstone.mq.errors import AnotherWorker, LeaseOver
from turnstone.mq.work import Seat


@pytest.fixture(params=["redis", "memory", "cluster"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_a_seat_is_of_one_living_process_whatever_its_node_is_called(queue: Queue) -> None:
    a = await queue.node("a", seat=Seat("server", ("gone",)))

    with pytest.raises(AnotherWorker, match="the server server already, as node a"):
        await queue.node("b", seat=Seat("server", ("gone",)))
    with pytest.raises(AnotherWorker, match="The name a is used already, by another node"):
        await queue.node("a", seat=Seat("other"))
    with pytest.raises(AnotherWorker, match="the server server already, as node a"):
        await queue.node("a", seat=Seat("server"))

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
    assert (rival.incarnation, rival.seat) == (f"a|{b.boot}", "server")

    await b.aclose()
    assert await a.rival() is None
    assert not await a.beat({})


async def test_a_process_that_is_known_to_be_dead_has_no_seat_whatever_its_lease_says(
    queue: Queue,
) -> None:
    first = await queue.node("a", seat=Seat("server"))
    await queue.push(send("c1"), "a")
    await take_directed(first)
    second = await queue.node("a", seat=Seat("server", ("gone", first.boot)))

    assert await second.rival() is None
    assert await second.reap() == 1
    assert ids([c.entry for c in await take_directed(second)]) == ["c1"]
    assert (await first.rival()) is not None


async def test_a_standby_takes_nothing_of_its_node_and_reaps_nobody(queue: Queue) -> None:
    a = await queue.node("a", seat=Seat("server"))
    late = asyncio.create_task(a.pull_directed(PATIENCE))

    async def waits() -> bool:
        return await queue.waiting() == 1

    await until(waits)
    await queue.end_lease(a)
    b = await queue.node("a", seat=Seat("server"))
    await b.reap()
    await queue.push(send("c1"), "a")
    with pytest.raises(LeaseOver):
        await late
    assert [c.correlation_id for c in await take_directed(b)] == ["c1"]

    await queue.push(send("c2"), "a")
    for wait in (0, 0.01):
        with pytest.raises(LeaseOver):
            await a.pull_directed(wait)
    assert await a.reap() == 0

    assert [c.correlation_id for c in await take_directed(b)] == ["c1", "c2"]
    assert await a.sweep() == []


async def test_a_process_beyond_its_lease_accepts_nothing_and_passes_no_fence(
    queue: Queue,
) -> None:
    a = await queue.node("a")
    await queue.push(send("c1"))
    await queue.push(send("c2"))
    first, second = await take_shared(a)
    epoch = await take_on(a, first)
    admitted = await a.admit(second)
    await queue.end_lease(a)

    with pytest.raises(LeaseOver):
        await a.fence("c1", epoch)
    with pytest.raises(LeaseOver):
        await a.accept(second, admitted.epoch)
    assert not (await queue.record("c1"))["fx"]
    assert (await queue.record("c2"))["s"] == "claimed"

    assert not await a.beat({})
    assert await a.fence("c1", epoch)
    assert await a.accept(second, admitted.epoch)


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


async def test_what_goes_back_stands_behind_what_was_before_it_while_that_is_there(
    queue: Queue,
) -> None:
    a, b = await queue.node("a"), await queue.node("b")
    for n in range(5):
        await queue.push(send(f"c{n}"))
    for _ in range(4):
        await a.pull_shared(0)
    taken = await a.claim(4)
    epochs = [(await a.admit(claimed)).epoch for claimed in taken]

    assert await a.give_back(taken[1], epochs[1])
    assert await a.give_back(taken[3], epochs[3], taken[1].entry)
    assert await a.give_back(taken[2], epochs[2], taken[1].entry)
    assert ids(await queue.entries(queue.keys.inbound)) == ["c1", "c2", "c3", "c4"]
    assert await b.pull_shared(0)
    assert await a.give_back(taken[0], epochs[0], taken[1].entry)

    assert ids(await queue.entries(queue.keys.inbound)) == ["c0", "c2", "c3", "c4"]


async def test_only_what_a_node_still_has_is_given_back_and_only_under_its_last_try(
    queue: Queue,
) -> None:
    a, b = await queue.node("a"), await queue.node("b")
    await queue.push(send("c1"))
    (claimed,) = await take_shared(a)
    first = await a.admit(claimed)
    second = await a.admit(claimed)

    assert not await a.give_back(claimed, first.epoch)
    await queue.end_lease(a)
    assert await b.reap() == 1
    assert not await a.give_back(claimed, second.epoch)

    assert await queue.entries(queue.keys.inbound) == []
    assert ids(await queue.entries(queue.keys.stage)) == ["c1"]


async def test_a_try_says_whether_an_earlier_one_was_bound_and_may_have_had_effects(
    queue: Queue,
) -> None:
    a, b = await queue.node("a", boot="one"), await queue.node("b")
    await queue.push(send("c1"))
    (claimed,) = await take_shared(a)
    assert not (await a.admit(claimed)).bound
    await queue.end_lease(a)
    await b.reap()

    (claimed,) = await b.claim(1)
    tries = [await b.admit(claimed, bind=True) for _ in range(2)]
    assert [admitted.bound for admitted in tries] == [False, True]
    assert await b.give_back(claimed, tries[1].epoch)

    (claimed,) = await take_shared(b)
    assert not (await b.admit(claimed, bind=True)).bound


async def test_staged_work_goes_back_in_order_to_wake_an_idle_node(queue: Queue) -> None:
    a, b = await queue.node("a"), await queue.node("b")
    for n in range(3):
        await queue.push(send(f"c{n}"))
        await a.pull_shared(0)
    assert await a.unstage() == 3
    assert ids(await queue.entries(queue.keys.inbound)) == ["c0", "c1", "c2"]
    assert [c.correlation_id for c in await take_shared(a)] == ["c0", "c1", "c2"]

    waiting = asyncio.create_task(b.pull_shared(PATIENCE))

    async def waits() -> bool:
        return await queue.waiting() == 1

    await until(waits)
    await queue.end_lease(a)
    assert await b.reap() == 3
    assert await b.unstage() == 3
    assert await waiting


async def test_what_only_this_program_can_read_or_one_node_may_run_is_not_unstaged(
    queue: Queue,
) -> None:
    a, b = await queue.node("a"), await queue.node("b")
    await queue.push(send())
    await queue.push(send("c1"))
    named, bound = await take_shared(a)
    assert (await a.admit(bound, bind=True)).admission == "run"
    await queue.end_lease(a)
    assert await b.reap() == 2

    assert await b.unstage() == 0
    assert await queue.entries(queue.keys.stage) == [named.entry, bound.entry]
    assert await b.claim(1) == [named]
    await queue.end_lease(b)
    c = await queue.node("c")
    assert await c.claim(1) == []
    assert await c.reap() == 1
    assert await c.unstage() == 0
    assert await queue.entries(queue.keys.stage) == [named.entry]


async def test_a_node_that_holds_a_lease_or_owns_a_workstream_is_known(queue: Queue) -> None:
    patient = await queue.node("a", unknown_after=LONG)
    owner = await queue.node("owner")
    await owner.own("w1", 1)
    leased = await queue.node("leased")
    if isinstance(queue, MemoryQueue):
        queue.broker.seen.clear()
    elif isinstance(queue, RedisQueue):
        await queue.redis.delete(queue.keys.seen)
    await owner.aclose()
    eager = await queue.node("b", unknown_after=0.0, grace=LONG)
    for node_id in ("owner", "leased"):
        await queue.forget_heartbeat(node_id)
        await queue.push(send(f"for {node_id}"), node_id)
    await eager.reap()
    await queue.end_lease(leased)

    assert [await work.reap() for work in (patient, eager, eager)] == [0, 0, 0]

    assert await queue.dead() == []


async def test_a_message_that_was_admitted_on_its_node_shows_that_the_node_was_there(
    queue: Queue,
) -> None:
    a = await queue.node("a", unknown_after=0.0)
    gone = await queue.node("gone")
    await queue.push(send("c1"), "gone")
    (claimed,) = await take_directed(gone)
    assert (await gone.admit(claimed, bind=True)).admission == "run"
    await queue.end_lease(gone)
    assert await a.reap() == 1
    await queue.forget_heartbeat("gone")
    if isinstance(queue, MemoryQueue):
        queue.broker.seen.clear()
        queue.broker.leases.pop(f"gone|{gone.boot}", None)
    elif isinstance(queue, RedisQueue):
        await queue.redis.delete(queue.keys.seen)
        await queue.redis.zrem(queue.keys.alive, f"gone|{gone.boot}")

    assert [await a.reap() for _ in range(2)] == [0, 0]

    assert ids(await queue.entries(queue.keys.directed_stage("gone"))) == ["c1"]
    assert (await queue.record("c1"))["s"] == "claimed"


async def test_a_copy_of_what_a_lost_node_had_not_accepted_is_answered(queue: Queue) -> None:
    a = await queue.node("a", unknown_after=0.0)
    lost = await queue.node("lost")
    await queue.push(send("c1"), "lost")
    (claimed,) = await take_directed(lost)
    assert (await lost.admit(claimed)).admission == "run"
    await queue.push(send("c1"), "ghost")
    assert await a.reap() == 1
    assert await queue.dead() == []

    await queue.push(send("c1"), "ghost")
    await queue.end_lease(lost)
    await queue.forget_heartbeat("lost")
    assert await a.reap() == 2

    assert [letter["node"] for letter in await queue.dead()] == ["ghost"]
    again = await queue.node("lost")
    (claimed,) = await take_directed(again)
    assert (await again.admit(claimed)).admission == "dead"


async def test_whoever_asks_is_told_whether_a_message_is_one_of_the_queue_and_where(
    queue: Queue,
) -> None:
    node = await queue.node("n1")
    await queue.push(send("c1"))
    [claimed] = await take_shared(node)
    assert await node.noted("c1") == ("", "")
    epoch = await take_on(node, claimed)
    assert await node.noted("c1") == ("accepted", "n1")
    await node.done("c1", epoch, "", b"{}")
    assert await node.noted("c1") == ("done", "n1")


async def test_a_message_that_is_ended_before_a_node_has_it_is_not_run_when_it_comes(
    queue: Queue,
) -> None:
    a, b = await queue.node("a"), await queue.node("b")
    ear = await queue.listen(queue.keys.events_global)

    assert await a.forestall("c1", "", b'{"outcome": "cancelled"}', [b'{"type": "turn_complete"}'])
    assert (await ear.next())["type"] == "turn_complete"
    await queue.push(send("c1"))
    (claimed,) = await take_shared(b)

    assert (await b.admit(claimed)).admission == "done"
    assert (await ear.next())["type"] == "turn_complete"
    assert await b.result("c1") == b'{"outcome": "cancelled"}'


async def test_what_a_node_has_is_not_ended_by_another_and_an_ending_asked_twice_is_one(
    queue: Queue,
) -> None:
    a, b = await queue.node("a"), await queue.node("b")
    await queue.push(send("c1"))
    (claimed,) = await take_shared(a)
    await take_on(a, claimed)

    assert not await b.forestall("c1", "", b"{}", [])
    assert (await queue.record("c1"))["s"] == "accepted"
    assert await b.forestall("c2", "", b"{}", [])
    assert await b.forestall("c2", "", b"{}", [])
    assert not await a.forestall("c2", "", b'{"other": 1}', [])


async def test_of_all_nodes_one_sees_to_what_is_left_and_after_its_time_another(
    queue: Queue,
) -> None:
    a, b = await queue.node("a"), await queue.node("b")

    assert await a.tidies(["queue", "store:1"], 0.5) == {"queue", "store:1"}
    assert await b.tidies(["queue", "store:2"], 0.5) == {"store:2"}
    assert await a.tidies(["queue"], 0.5) == set()
    await queue.later(0.5)
    assert await b.tidies(["queue"], 0.5) == {"queue"}
    assert await a.tidies(["queue"], 0.5) == set()

    await queue.end_lease(b)
    assert await b.tidies(["queue"], 0) == set()
    assert await a.tidies(["queue"], 0) == {"queue"}
