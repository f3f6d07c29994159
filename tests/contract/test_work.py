"""The contract of the queue's steps, on Redis and in memory."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from support.queues import (
    LONG,
    PATIENCE,
    Queue,
    ids,
    plain,
    send,
    take_directed,
    take_on,
    take_shared,
    until,
)
from turnstone.mq.entry import envelope
from turnstone.mq.errors import LeaseOver
from turnstone.mq.work import MAX_TRIES, SLICE


@pytest.fixture(params=["redis", "memory", "cluster"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_shared_work_is_taken_in_order_and_ends_with_its_result(queue: Queue) -> None:
    a = await queue.node("a")
    for n in range(3):
        await queue.push(send(f"c{n}"))

    taken = await take_shared(a)

    assert [one.correlation_id for one in taken] == ["c0", "c1", "c2"]
    assert {one.lane for one in taken} == {"shared"}
    epoch = await take_on(a, taken[0])
    assert ids(await queue.entries(queue.keys.processing_shared(f"a|{a.boot}"))) == ["c1", "c2"]
    assert await a.result("c0") is None
    assert await a.done("c0", epoch, "ws", b'{"outcome": "done"}')
    assert await a.result("c0") == b'{"outcome": "done"}'
    assert await a.unfinished() == []


async def test_no_more_is_claimed_than_there_is_room_for(queue: Queue) -> None:
    a, b = await queue.node("a"), await queue.node("b")
    for n in range(5):
        await queue.push(send(f"c{n}"))

    assert ids([c.entry for c in await take_shared(a, free=2)]) == ["c0", "c1"]
    assert await a.claim(0) == []
    assert ids([c.entry for c in await b.claim(9)]) == ["c2", "c3", "c4"]


async def test_work_for_a_named_node_goes_to_that_node(queue: Queue) -> None:
    a, b = await queue.node("a"), await queue.node("b")
    await queue.push(send("c1", target_node="b"))
    await queue.push(send("c2", target_node="a"))

    assert await take_shared(a) == []

    assert ids([c.entry for c in await take_directed(b)]) == ["c1"]
    assert ids([c.entry for c in await take_directed(a)]) == ["c2"]
    assert {c.lane for c in await a.directed()} == {"directed"}


async def test_work_for_an_unknown_node_comes_to_who_can_tell_its_sender(queue: Queue) -> None:
    a = await queue.node("a")
    ear = await queue.listen(queue.keys.events_global)
    await queue.push(send("c1", target_node="nobody"))

    (claimed,) = await take_shared(a)
    assert claimed.target_node == "nobody"
    await a.bury(claimed, "There is no node nobody.")

    assert await queue.entries(queue.keys.inbound_of("nobody")) == []
    told = await ear.next()
    assert (told["type"], told["correlation_id"]) == ("error", "c1")
    assert told["message"] == "There is no node nobody."
    assert (await ear.next())["type"] == "turn_complete"
    assert json.loads(await a.result("c1") or b"")["outcome"] == "dead"


async def test_a_workstream_gets_one_owner_and_all_its_work_goes_there_in_order(
    queue: Queue,
) -> None:
    a, b = await queue.node("a"), await queue.node("b")
    for n in range(6):
        await queue.push(send(f"c{n}", ws_id="w1"))
    for _ in range(3):
        await a.pull_shared(0)
        await b.pull_shared(0)

    assert await b.claim(2) == []
    assert await a.claim(2) == []

    assert await a.owner("w1") == "b"
    assert [c.correlation_id for c in await take_directed(b)] == [f"c{n}" for n in range(6)]
    assert await take_directed(a) == []


async def test_two_nodes_that_claim_by_turns_keep_the_order_of_every_workstream(
    queue: Queue,
) -> None:
    nodes = [await queue.node(name) for name in "abc"]
    for n in range(120):
        await queue.push(send(f"{n}", ws_id=f"w{n % 12}"))
    for n in range(120):
        await nodes[n % 3].pull_shared(0)
        await nodes[n % 2].claim(1)

    seen: dict[str, list[int]] = {}
    for node in nodes:
        for claimed in await take_directed(node):
            seen.setdefault(claimed.ws_id, []).append(int(claimed.correlation_id))

    assert sum(map(len, seen.values())) == 120
    assert all(order == sorted(order) for order in seen.values())


async def test_the_owner_wins_over_a_target_that_says_otherwise(queue: Queue) -> None:
    a, b = await queue.node("a"), await queue.node("b")
    await b.own("w1", 1)
    await queue.push(send("c1", ws_id="w1", target_node="a"))

    await take_shared(a)

    assert ids([c.entry for c in await take_directed(b)]) == ["c1"]


async def test_a_directed_message_can_be_handed_to_the_node_that_owns_its_workstream(
    queue: Queue,
) -> None:
    a, b = await queue.node("a"), await queue.node("b")
    await b.own("w1", 1)
    await queue.push(send("c1", ws_id="w1"), "a")
    (claimed,) = await take_directed(a)

    assert await a.forward(claimed, await a.owner("w1"))

    assert not await a.forward(claimed, "b")
    assert await a.directed() == []
    assert ids([c.entry for c in await take_directed(b)]) == ["c1"]


async def test_questions_to_any_node_are_not_bound_to_a_workstream(queue: Queue) -> None:
    a = await queue.node("a")
    await queue.push(b'{"type": "approve", "correlation_id": "c1", "ws_id": "w1"}')
    await queue.push(b'{"type": "health", "correlation_id": "c2", "target_node": "zz"}')

    assert ids([c.entry for c in await take_shared(a)]) == ["c1", "c2"]
    assert await a.owner("w1") == ""


async def test_a_message_that_makes_a_workstream_is_not_bound_to_one_that_it_names(
    queue: Queue,
) -> None:
    a, b = await queue.node("a"), await queue.node("b")
    await b.own("w1", 1)
    for cid, ws_id, target in (("c1", "w1", ""), ("c2", "w2", ""), ("c3", "w3", "b")):
        sent = {"type": "create_workstream", "correlation_id": cid, "ws_id": ws_id}
        await queue.push(json.dumps(sent | {"target_node": target}).encode())

    assert ids([c.entry for c in await take_shared(a)]) == ["c1", "c2"]

    assert ids([c.entry for c in await take_directed(b)]) == ["c3"]
    assert [await a.owner(ws_id) for ws_id in ("w1", "w2", "w3")] == ["b", "", ""]


async def test_a_message_that_is_bound_to_another_node_makes_nobody_an_owner(
    queue: Queue,
) -> None:
    a, b = await queue.node("a"), await queue.node("b")
    await queue.push(send("c1", ws_id="w1"), "b")
    (claimed,) = await take_directed(b)
    assert (await b.admit(claimed, bind=True)).admission == "run"
    await queue.push(send("c1", ws_id="w1"))

    assert await take_shared(a) == []

    assert await a.owner("w1") == ""
    assert [c.correlation_id for c in await take_directed(b)] == ["c1", "c1"]


@pytest.mark.parametrize("node_id", ["", "a"])
async def test_a_message_without_an_id_gets_one_and_keeps_it(queue: Queue, node_id: str) -> None:
    a = await queue.node("a", boot="one")
    await queue.push(send(message="first"), node_id)
    await queue.push(send(None, message="second"), node_id)

    taken = await (take_directed if node_id else take_shared)(a)

    assert plain([c.correlation_id for c in taken]) == ["anon:1", "anon:2"]
    assert [json.loads(c.raw)["message"] for c in taken] == ["first", "second"]
    assert [c.problem for c in taken] == ["", ""]
    again = await queue.node("a", boot="two")
    assert await again.reap() == 2
    back = await (take_directed if node_id else take_shared)(again)
    assert [c.correlation_id for c in back] == [c.correlation_id for c in taken]


BROKEN = [
    b"",
    b"[1]",
    b"{",
    b'"text"',
    b"\xff\xfe{}",
    b'{"type": "send", "correlation_id": 5}',
    b'{"type": "send", "correlation_id": "c", "message": ["x"]}',
    b'{"type": "send", "correlation_id": "c", "ws_id": "../etc"}',
    b'{"type": "sing", "correlation_id": "c"}',
    b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    b'{"type": "send", "message": "' + b"x" * 1_100_000 + b'"}',
    b'{"type": "send", "correlation_id": "c", "message": "' + b"x" * 1_100_000 + b'"}',
]


def large(beginning: bytes) -> bytes:
    """A message of this beginning that is larger than what is taken."""
    return beginning + b'"message": "' + b"x" * 1_048_576 + b'"}'


@pytest.mark.parametrize("node_id", ["", "a"])
@pytest.mark.parametrize("raw", BROKEN, ids=range(len(BROKEN)))
async def test_what_cannot_be_read_goes_to_the_dead_letters_with_its_reason(
    queue: Queue, raw: bytes, node_id: str
) -> None:
    a = await queue.node("a")
    ear = await queue.listen(queue.keys.events_global)
    await queue.push(raw, node_id)

    (claimed,) = await (take_directed if node_id else take_shared)(a)
    assert claimed.problem
    await a.bury(claimed, claimed.problem)

    (letter,) = await queue.dead()
    assert letter["reason"] == claimed.problem
    assert letter["raw"] == raw[:65_536]
    assert await a.sweep() == []
    assert (await ear.next())["correlation_id"] == claimed.correlation_id


async def test_a_message_that_is_too_large_is_told_to_its_sender_where_that_listens(
    queue: Queue,
) -> None:
    a, b = await queue.node("a"), await queue.node("b")
    await b.own("w1", 1)
    ear = await queue.listen(queue.keys.events("w1"))
    raw = large(
        b'{"type": "send", "correlation_id": "c1", "timestamp": 1.5e9, "flag": true,'
        b' "ws_id": "w1", '
    )
    await queue.push(raw)

    assert await take_shared(a) == []
    (claimed,) = await take_directed(b)
    assert (claimed.correlation_id, claimed.ws_id, claimed.raw) == ("c1", "w1", raw)
    await b.bury(claimed, claimed.problem)

    told = [await ear.next() for _ in range(2)]
    assert [(one["type"], one["correlation_id"]) for one in told] == [
        ("error", "c1"),
        ("turn_complete", "c1"),
    ]
    assert "at most 1048576" in told[0]["message"]


BEGINNINGS = [
    (b'{"correlation_id": "c1", ', "c1"),
    (b' \t\r\n{"a":null,\n"correlation_id" : "c1" ,', "c1"),
    (b'{"correlation_id": "c1", "correlation_id": "c2", ', "c2"),
    (b'{"a": {}, "correlation_id": "c1", ', ""),
    (b'{"a": {"correlation_id": "c1", "b": 1}, ', ""),
    (b'{"a": ["correlation_id", "c1"], ', ""),
    (b'{"a": "\\", \\"correlation_id\\": \\"c1\\", ", ', ""),
    (b'{"correlation_id": "c\\u0031", ', ""),
    (b'{"correlation_id": "\xc3\xa9", ', ""),
    (b'{"correlation_id": 5, ', ""),
    (b'{"correlation_id": "' + b"c" * 257 + b'", ', ""),
    (b'{"a": "' + b"x" * 4_096 + b'", "correlation_id": "c1", ', ""),
    (b'["correlation_id", "c1", ', ""),
]


@pytest.mark.parametrize(("beginning", "cid"), BEGINNINGS, ids=range(len(BEGINNINGS)))
async def test_only_what_surely_is_the_id_of_a_message_that_is_too_large_is_taken_for_it(
    queue: Queue, beginning: bytes, cid: str
) -> None:
    a = await queue.node("a", unknown_after=0.0)
    await queue.push(large(beginning))
    await queue.push(large(beginning), "ghost")

    (claimed,) = await take_shared(a)
    assert await a.reap() == 1

    assert claimed.correlation_id == cid
    assert claimed.problem
    (letter,) = await queue.dead()
    assert letter["correlation_id"] == cid


async def test_a_follow_up_finds_the_queue_as_the_dead_letter_left_it(queue: Queue) -> None:
    a = await queue.node("a")
    await queue.push(send("c1"))
    await queue.push(send("c1"))
    first, second = await take_shared(a)
    await a.bury(first, "No.")
    ear = await queue.listen(queue.keys.events_global)

    assert (await a.admit(second)).admission == "dead"

    assert (await ear.next())["message"] == "No."
    assert len(await queue.dead()) == 1
    assert await a.sweep() == []


async def test_five_copies_of_a_message_run_once(queue: Queue) -> None:
    nodes = [await queue.node(name) for name in "abc"]
    for _ in range(5):
        await queue.push(send("c1"))
    held = []
    for n in range(5):
        await nodes[n % 3].pull_shared(0)
        held += [(nodes[n % 3], claimed) for claimed in await nodes[n % 3].claim(1)]

    async def one(node: Any, claimed: Any) -> str:
        while True:
            admitted = await node.admit(claimed)
            if admitted.admission == "run":
                if await node.accept(claimed, admitted.epoch):
                    return "run"
            elif admitted.admission != "held":
                return str(admitted.admission)
            await asyncio.sleep(0)

    async with asyncio.timeout(PATIENCE):
        ends = await asyncio.gather(*(one(node, claimed) for node, claimed in held))

    assert sorted(ends) == ["accepted"] * 4 + ["run"]
    assert [await node.sweep() for node in nodes] == [[], [], []]
    assert await queue.dead() == []
    assert sum([await node.fence("c1", 1) for node in nodes]) == 1


async def test_many_copies_that_arrive_while_one_is_taken_on_do_not_kill_it(queue: Queue) -> None:
    a, b = await queue.node("a"), await queue.node("b")
    await queue.push(send("c1"))
    (mine,) = await take_shared(a)
    epoch = (await a.admit(mine)).epoch
    for _ in range(2 * MAX_TRIES):
        await queue.push(send("c1"))
    copies = await take_shared(b)

    assert {(await b.admit(copy)).admission for copy in copies} == {"held"}

    assert await a.accept(mine, epoch)
    assert {(await b.admit(copy)).admission for copy in copies} == {"accepted"}
    assert await b.sweep() == []


async def test_a_copy_after_the_end_gets_the_stored_ending_once_more(queue: Queue) -> None:
    a, b = await queue.node("a"), await queue.node("b")
    ear = await queue.listen(queue.keys.events("w9"))
    await queue.push(send("c1"))
    (claimed,) = await take_shared(a)
    epoch = await take_on(a, claimed)
    final = [b'{"type": "turn_complete", "correlation_id": "c1", "n": "\\u00e9"}']

    assert await a.done("c1", epoch, "w9", b"{}", final)
    assert await a.done("c1", epoch, "w9", b"{}", final)
    await queue.push(send("c1"))
    (copy,) = await take_shared(b)
    assert (await b.admit(copy)).admission == "done"
    assert (await b.admit(copy)).admission == "done"
    await b.publish("w9", b'{"type": "last"}')

    told = [await ear.next() for _ in range(3)]
    assert [message["type"] for message in told] == ["turn_complete", "turn_complete", "last"]
    assert told[0] == told[1] == json.loads(final[0])
    assert await b.sweep() == []


async def test_when_a_lease_ends_its_work_returns_in_order_before_newer_work(queue: Queue) -> None:
    a, b = await queue.node("a"), await queue.node("b")
    for n in range(4):
        await queue.push(send(f"c{n}"))
    assert len(await take_shared(a)) == 4
    for n in range(3):
        await queue.push(send(f"d{n}"), "a")
    assert len(await take_directed(a)) == 3
    await queue.push(send("c4"))
    await queue.push(send("d3"), "a")
    assert await b.reap() == 0

    await queue.end_lease(a)
    assert await b.reap() == 7
    assert await b.reap() == 0

    assert [c.correlation_id for c in await take_shared(b)] == [f"c{n}" for n in range(5)]
    again = await queue.node("a")
    assert [c.correlation_id for c in await take_directed(again)] == [f"d{n}" for n in range(4)]


async def test_a_lease_ends_by_itself_and_a_beat_begins_a_new_one(queue: Queue) -> None:
    a, b = await queue.node("a", lease=2.0), await queue.node("b")
    await queue.push(send("c1"))
    (claimed,) = await take_shared(a)

    await queue.later(2.0)

    with pytest.raises(LeaseOver):
        await a.claim(1)
    assert (await a.admit(claimed)).admission == "lapsed"
    assert await b.reap() == 1
    assert not await a.beat({})
    assert (await a.admit(claimed)).admission == "fenced"
    assert await a.sweep() == []
    assert ids([c.entry for c in await b.claim(1)]) == ["c1"]
    assert await (await queue.node("c")).beat({})


async def test_a_restarted_process_takes_back_what_its_predecessor_held_at_once(
    queue: Queue,
) -> None:
    first = await queue.node("a", boot="one")
    await queue.push(send("c1"))
    await take_shared(first)

    second = await queue.node("a", boot="two")
    while await second.reap():
        pass

    assert ids([c.entry for c in await take_shared(second)]) == ["c1"]
    assert await first.sweep() == []


async def test_a_message_that_kills_its_process_again_and_again_ends_dead(queue: Queue) -> None:
    watcher = await queue.node("w")
    ear = await queue.listen(queue.keys.events_global)
    await queue.push(send("poison"))
    await queue.push(send("good"))
    for n in range(MAX_TRIES):
        victim = await queue.node("v", boot=f"{n}")
        first = (await take_shared(victim))[0]
        admitted = await victim.admit(first)
        assert (admitted.admission, admitted.tries) == ("run", n + 1)
        await queue.end_lease(victim)
        await watcher.reap()

    poison, good = await take_shared(watcher)
    assert (await watcher.admit(poison)).admission == "dead"

    (letter,) = await queue.dead()
    assert (letter["correlation_id"], letter["tries"]) == ("poison", MAX_TRIES + 1)
    assert (await ear.next())["correlation_id"] == "poison"
    assert await take_on(watcher, good) == 1


async def test_the_fence_lets_one_node_through_ever(queue: Queue) -> None:
    a = await queue.node("a", grace=0.0)
    b = await queue.node("b", grace=0.0)
    await queue.push(send("c1"))
    (claimed,) = await take_shared(a)
    admitted = await a.admit(claimed)
    assert not await a.fence("c1", admitted.epoch)  # not accepted yet
    assert await a.accept(claimed, admitted.epoch)

    await queue.end_lease(a)
    assert await b.reap() == 1
    (again,) = await b.claim(1)
    epoch = await take_on(b, again)

    assert epoch > admitted.epoch
    assert not await a.beat({})
    assert not await a.fence("c1", admitted.epoch)
    assert not await a.fence("c1", epoch)
    assert await a.stand("c1", admitted.epoch, claimed.raw, "shared") == "other"
    assert not await a.done("c1", admitted.epoch, "w", b"{}")
    assert await b.fence("c1", epoch)
    assert await b.fence("c1", epoch)
    assert await b.done("c1", epoch, "w", b"{}")
    assert not await b.fence("c1", epoch)


@pytest.mark.parametrize("step", ["fence", "done"])
async def test_only_the_node_that_accepted_may_go_on_and_only_under_its_epoch(
    queue: Queue, step: str
) -> None:
    a, b = await queue.node("a"), await queue.node("b")
    await queue.push(send("c1"))
    (claimed,) = await take_shared(a)
    epoch = await take_on(a, claimed)
    ear = await queue.listen(queue.keys.events("w"))

    async def ask(node: Any, under: int) -> bool:
        if step == "fence":
            return bool(await node.fence("c1", under))
        return bool(await node.done("c1", under, "w", b"{}", [b'{"type": "turn_complete"}']))

    assert not await ask(b, epoch)
    assert not await ask(a, epoch + 1)
    assert not await ask(a, epoch - 1)
    before = await queue.record("c1")
    assert (before["s"], before["n"], before["fx"]) == ("accepted", "a", False)
    assert await a.result("c1") is None
    assert [left.correlation_id for left in await a.unfinished()] == ["c1"]
    await a.publish("w", b'{"type": "nothing yet"}')
    assert await ask(a, epoch)
    assert (await ear.next())["type"] == "nothing yet"


async def test_work_whose_effects_have_begun_waits_for_its_node_and_then_is_told_as_unknown(
    queue: Queue,
) -> None:
    a = await queue.node("a")
    patient = await queue.node("b", grace=0.0, lost_after=LONG)
    ear = await queue.listen(queue.keys.events_global)
    await queue.push(send("c1"))
    (claimed,) = await take_shared(a)
    epoch = await take_on(a, claimed)
    assert await a.fence("c1", epoch)
    await queue.end_lease(a)

    assert await patient.reap() == 0
    assert (await queue.record("c1"))["s"] == "accepted"
    at_once = await queue.node("c", grace=0.0, lost_after=0.0)
    assert await at_once.reap() == 1

    assert "outcome is unknown" in (await ear.next())["message"]
    assert (await queue.record("c1"))["s"] == "dead"
    back = await queue.node("a")
    assert await back.stand("c1", epoch, claimed.raw, "shared") == "dead"


async def test_accepted_work_of_a_lost_node_is_given_to_others_only_after_the_grace(
    queue: Queue,
) -> None:
    a = await queue.node("a")
    patient = await queue.node("b", grace=LONG)
    await queue.push(send("generic"))
    await queue.push(send("bound", ws_id="w1"))
    await queue.push(send("direct"), "a")
    for claimed in [*await take_shared(a), *await take_directed(a)]:
        await take_on(a, claimed)
    await queue.end_lease(a)

    assert await patient.reap() == 0
    eager = await queue.node("c", grace=0.0)
    assert await eager.reap() == 1

    assert [c.correlation_id for c in await eager.claim(9)] == ["generic"]
    back = await queue.node("a")
    assert sorted(u.correlation_id for u in await back.unfinished()) == ["bound", "direct"]


async def test_a_bound_message_returns_to_its_node_alone(queue: Queue) -> None:
    a, b = await queue.node("a", boot="one"), await queue.node("b")
    await queue.push(send("c1"))
    (claimed,) = await take_shared(a)
    assert (await a.admit(claimed, bind=True)).admission == "run"
    await queue.push(send("c1"), "b")
    (copy,) = await take_directed(b)
    assert (await b.admit(copy)).admission == "elsewhere"
    await queue.end_lease(a)
    assert await b.reap() == 1

    assert await take_shared(b) == []

    again = await queue.node("a", boot="two")
    back = await take_directed(again)
    assert [c.correlation_id for c in back] == ["c1", "c1"]
    assert (await again.admit(back[0], bind=True)).admission == "run"


async def test_standing_says_what_became_of_a_message_in_every_state(queue: Queue) -> None:
    a = await queue.node("a", boot="one", grace=0.0)
    b = await queue.node("b", grace=0.0)
    raw = send("c1")
    assert await a.stand("c1", 4, raw, "directed") == "ok"  # lost by Redis: made again
    assert (await queue.record("c1")) == {"s": "accepted", "n": "a", "e": 4, "fx": True, "tries": 0}
    (kept,) = await a.unfinished()
    assert (kept.correlation_id, kept.epoch, kept.lane, kept.raw) == ("c1", 4, "directed", raw)
    assert await a.stand("c1", 3, raw, "directed") == "retry"
    assert await b.stand("c1", 4, raw, "directed") == "other"
    assert await a.done("c1", 4, "w", b"{}")
    assert await a.stand("c1", 4, raw, "directed") == "done"
    assert await b.stand("c1", 9, raw, "directed") == "done"

    await queue.push(send("c2"))
    (claimed,) = await take_shared(a)
    epoch = (await a.admit(claimed)).epoch
    assert await a.stand("c2", epoch, claimed.raw, "shared") == "ok"  # completes the accept
    assert (await queue.record("c2"))["s"] == "accepted"
    assert (await a.admit(claimed)).admission == "accepted"
    await queue.end_lease(a)
    assert await b.reap() == 1
    assert (await queue.record("c2"))["s"] == "queued"
    assert await a.stand("c2", epoch, claimed.raw, "shared") == "other"
    (again,) = await b.claim(1)
    await b.bury(again, "No.")
    assert await a.stand("c2", epoch, claimed.raw, "shared") == "dead"


async def test_a_record_that_redis_lost_is_made_again_by_the_steps_after_the_journal(
    queue: Queue,
) -> None:
    a = await queue.node("a")
    await queue.push(send("c1"))
    (claimed,) = await take_shared(a)
    epoch = (await a.admit(claimed)).epoch

    await queue.lose_record("c1")
    assert await a.accept(claimed, epoch)
    assert await a.fence("c1", epoch)
    await queue.lose_record("c1")
    assert not await a.fence("c1", epoch)
    assert await a.stand("c1", epoch, claimed.raw, "shared") == "ok"
    assert await a.fence("c1", epoch)
    await queue.lose_record("c1")
    assert await a.done("c1", epoch, "w", b"{}")

    assert await a.result("c1") == b"{}"


async def test_every_step_may_be_asked_again_after_a_lost_reply(queue: Queue) -> None:
    a = await queue.node("a")
    await queue.push(send("c1"))
    (claimed,) = await take_shared(a)
    await a.admit(claimed)
    epoch = (await a.admit(claimed)).epoch

    assert await a.accept(claimed, epoch)
    assert await a.accept(claimed, epoch)
    assert await a.fence("c1", epoch)
    assert await a.fence("c1", epoch)
    assert await a.done("c1", epoch, "w", b"{}")
    assert await a.done("c1", epoch, "w", b"{}")
    assert not await a.accept(claimed, epoch)
    assert await a.sweep() == []


async def test_what_nobody_remembers_is_found_by_a_sweep(queue: Queue) -> None:
    a = await queue.node("a")
    await queue.push(send("s1"))
    await queue.push(send("d1"), "a")
    await take_shared(a)
    await take_directed(a)

    swept = await a.sweep()

    assert [(c.lane, c.correlation_id) for c in swept] == [("directed", "d1"), ("shared", "s1")]
    for claimed in swept:
        await take_on(a, claimed)
    assert await a.sweep() == []


async def test_nine_thousand_stranded_entries_return_in_slices(queue: Queue) -> None:
    a, b = await queue.node("a"), await queue.node("b")
    stranded = queue.keys.processing_directed(f"a|{a.boot}")
    for n in range(9_000):
        await queue.push(send(f"{n}"), "a")
        await a.pull_directed(0)
    assert len(await queue.entries(stranded)) == 9_000
    await queue.end_lease(a)

    slices = []
    while moved := await b.reap():
        slices.append(moved)

    assert sum(slices) == 9_000
    assert max(slices) <= SLICE
    back = await queue.entries(queue.keys.directed_stage("a"))
    assert ids(back) == [str(n) for n in range(9_000)]


async def test_one_waiter_wakes_for_one_message(queue: Queue) -> None:
    nodes = [await queue.node(f"n{n}") for n in range(10)]

    async def all_wait() -> bool:
        return await queue.waiting() == 10

    async with asyncio.timeout(PATIENCE):
        pulls = [asyncio.create_task(node.pull_shared(PATIENCE)) for node in nodes]
        await until(all_wait)
        await queue.push(send("c1"))
        done, waiting = await asyncio.wait(pulls, return_when=asyncio.FIRST_COMPLETED)
        assert [pull.result() for pull in done] == [True]
        assert len(waiting) == 9
        assert ids(await queue.entries(queue.keys.stage)) == ["c1"]
        for n in range(9):
            await queue.push(send(f"d{n}"))
        assert await asyncio.gather(*waiting) == [True] * 9


async def test_a_pull_ends_when_nothing_comes(queue: Queue) -> None:
    a = await queue.node("a")
    assert not await a.pull_shared(0.02)
    assert not await a.pull_directed(0.02)
    assert not await a.pull_directed(0)


async def test_a_pull_that_is_cancelled_loses_nothing(queue: Queue) -> None:
    a = await queue.node("a")
    for n in range(50):
        pull = asyncio.create_task(a.pull_directed(PATIENCE))
        await asyncio.sleep(0)
        await queue.push(send(f"c{n}"), "a")
        for _ in range(n % 5):
            await asyncio.sleep(0)
        pull.cancel()
        await asyncio.wait({pull})

    async def all_there() -> bool:
        await take_directed(a)
        return len(await a.directed()) == 50

    await until(all_there)
    assert sorted(int(c.correlation_id[1:]) for c in await a.directed()) == list(range(50))


async def test_the_epoch_of_a_workstream_is_never_lowered(queue: Queue) -> None:
    a, b = await queue.node("a"), await queue.node("b")
    assert await a.own("w1", 7) == 7
    assert await b.own("w1", 5) == 7
    assert await b.owner("w1") == "a"
    assert await b.own("w1", 8) == 8
    assert await a.owner("w1") == "b"
    await a.disown("w1")
    assert await a.owner("w1") == "b"
    await b.disown("w1")
    assert await a.owner("w1") == ""
    await queue.push(send("c1", ws_id="w1"))
    await take_shared(a)
    assert await a.own("w1", 1) == 9  # claiming it for the message raised the epoch


async def test_events_are_kept_and_heard_once_and_a_writer_of_old_is_refused(
    queue: Queue,
) -> None:
    a, b = await queue.node("a"), await queue.node("b")
    ear = await queue.listen(queue.keys.events("w1"))
    await a.own("w1", 1)
    assert await a.listeners("w1") == 1
    assert await a.listeners("w2") == 0

    assert await a.emit("w1", "1-0", b"one", [b'{"n": 1}', b'{"n": 2}'], 1) == 1
    assert await a.emit("w1", "1-0", b"one", [b'{"n": 1}'], 1) == 0
    assert await a.emit("w1", "1-3", b"two", [], 1) == 0
    await b.own("w1", 2)
    assert await a.emit("w1", "2-0", b"late", [b'{"n": 0}'], 1) == -1
    assert await b.emit("w1", "2-0", b"three", [b'{"n": 3}'], 2) == 1

    assert [(await ear.next())["n"] for _ in range(3)] == [1, 2, 3]
    assert await b.events("w1") == [("1-0", b"one"), ("1-3", b"two"), ("2-0", b"three")]
    assert await b.events("w1", "1-0", 1) == [("1-3", b"two")]
    assert await b.last_event("w1") == "2-0"
    assert (await b.events("w2"), await b.last_event("w2")) == ([], "")


async def test_an_answer_stays_until_exactly_it_is_dropped(queue: Queue) -> None:
    a, b = await queue.node("a"), await queue.node("b")
    assert await a.responses("r1") is None
    await b.respond("r1", b"yes")
    await b.respond("r1", b"no")
    assert await a.responses("r1") == b"yes"
    await a.drop_response("r1", b"no")
    assert await a.responses("r1") == b"yes"
    await a.drop_response("r1", b"yes")
    assert await a.responses("r1") is None


async def test_every_node_that_beats_is_listed_with_what_it_says_of_itself(queue: Queue) -> None:
    a = await queue.node("a")
    await queue.node("b")
    found = sorted(await a.nodes(), key=lambda node: str(node["node_id"]))
    assert found == [
        {"server_url": "http://a", "node_id": "a"},
        {"server_url": "http://b", "node_id": "b"},
    ]


async def test_a_process_that_leaves_gives_back_at_once_what_it_held(queue: Queue) -> None:
    a, b = await queue.node("a"), await queue.node("b")
    await queue.push(send("c1"))
    await take_shared(a)
    await a.aclose()
    assert await b.reap() == 1
    assert ids([c.entry for c in await b.claim(1)]) == ["c1"]


async def test_an_envelope_is_never_put_into_a_list_that_others_read(queue: Queue) -> None:
    a, b = await queue.node("a"), await queue.node("b")
    await b.own("w1", 1)
    await queue.push(send(ws_id="w1"), "a")
    (claimed,) = await take_directed(a)
    assert claimed.entry == envelope(claimed.correlation_id, claimed.raw)

    assert await a.forward(claimed, "b")

    assert await queue.entries(queue.keys.inbound_of("b")) == []
    assert [c.entry for c in await take_directed(b)] == [claimed.entry]


async def test_work_for_a_node_that_never_was_is_answered_after_its_grace(queue: Queue) -> None:
    a = await queue.node("a", unknown_after=0.5)
    ear = await queue.listen(queue.keys.events_global)
    ws_ear = await queue.listen(queue.keys.events("w1"))
    await queue.push(send("c1"), "ghost")
    await queue.push(send("c2", ws_id="w1"), "ghost")
    await queue.push(b"{", "ghost")
    assert await a.reap() == 0
    assert len(await queue.entries(queue.keys.inbound_of("ghost"))) == 3

    await queue.later(0.5)
    assert await a.reap() == 3

    assert await queue.entries(queue.keys.inbound_of("ghost")) == []
    told = [await ear.next(), await ear.next()]
    assert [(one["type"], one["correlation_id"]) for one in told] == [
        ("error", "c1"),
        ("turn_complete", "c1"),
    ]
    assert told[0]["message"].startswith("Unknown node ghost:")
    assert [(await ws_ear.next())["type"] for _ in range(2)] == ["error", "turn_complete"]
    letters = await queue.dead()
    assert [(one["correlation_id"], one["node"]) for one in letters] == [
        ("c1", "ghost"),
        ("c2", "ghost"),
        ("", "ghost"),
    ]
    assert json.loads(await a.result("c2") or b"")["outcome"] == "dead"
    assert await a.reap() == 0


async def test_the_grace_of_a_node_that_never_was_begins_anew_with_its_list(queue: Queue) -> None:
    patient = await queue.node("a", unknown_after=LONG)
    eager = await queue.node("b", unknown_after=0.0)
    await queue.push(send("c1"), "ghost")
    assert await patient.reap() == 0
    assert await eager.reap() == 1
    half = await queue.node("c", unknown_after=0.5)
    await queue.later(0.5)
    await queue.push(send("c2"), "ghost")

    assert await half.reap() == 0

    await queue.later(0.5)
    assert await half.reap() == 1


async def test_work_for_a_node_that_is_away_waits_for_it(queue: Queue) -> None:
    a = await queue.node("a", unknown_after=0.0, grace=0.0, lost_after=0.0)
    away = await queue.node("away")
    await queue.end_lease(away)
    assert await a.reap() == 0
    await queue.forget_heartbeat("away")
    await queue.push(send("c1"), "away")

    assert [await a.reap() for _ in range(3)] == [0, 0, 0]

    back = await queue.node("away")
    assert [c.correlation_id for c in await take_directed(back)] == ["c1"]
    assert await queue.dead() == []


async def test_a_node_that_starts_within_the_grace_gets_its_work(queue: Queue) -> None:
    a = await queue.node("a", unknown_after=LONG)
    await queue.push(send("c1"), "new")
    assert await a.reap() == 0

    new = await queue.node("new")
    hasty = await queue.node("b", unknown_after=0.0)
    assert await hasty.reap() == 0

    assert [c.correlation_id for c in await take_directed(new)] == ["c1"]


async def test_a_copy_in_the_list_of_a_node_that_never_was_does_no_harm_to_its_twin(
    queue: Queue,
) -> None:
    a = await queue.node("a", unknown_after=0.0)
    await queue.push(send("c1"))
    (claimed,) = await take_shared(a)
    epoch = await take_on(a, claimed)
    await queue.push(send("c1"), "ghost")

    assert await a.reap() == 1

    assert (await queue.record("c1"))["s"] == "accepted"
    assert await a.done("c1", epoch, "w", b"{}", [b'{"type": "turn_complete"}'])
    ear = await queue.listen(queue.keys.events("w"))
    await queue.push(send("c1"), "ghost")
    assert await a.reap() == 1
    assert (await ear.next())["type"] == "turn_complete"
    assert await queue.dead() == []


async def test_many_messages_for_a_node_that_never_was_are_answered_in_slices(
    queue: Queue,
) -> None:
    a = await queue.node("a", unknown_after=0.0)
    for n in range(2 * SLICE + 1):
        await queue.push(send(f"{n}"), "ghost")

    assert [await a.reap() for _ in range(4)] == [SLICE, SLICE, 1, 0]

    assert [one["correlation_id"] for one in await queue.dead()] == [
        str(n) for n in range(2 * SLICE + 1)
    ]


async def test_the_name_of_a_node_that_never_was_is_told_without_what_no_name_has(
    queue: Queue,
) -> None:
    a = await queue.node("a", unknown_after=0.0)
    ear = await queue.listen(queue.keys.events_global)
    await queue.push(send("c1"), 'no"\n\u00e9')

    assert await a.reap() == 1

    assert (await ear.next())["message"].startswith("Unknown node no????:")
