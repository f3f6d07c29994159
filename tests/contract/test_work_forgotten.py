"""What nodes owned that were not seen for a month: it is forgotten, and no earlier owner is right."""

from __future__ import annotations

import pytest

from support.queues import Queue, send, take_directed, take_on, take_shared
from turnstone.mq.work import TakenOver, Work

DAY = 86_400.0
MONTH = 30 * DAY


@pytest.fixture(params=["redis", "memory", "cluster"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def gone(queue: Queue, node_id: str, *owns: str) -> Work:
    """A node that owns workstreams, and has neither lease nor heartbeat."""
    node = await queue.node(node_id)
    for ws_id in owns:
        await node.own(ws_id, 7)
    await queue.end_lease(node)
    await queue.forget_heartbeat(node_id)
    return node


async def look(queue: Queue, node: Work) -> None:
    """A whole look through all keys. The lease that is over is gone with the first."""
    for _ in range(2):
        await node.reap()
    await queue.later(0.001)


async def owners(node: Work, *ws_ids: str) -> list[str]:
    return [await node.owner(ws_id) for ws_id in ws_ids]


async def test_what_a_node_owned_is_forgotten_when_it_was_not_seen_for_a_month(
    queue: Queue,
) -> None:
    a = await queue.node("a", unknown_after=0.0)
    await a.own("w1", 1)
    await gone(queue, "old", "w2")
    await gone(queue, "away", "w3")
    await look(queue, a)
    await queue.not_seen_for("a", 2 * MONTH)  # it beats: that counts
    await queue.not_seen_for("old", MONTH + 1)
    await queue.not_seen_for("away", MONTH - DAY)

    await look(queue, a)

    assert await owners(a, "w1", "w2", "w3") == ["a", "", "away"]
    await queue.not_seen_for("old", MONTH + DAY + 1)
    await look(queue, a)
    assert await owners(a, "w1", "w2", "w3") == ["a", "", "away"]


async def test_an_owner_of_which_nothing_is_noted_is_known_from_then_on(queue: Queue) -> None:
    a = await queue.node("a", unknown_after=0.0)
    await gone(queue, "away", "w1")
    await look(queue, a)
    await queue.not_seen_for("away", 3 * MONTH)  # nobody looked meanwhile: the note is over

    await look(queue, a)

    assert await owners(a, "w1") == ["away"]
    await queue.not_seen_for("away", MONTH + 1)
    await look(queue, a)
    assert await owners(a, "w1") == [""]


async def test_an_earlier_owner_that_wakes_after_it_was_forgotten_tells_nothing_more(
    queue: Queue,
) -> None:
    a = await queue.node("a", unknown_after=0.0)
    zombie = await gone(queue, "old", "w1")
    await look(queue, a)
    await queue.not_seen_for("old", MONTH + 1)
    await look(queue, a)
    assert await zombie.emit("w1", "1-1", b"{}", [], 7) == 0  # nobody else has it

    await queue.push(send("c1", ws_id="w1"))
    await take_shared(a)
    (claimed,) = await take_directed(a)
    await take_on(a, claimed)

    assert await owners(a, "w1") == ["a"]
    assert await zombie.emit("w1", "2-1", b"{}", [], 7) == -1
    assert await a.own("w1", 8) == 8
    assert await zombie.own("w1", 7) == 8


async def test_an_owner_that_comes_back_owns_again_above_what_was_forgotten(queue: Queue) -> None:
    a = await queue.node("a", unknown_after=0.0)
    await gone(queue, "old", "w1", "w2")
    await look(queue, a)
    await queue.not_seen_for("old", MONTH + 1)
    await look(queue, a)

    back = await queue.node("old")
    assert await back.own("w1", 1) == 7
    assert await owners(a, "w1") == [""]
    assert await back.own("w1", 8) == 8
    assert await a.take_over("w2", "old", 7) == TakenOver("stale", 7)
    assert (await a.take_over("w2", "old", 8)).outcome == "lives"

    assert await owners(a, "w1", "w2") == ["old", ""]


async def test_what_a_node_has_in_flight_keeps_what_it_owns(queue: Queue) -> None:
    a = await queue.node("a", unknown_after=0.0)
    old = await queue.node("old")
    await old.own("w1", 1)
    await queue.push(send("c1", ws_id="w1"), "old")
    (claimed,) = await take_directed(old)
    await take_on(old, claimed)
    await queue.end_lease(old)
    await queue.forget_heartbeat("old")
    await look(queue, a)
    await queue.not_seen_for("old", MONTH + 1)

    await look(queue, a)

    assert await owners(a, "w1") == ["old"]
