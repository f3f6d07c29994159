"""Work that requires labels: on Redis and in memory, it reaches a node that has them, in order,
and keeps nobody waiting behind it."""

from __future__ import annotations

from typing import Any

import pytest

from support.queues import Queue, ids, send, take_directed, take_shared
from turnstone.mq.work import Work


async def taken(work: Work, free: int = 100) -> list[str]:
    return [one.correlation_id for one in await take_shared(work, free)]


async def test_a_node_takes_only_what_it_satisfies_and_the_rest_is_not_in_its_way(
    queue: Queue,
) -> None:
    plain = await queue.node("plain")
    await queue.push(send("c1", requires=["gpu=a100"]))
    await queue.push(send("c2"))

    assert await taken(plain) == ["c2"]
    assert ids(await queue.entries(queue.keys.wait("gpu=a100"))) == ["c1"]
    big = await queue.node("big", labels=("gpu=a100", "zone=eu"))
    assert await taken(big) == ["c1"]


@pytest.mark.parametrize(
    ("wanted", "labels", "fits"),
    [
        (["gpu"], ("gpu=a100",), True),
        (["gpu"], ("gpu",), True),
        (["gpu=a100"], ("gpu=a100", "arm"), True),
        (["gpu=a100"], ("gpu=h100",), False),
        (["gpu=a100"], ("gpu",), False),
        (["gpu", "arm"], ("gpu=a100",), False),
        (["gpu", "arm"], ("arm", "gpu=a100"), True),
        (["gpu"], (), False),
    ],
)
async def test_a_label_asked_for_by_its_key_is_content_with_any_value(
    queue: Queue, wanted: list[str], labels: tuple[str, ...], fits: bool
) -> None:
    node = await queue.node("n", labels=labels)
    await queue.push(send("c1", requires=wanted))

    assert await taken(node) == (["c1"] if fits else [])


async def test_what_waits_is_taken_in_order_and_before_what_is_new(queue: Queue) -> None:
    plain = await queue.node("plain")
    for n in range(5):
        await queue.push(send(f"c{n}", requires=["gpu"]))
    assert await taken(plain) == []
    await queue.push(send("new"))

    big = await queue.node("big", labels=("gpu",))
    assert await taken(big, 3) == ["c0", "c1", "c2"]
    assert await taken(big, 3) == ["c3", "c4", "new"]


async def test_a_node_with_the_labels_is_roused_and_another_is_not(queue: Queue) -> None:
    plain = await queue.node("plain")
    big, small = (
        await queue.node("big", labels=("gpu",)),
        await queue.node("small", labels=("arm",)),
    )
    await queue.push(send("c1", requires=["gpu"]))
    await taken(plain)

    assert await big.roused(5)
    assert not await small.roused(0.01)
    assert await taken(big) == ["c1"]


async def test_messages_of_a_workstream_wait_behind_its_first_and_keep_their_order(
    queue: Queue,
) -> None:
    plain = await queue.node("plain")
    await queue.push(send("c1", ws_id="w1", requires=["gpu"]))
    await queue.push(send("c2", ws_id="w1"))
    await queue.push(send("c3", ws_id="w2"))
    assert await taken(plain) == []
    await queue.push(send("c4", ws_id="w1"))
    assert await taken(plain) == []
    assert [one.correlation_id for one in await take_directed(plain)] == ["c3"]

    big = await queue.node("big", labels=("gpu",))
    assert await taken(big) == []
    assert await big.owner("w1") == "big"
    assert [one.correlation_id for one in await take_directed(big)] == ["c1", "c2", "c4"]


async def test_an_open_workstream_does_not_ask_again(queue: Queue) -> None:
    plain = await queue.node("plain")
    await plain.own("w1", 1)
    await queue.push(send("c1", ws_id="w1", requires=["gpu"]))

    assert await taken(plain) == []
    assert [one.correlation_id for one in await take_directed(plain)] == ["c1"]


async def test_a_sender_is_told_when_no_node_has_had_the_labels_for_a_while(queue: Queue) -> None:
    plain = await queue.node("plain", unknown_after=0.2)
    ear = await queue.listen("turnstone:events:global")
    await queue.push(send("c1", requires=["gpu=a100", "arm"]))
    await taken(plain)
    await queue.push(send("c2"))
    assert await plain.answer_waiting() == 0

    await queue.later(0.3)
    assert await plain.answer_waiting() == 1
    assert await plain.answer_waiting() == 0

    told = [await ear.next(), await ear.next()]
    assert [event["type"] for event in told] == ["error", "turn_complete"]
    assert {event["correlation_id"] for event in told} == {"c1"}
    assert "gpu=a100,arm" in told[0]["message"]
    assert [letter["correlation_id"] for letter in await queue.dead()] == ["c1"]
    assert await taken(plain) == ["c2"]


async def test_what_waits_for_a_node_that_lives_is_not_given_up(queue: Queue) -> None:
    plain = await queue.node("plain", unknown_after=0.2)
    big = await queue.node("big", labels=("gpu",))
    await queue.push(send("c1", requires=["gpu"]))
    await taken(plain)
    await queue.later(0.3)
    assert await plain.answer_waiting() == 0

    await queue.end_lease(big)
    await queue.later(0.1)
    assert await plain.answer_waiting() == 0  # since it was last there
    await queue.later(0.3)
    assert await plain.answer_waiting() == 1


async def test_what_followed_a_message_that_was_given_up_is_looked_at_anew(queue: Queue) -> None:
    plain = await queue.node("plain", unknown_after=0.0)
    await queue.push(send("c1", ws_id="w1", requires=["gpu"]))
    await queue.push(send("c2", ws_id="w1"))
    await taken(plain)

    assert await plain.answer_waiting() == 2
    assert [letter["correlation_id"] for letter in await queue.dead()] == ["c1"]
    assert await taken(plain) == []
    assert [one.correlation_id for one in await take_directed(plain)] == ["c2"]


async def test_a_node_without_a_lease_tells_nobody(queue: Queue) -> None:
    plain = await queue.node("plain", unknown_after=0.0)
    await queue.push(send("c1", requires=["gpu"]))
    await taken(plain)
    await queue.end_lease(plain)

    assert await plain.answer_waiting() == 0
    assert await queue.dead() == []


@pytest.mark.parametrize(
    "requires", ["gpu", {"1": "gpu"}, [None], ["a b"], ["gpu="], ["x" * 128], ["g"] * 17, [["g"]]]
)
async def test_labels_that_are_none_are_a_problem_of_the_message(
    queue: Queue, requires: Any
) -> None:
    plain = await queue.node("plain")
    await queue.push(send("c1", requires=requires))

    (claimed,) = await take_shared(plain)
    assert "requires" in claimed.problem
