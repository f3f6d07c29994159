"""Bytes that anybody may have pushed: each is a message or a dead letter with its reason, and its
sender is told under the id that it named; the two parsers of a step (Lua's and Python's) may
disagree, and nothing is lost, doubled or left lying by that."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.queues import Queue, RedisQueue, send, take_directed, take_shared
from support.redis import RedisServer
from turnstone.mq.entry import MESSAGE_MAX
from turnstone.mq.protocol import parse


def said(beginning: str, value: str) -> bytes:
    """A message that names itself, and has a value spelled like this."""
    return f'{{{beginning}, "type": "send", "message": "x", "more": {value}}}'.encode(
        errors="surrogatepass"
    )


MINE = '"correlation_id": "mine"'

#: What Python and Lua read differently (or not at all): the message, whether it is one, and
#: whether its sender can be told by name.
PAIRS: dict[str, tuple[bytes, bool, bool]] = {
    "depth 1,001": (said(MINE, "[" * 1_001 + "]" * 1_001), False, False),
    "depth 100,000": (said(MINE, "[" * 100_000 + "]" * 100_000), False, False),
    "depth 500": (said(MINE, "[" * 500 + "]" * 500), True, True),
    "a number beyond doubles": (said(MINE, "9007199254740993"), True, True),
    "5,000 digits": (said(MINE, "1" * 5_000), False, False),
    "a number like 1e999": (said(MINE, "1e999"), True, True),
    "hexadecimal": (said(MINE, "0x10"), False, False),
    "NaN": (said(MINE, "NaN"), False, True),
    "bad UTF-8": (said(MINE, '"?"').replace(b'"?"', b'"\xff"'), False, False),
    "a byte order mark": (b"\xef\xbb\xbf" + said(MINE, "1"), False, False),
    "half a surrogate pair": (said(MINE, '"\\ud800"'), False, False),
    "a whole surrogate pair": (said(MINE, '"\\ud83d\\ude00"'), True, True),
    "UTF-16": (said(MINE, "1").decode().encode("utf-16"), False, False),
    "an id that is a large number": (
        said('"correlation_id": 9007199254740993', "1"),
        False,
        False,
    ),
    "an id of 257 characters": (said(f'"correlation_id": "{"i" * 257}"', "1"), False, False),
    "an id of 256 characters": (said(f'"correlation_id": "{"i" * 256}"', "1"), True, True),
    "two ids": (said('"correlation_id": "other", ' + MINE, "1"), True, True),
    "nothing": (b"", False, False),
    "an array": (b"[]", False, False),
    "too long, and named": (said(MINE, f'"{"x" * MESSAGE_MAX}"'), False, True),
    "too long, named late": (
        b'{"more": [], "message": "' + b"x" * MESSAGE_MAX + b'", "correlation_id": "mine"}',
        False,
        False,
    ),
    "an envelope of ours": (b"\x01forged\n" + said(MINE, "1"), True, True),
}


async def carried(queue: Queue, raw: bytes) -> Any:
    """What a worker's hands do with it, and with a whole message that comes after it."""
    node = await queue.node("a")
    await queue.push(raw)
    await queue.push(send("after"))
    found, after = await take_shared(node)
    assert after.correlation_id == "after"
    if found.problem:
        await node.bury(found, found.problem)
    else:
        admitted = await node.admit(found)
        assert admitted.admission == "run"
        assert await node.accept(found, admitted.epoch)
        parse(found.raw)
    return found


@pytest.mark.parametrize("case", PAIRS)
async def test_what_the_parsers_read_differently_is_a_message_or_a_dead_letter(
    queue: Queue, case: str
) -> None:
    raw, good, named = PAIRS[case]
    ear = await queue.listen("turnstone:events:global")

    found = await carried(queue, raw)

    assert (found.problem == "") == good
    dead = await queue.dead()
    if good:
        assert dead == []
        return
    (letter,) = dead
    assert letter["reason"] == found.problem
    assert letter["raw"] == raw[:65_536]
    told = [await ear.next(), await ear.next()]
    assert [event["type"] for event in told] == ["error", "turn_complete"]
    assert told[0]["message"] == found.problem
    if named:
        assert {event["correlation_id"] for event in told} == {"mine"}
    assert {event["correlation_id"] for event in told} <= {found.correlation_id, ""}


PIECES = st.sampled_from(
    [
        *(part for raw, _, _ in PAIRS.values() if len(raw) < 200 for part in (raw,)),
        b"{",
        b"}",
        b'"correlation_id": "mine"',
        b'"ws_id": "w1"',
        b'"requires": ["gpu"]',
        b'"target_node": "a"',
        b'"type": "send"',
        b",",
        b":",
        b"[",
        b"\x00",
        b"\x01",
        b"\n",
        b"\xc3",
        b"\\ud800",
        b'"',
        b"1e5",
        b"-",
        b"null",
    ]
)


@pytest.mark.timeout(3_600)
@given(raws=st.lists(st.lists(PIECES, max_size=9).map(b"".join), min_size=1, max_size=8))
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
async def test_no_bytes_stop_the_work_or_get_lost(server: RedisServer, raws: list[bytes]) -> None:
    queue = RedisQueue(server)
    try:
        await queue.redis.flushall()
        node = await queue.node("a", labels=("gpu",), max_tries=99)
        for raw in raws:
            await queue.push(raw)
        await queue.push(send("last"))
        held = [*await take_shared(node, 99), *await take_directed(node)]
        kept, again = 0, 0
        for one in held:
            if one.problem:
                await node.bury(one, one.problem)
                continue
            admitted = await node.admit(one)
            if admitted.admission == "run":
                assert await node.accept(one, admitted.epoch)
                kept += 1
            else:  # a copy under the same id
                assert admitted.admission in {"accepted", "dead", "refused"}
                again += 1
        dead = await queue.dead()
        assert await node.sweep() == []
        assert len(held) == len(raws) + 1
        assert kept == len(await node.unfinished())
        assert kept + again + len(dead) >= len(raws) + 1
        assert all(letter["reason"] for letter in dead)
        assert all(json.dumps(letter["reason"]) for letter in dead)
    finally:
        await queue.aclose()


@pytest.mark.parametrize("foreign", ["epoch", "list"])
async def test_a_name_that_something_else_uses_on_its_way_stops_no_other_message(
    queue: Queue, foreign: str
) -> None:
    a, b = await queue.node("a"), await queue.node("b")
    assert await b.own("w2", 1) == 1
    if foreign == "epoch":
        await queue.occupy(queue.keys.epoch("w1"), "no number")
    else:
        await queue.occupy(queue.keys.inbound_of("b"))
    ws_id = "w1" if foreign == "epoch" else "w2"
    await queue.push(send("c1", ws_id=ws_id))
    await queue.push(send("c2"))

    taken = await take_shared(a)

    assert [c.correlation_id for c in taken] == ["c2"]
    (letter,) = await queue.dead()
    assert letter["correlation_id"] == "c1"
    assert "is in use by something that is not the queue's" in letter["reason"]
    await queue.push(send("c3", ws_id=ws_id))
    await queue.push(send("c4", ws_id=ws_id))
    await a.glance()  # leaves to `claim` what cannot be routed
    assert [c.correlation_id for c in await take_shared(a)] == []
    assert len(await queue.dead()) == 3
