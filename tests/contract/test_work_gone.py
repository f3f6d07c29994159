"""Work in the lists of nodes that were there and are gone, and work that any node may have then."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.queues import (
    LONG,
    Queue,
    plain,
    send,
    take_directed,
    take_on,
    take_shared,
)
from turnstone.mq.work import SLICE, Work


@pytest.fixture(params=["redis", "memory", "cluster"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def gone(queue: Queue, node_id: str) -> None:
    """A node that was there, and has neither lease nor heartbeat."""
    node = await queue.node(node_id)
    await silent(queue, node)


async def silent(queue: Queue, node: Work) -> None:
    await queue.end_lease(node)
    await queue.forget_heartbeat(node.node_id)


async def test_what_waits_for_a_node_that_is_gone_ends_as_lost_after_its_time(queue: Queue) -> None:
    a = await queue.node("a", lost_after=0.5)
    await gone(queue, "away")
    ear = await queue.listen(queue.keys.events_global)
    await queue.push(send("c1"), "away")
    await queue.push(send("c2", ws_id="w1"), "away")
    assert await a.answer_gone() == 0

    await queue.later(0.5)
    assert await a.answer_gone() == 2

    assert await queue.entries(queue.keys.inbound_of("away")) == []
    told = [await ear.next(), await ear.next()]
    assert [(one["type"], one["correlation_id"]) for one in told] == [
        ("error", "c1"),
        ("turn_complete", "c1"),
    ]
    assert told[0]["message"] == "The node away was lost before it took this message."
    letters = await queue.dead()
    assert [(one["correlation_id"], one["node"]) for one in letters] == [
        ("c1", "away"),
        ("c2", "away"),
    ]
    assert json.loads(await a.result("c2") or b"")["outcome"] == "dead"


async def test_a_node_that_is_back_or_still_beats_keeps_its_work(queue: Queue) -> None:
    a = await queue.node("a", lost_after=0.2)
    eager = await queue.node("b", lost_after=0.0)
    beating = await queue.node("c")
    await queue.end_lease(beating)  # its heartbeat is there
    await queue.push(send("c1"), "c")
    await gone(queue, "away")
    await queue.push(send("c2"), "away")
    assert await a.answer_gone() == 0
    await queue.later(0.2)
    back = await queue.node("away")

    assert [await eager.answer_gone(), await a.answer_gone()] == [0, 0]

    assert [c.correlation_id for c in await take_directed(back)] == ["c2"]
    assert [
        json.loads(one)["correlation_id"] for one in await queue.entries(queue.keys.inbound_of("c"))
    ] == ["c1"]
    assert await queue.dead() == []


async def test_the_time_of_a_node_begins_anew_when_it_was_back(queue: Queue) -> None:
    a = await queue.node("a", lost_after=0.3)
    await gone(queue, "away")
    await queue.push(send("c1"), "away")
    assert await a.answer_gone() == 0
    await queue.later(0.3)
    back = await queue.node("away")
    assert await a.answer_gone() == 0

    await silent(queue, back)

    assert await a.answer_gone() == 0
    await queue.later(0.3)
    assert await a.answer_gone() == 1


async def test_what_any_node_may_have_is_given_to_another_and_run_once(queue: Queue) -> None:
    a = await queue.node("a", lost_after=0.0)
    away = await queue.node("away")
    await queue.push(send("c1", target_node="away", if_unavailable="any"), "away")
    await queue.push(send("", target_node="away", if_unavailable="any"), "away")
    await queue.push(send("c2", target_node="away"), "away")
    (first, *_) = await take_directed(away)
    await silent(queue, away)
    await a.reap()

    assert await a.answer_gone() == 3

    taken = await a.claim(5)
    assert plain([c.correlation_id for c in taken]) == ["c1", "anon:1"]
    epoch = await take_on(a, taken[0])
    assert not await away_may(away, first.correlation_id)
    assert await a.done("c1", epoch, "w", b"{}")
    assert [one["correlation_id"] for one in await queue.dead()] == ["c2"]


async def away_may(node: Work, correlation_id: str) -> bool:
    """Whether the node that was lost may have effects once it wakes."""
    await node.beat({})
    return await node.fence(correlation_id, 1)


async def test_what_has_a_workstream_is_no_other_nodes_to_run(queue: Queue) -> None:
    a = await queue.node("a", lost_after=0.0)
    await gone(queue, "away")
    await queue.push(send("c1", ws_id="w1", if_unavailable="any"), "away")

    assert await a.answer_gone() == 1

    assert await a.claim(1) == []
    assert [one["correlation_id"] for one in await queue.dead()] == ["c1"]


async def test_what_may_have_had_effects_is_given_to_nobody(queue: Queue) -> None:
    a = await queue.node("a", lost_after=0.0)
    away = await queue.node("away")
    await queue.push(send("c1", if_unavailable="any"), "away")
    (claimed,) = await take_directed(away)
    assert (await away.admit(claimed, bind=True)).admission == "run"
    await silent(queue, away)
    await a.reap()

    assert await a.answer_gone() == 1

    assert await a.claim(1) == []
    (letter,) = await queue.dead()
    assert "the outcome is unknown" in letter["reason"]


@pytest.mark.parametrize("state", ["accepted", "done"])
async def test_a_copy_in_the_list_of_a_node_that_is_gone_does_no_harm(
    queue: Queue, state: str
) -> None:
    a = await queue.node("a", lost_after=0.0)
    await gone(queue, "away")
    await queue.push(send("c1"))
    (claimed,) = await take_shared(a)
    epoch = await take_on(a, claimed)
    if state == "done":
        assert await a.done("c1", epoch, "w", b"{}", [b'{"type": "turn_complete"}'])
    ear = await queue.listen(queue.keys.events("w"))
    await queue.push(send("c1", if_unavailable="any"), "away")

    assert await a.answer_gone() == 1

    if state == "done":
        assert (await ear.next())["type"] == "turn_complete"
    assert (await queue.record("c1"))["s"] == state
    assert await a.claim(1) == []
    assert await queue.dead() == []


async def test_many_messages_of_a_node_that_is_gone_are_answered_in_slices(queue: Queue) -> None:
    a = await queue.node("a", lost_after=0.0)
    await gone(queue, "away")
    for n in range(SLICE + 1):
        await queue.push(send(f"{n}"), "away")

    assert [await a.answer_gone() for _ in range(3)] == [SLICE, 1, 0]


async def test_who_has_no_lease_gives_nobody_up(queue: Queue) -> None:
    a = await queue.node("a", lost_after=0.0)
    await gone(queue, "away")
    await queue.push(send("c1"), "away")
    await queue.end_lease(a)

    assert await a.answer_gone() == 0


async def test_any_node_takes_from_the_shared_list_what_named_one_that_is_not_there(
    queue: Queue,
) -> None:
    a = await queue.node("a", labels=("gpu",))
    plain = await queue.node("plain")
    other: dict[str, Any] = {"target_node": "nobody", "if_unavailable": "any"}
    await queue.push(send("c1", **other, requires=["gpu"]))
    await queue.push(send("c2", **other))
    await queue.push(send("c3", target_node="a", if_unavailable="any"))

    taken = await take_shared(plain, 3)

    assert [c.correlation_id for c in taken] == ["c2"]
    assert [c.correlation_id for c in await a.claim(1)] == ["c1"]
    assert [c.correlation_id for c in await take_directed(a)] == ["c3"]


async def test_any_node_gets_what_was_sent_to_one_that_never_was(queue: Queue) -> None:
    a = await queue.node("a", unknown_after=0.0, lost_after=LONG)
    await queue.push(send("c1", target_node="ghost", if_unavailable="any"), "ghost")

    assert await a.reap() == 1

    assert [c.correlation_id for c in await a.claim(1)] == ["c1"]
    assert await queue.dead() == []
