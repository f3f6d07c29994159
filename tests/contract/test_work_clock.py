"""The clock of the queue is set forward or back: nothing is lost, and nothing is done twice."""

from __future__ import annotations

import pytest

from support.queue_clock import jump
from support.queues import Queue, ids, send, take_on, take_shared
from turnstone.mq.errors import LeaseOver
from turnstone.mq.work import Work

LEASE = 15.0
HOUR = 3_600.0


@pytest.fixture(params=["redis", "memory", "cluster"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def a_lease(queue: Queue, beating: Work) -> None:
    """Let a lease go by, in which this node beats."""
    for _ in range(3):
        await jump(queue, LEASE / 3 + 0.1)
        await beating.beat({})


async def test_an_hour_forward_ends_all_leases_and_takes_nothing_from_who_lives(
    queue: Queue,
) -> None:
    a, b = [await queue.node(name, lease=LEASE, lost_after=60.0) for name in ("a", "b")]
    for cid in ("c1", "c2"):
        await queue.push(send(cid))
    first, second = await take_shared(a)
    epoch = await take_on(a, first)

    await jump(queue, HOUR)
    with pytest.raises(LeaseOver):
        await a.fence("c1", epoch)
    assert (await a.admit(second)).admission == "lapsed"
    assert not await b.beat({})  # the first one that finds it so
    await b.reap()
    taken_by_b = ids([one.entry for one in await take_shared(b)])
    assert not await a.beat({})

    assert await b.answer_gone() == await b.reap() == 0
    assert await a.fence("c1", epoch)
    held_by_a = ids([one.entry for one in await a.sweep()])
    assert sorted([*taken_by_b, *held_by_a]) == ["c2"]
    assert await a.done("c1", epoch, "w", b"{}")
    assert await queue.dead() == []


async def test_an_hour_back_keeps_all_leases_and_holds_up_nobody_who_lives(queue: Queue) -> None:
    a, b = [await queue.node(name, lease=LEASE) for name in ("a", "b")]
    await queue.push(send("c1"))
    (claimed,) = await take_shared(a)
    epoch = await take_on(a, claimed)
    assert await b.tidies(["queue"], 1.0) == {"queue"}
    assert await b.reap() == 0

    await jump(queue, -HOUR)

    assert await a.beat({})
    assert await b.beat({})
    assert await a.tidies(["queue"], 1.0) == {"queue"}
    assert await b.reap() == 0
    await queue.push(send("c2"))
    assert ids([one.entry for one in await take_shared(b)]) == ["c2"]
    assert await a.fence("c1", epoch)
    assert await a.done("c1", epoch, "w", b"{}")


async def test_work_of_a_node_that_dies_after_an_hour_back_is_given_on_after_a_lease(
    queue: Queue,
) -> None:
    """One that was dead before is found an hour later, as when the clock had gone on."""
    a, b, c = [await queue.node(name, lease=LEASE, grace=0.0) for name in ("a", "b", "c")]
    for cid, node in (("c1", a), ("c2", c)):
        await queue.push(send(cid))
        (claimed,) = await take_shared(node)
        await take_on(node, claimed)
    await jump(queue, -HOUR)
    await a.beat({})  # and dies then

    await a_lease(queue, b)
    assert await b.reap() > 0
    assert ids([one.entry for one in await b.claim(5)]) == ["c1"]

    await jump(queue, HOUR)
    await b.beat({})
    assert await b.reap() == 0  # nobody beat in that hour
    await a_lease(queue, b)
    assert await b.reap() > 0
    assert ids([one.entry for one in await b.claim(5)]) == ["c2"]
