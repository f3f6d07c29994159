"""The contract of the steps by which one node takes over what another has left, and of those that
keep one message from stopping all others; on Redis and in memory."""

from __future__ import annotations

import json

import pytest

from support.queues import (
    LONG,
    Queue,
    ids,
    plain,
    send,
    take_directed,
    take_on,
    take_shared,
)
from turnstone.mq.work import Work


async def gone(queue: Queue, work: Work) -> None:
    """As its node is whose process was killed, once its lease is over."""
    await work.beat({"boot": work.boot, "store": "s1"})
    await queue.end_lease(work)


async def owned(queue: Queue, owner: Work, *cids: str, ws_id: str = "w1") -> None:
    """Messages of a workstream, in the list of the node that owns it."""
    await owner.own(ws_id, 1)
    for cid in cids:
        await queue.push(send(cid, ws_id=ws_id), owner.node_id)


async def test_a_workstream_of_a_dead_node_is_taken_over_with_all_that_waits_in_its_order(
    queue: Queue,
) -> None:
    a, b = await queue.node("a"), await queue.node("b")
    await owned(queue, a, "c0", "c1", "c2", "c3")
    await queue.push(send("other"), "a")
    first, *_ = await take_directed(a)  # and so all are in the hand of a process that is gone
    epoch = await take_on(a, first)
    assert await a.fence("c0", epoch)
    await gone(queue, a)
    await queue.push(send("c4", ws_id="w1"), "a")

    _, [left] = await b.orphans()
    assert (left.node_id, left.store, left.sure) == ("a", "s1", False)
    assert left.accepted == (("c0", "w1"),)
    assert left.waiting == ("w1",)  # which is in its list, if what it had in hand is not yet
    taken = await b.take_over("w1", "a", 7)

    assert (taken.outcome, taken.epoch) == ("taken", 7)
    [mine] = taken.mine
    assert (mine.correlation_id, mine.epoch) == ("c0", epoch + 1)
    assert await b.take_over("w1", "a", 7) == taken  # where the answer was lost
    assert await b.owner("w1") == "b"
    assert await b.holder("c0") == "b"
    assert [one.correlation_id for one in await take_directed(b)] == ["c1", "c2", "c3", "c4"]
    assert ids(await queue.entries(queue.keys.directed_stage("a"))) == ["other"]
    assert (await b.orphans())[1] == []


async def test_a_zombie_has_no_effects_and_tells_nothing_of_what_was_taken_over(
    queue: Queue,
) -> None:
    a, b = await queue.node("a"), await queue.node("b")
    await owned(queue, a, "c0")
    epoch = await take_on(a, (await take_directed(a))[0])
    await gone(queue, a)
    await b.reap()
    [mine] = (await b.take_over("w1", "a", 2)).mine

    await a.beat({})

    assert not await a.fence("c0", epoch)
    assert await a.stand("c0", epoch, send("c0", ws_id="w1"), "directed") == "other"
    assert await a.emit("w1", "5-0", b"{}", [], 1) == -1
    assert not await a.done("c0", epoch, "w1", b"{}")
    assert await a.own("w1", 1) == 2
    assert await a.owner("w1") == "b"
    assert await b.fence("c0", mine.epoch)
    assert await b.done("c0", mine.epoch, "w1", b"{}")
    assert await b.unfinished() == []


async def test_nothing_is_taken_from_a_node_that_lives_nor_by_two(
    queue: Queue,
) -> None:
    a, b, c = [await queue.node(name) for name in "abc"]
    await owned(queue, a, "c0")
    assert (await b.take_over("w1", "a", 2)).outcome == "lives"
    assert (await b.take_over("w1", "c", 2)).outcome == "other"
    await take_directed(a)
    await gone(queue, a)
    assert (await b.take_over("w1", "a", 1)).outcome == "stale"
    assert (await b.take_over("w1", "a", 2)).outcome == "taken"
    assert (await c.take_over("w1", "a", 3)).outcome == "other"


async def test_a_message_that_made_its_workstream_comes_along_with_it(queue: Queue) -> None:
    a, b = await queue.node("a", grace=LONG), await queue.node("b", grace=LONG)
    await queue.push(send("c0"))
    epoch = await take_on(a, (await take_shared(a))[0])
    await a.own("w1", 1)
    await gone(queue, a)
    await b.reap()

    [left] = (await b.orphans())[1]
    assert left.accepted == (("c0", ""),)
    taken = await b.take_over("w1", "a", 2, ["c0"])

    assert [one.correlation_id for one in taken.mine] == ["c0"]
    assert await b.stand("c0", epoch + 1, send("c0"), "shared") == "ok"
    assert await b.fence("c0", epoch + 1)
    assert await a.unfinished() == []


async def test_a_node_of_another_make_that_beats_has_left_nothing(queue: Queue) -> None:
    a, b = await queue.node("a"), await queue.node("b")
    await owned(queue, a, "c0")
    await queue.end_lease(a)  # its heartbeat says nothing of ours, and is still there

    assert (await b.orphans())[1] == []
    await queue.forget_heartbeat("a")
    [left] = (await b.orphans())[1]
    assert (left.node_id, left.sure, left.waiting) == ("a", True, ("w1",))


async def test_the_end_of_anothers_lease_is_told_beforehand(queue: Queue) -> None:
    b = await queue.node("b")
    assert await b.orphans() == (None, [])
    await queue.node("a", lease=50.0)
    due, _ = await b.orphans()
    assert due is not None
    assert 40.0 < due <= 50.0


async def test_what_is_taken_over_without_a_record_may_have_had_effects(queue: Queue) -> None:
    a, b = await queue.node("a"), await queue.node("b")
    await owned(queue, a, "c1")
    (claimed,) = await take_directed(a)
    await take_on(a, claimed)
    await queue.forget_record("c1")
    await gone(queue, a)

    assert (await b.take_over("w1", "a", 2)).outcome == "taken"

    found = await queue.record("c1")
    assert (found["s"], found["n"], found["fx"]) == ("accepted", "b", True)


async def test_a_full_node_takes_what_needs_no_room_and_keeps_the_order_of_the_rest(
    queue: Queue,
) -> None:
    a, b = await queue.node("a"), await queue.node("b")
    await b.own("w1", 1)
    health = b'{"type": "health", "correlation_id": "h1"}'
    nodes = b'{"type": "list_nodes"}'
    close = b'{"type": "close_workstream", "correlation_id": "x1", "ws_id": "w1"}'
    for message in (send("new"), health, send("m1", ws_id="w1"), nodes, close):
        await queue.push(message)
    await queue.push(send("m2", ws_id="w2"))  # this one has no owner, and so needs room
    await queue.push(send("m3", ws_id="w1"))
    await a.pull_shared(0)

    taken = await a.glance()

    assert plain([one.correlation_id for one in taken]) == ["h1", "anon:1"]
    for one in taken:
        assert (await a.admit(one)).admission == "run"
    assert ids(await queue.entries(queue.keys.inbound)) == ["m2"]
    assert ids(await queue.entries(queue.keys.stage)) == ["new"]
    assert [one.correlation_id for one in await take_directed(b)] == ["m1", "x1", "m3"]
    assert await a.glance() == []


async def test_a_message_whose_name_something_else_uses_stops_nobody(queue: Queue) -> None:
    a = await queue.node("a")
    ear = await queue.listen(queue.keys.events_global)
    await queue.spoil("c1")
    for cid in ("c1", "c2"):
        await queue.push(send(cid))
        await queue.push(send(cid), "a")

    assert [one.correlation_id for one in await take_shared(a)] == ["c2"]
    by_name = {one.correlation_id: one for one in await take_directed(a)}
    assert (await a.admit(by_name["c1"])).admission == "dead"
    assert (await a.admit(by_name["c2"])).admission == "run"

    told = await ear.next()
    assert (told["type"], told["correlation_id"]) == ("error", "c1")
    assert queue.keys.message("c1") in told["message"]
    assert (await ear.next())["type"] == "turn_complete"
    assert {letter["correlation_id"] for letter in await queue.dead()} == {"c1"}
    assert ids([one.entry for one in await a.directed()]) == ["c2"]


async def test_a_try_whose_answer_was_lost_is_asked_about_again_and_counts_once(
    queue: Queue,
) -> None:
    a = await queue.node("a")
    await queue.push(send("c1"))
    [one] = await take_shared(a)

    first = await a.admit(one, bind=True, attempt="t1")
    assert await a.admit(one, bind=True, attempt="t1") == first
    assert (first.admission, first.tries, first.bound) == ("run", 1, False)

    later = await a.admit(one, bind=True, attempt="t2")
    assert (later.tries, later.bound) == (2, True)
    assert await a.admit(one, bind=True, attempt="t2") == later


@pytest.mark.parametrize("ended", [False, True])
async def test_another_text_under_a_known_id_is_refused_and_a_copy_is_not(
    queue: Queue, ended: bool
) -> None:
    a = await queue.node("a")
    ear = await queue.listen(queue.keys.events_global)
    await queue.push(send("c1", "one", timestamp=1.0))
    epoch = await take_on(a, (await take_shared(a))[0])
    if ended:
        assert await a.done("c1", epoch, "", b"{}", [b'{"type": "the ending"}'])
        assert (await ear.next())["type"] == "the ending"
    await queue.push(send("c1", "two"))
    # As a sender writes it that tries again, and a bridge that knows only what 0.2 knew.
    await queue.push(send("c1", "one", timestamp=2.0, auto_approve=False, name=""))

    other, copy = await take_shared(a)
    assert (await a.admit(other)).admission == "refused"
    told = await ear.next()
    assert (told["type"], told["correlation_id"]) == ("error", "c1")
    if ended:
        assert (await ear.next())["type"] == "turn_complete"
    assert (await a.admit(copy)).admission == ("done" if ended else "accepted")
    [letter] = await queue.dead()
    assert json.loads(letter["raw"])["message"] == "two"
    assert (await queue.record("c1"))["s"] == ("done" if ended else "accepted")


async def test_what_was_admitted_before_texts_were_compared_is_taken_for_a_copy(
    queue: Queue,
) -> None:
    a = await queue.node("a")
    await queue.push(send("c1", "two"))
    await a.stand("c1", 1, send("c1", "one"), "shared")  # a record that says nothing of its text
    [one] = await take_shared(a)
    assert (await a.admit(one)).admission == "accepted"
