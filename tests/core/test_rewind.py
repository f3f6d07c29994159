"""Going back in a conversation, and on from any point of it: always one that providers take."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelserver import Reply, call, calls, hold, raw_call, text
from modelserver.plans import echo, last_user_text
from support.nodes import local_node
from support.strict import faults
from support.watching import PATIENCE, ending, send, snapshot, until
from turnstone.core import events as ev
from turnstone.core import rewinding
from turnstone.core.budget import Price
from turnstone.core.errors import InvalidRequest, UnknownWorkstream, WorkstreamBusy
from turnstone.core.host import Answer, CreateWorkstream, Host
from turnstone.core.local_host import LocalHost
from turnstone.core.store import SqliteStore

#: What the person says to each question, in turn.
ANSWERS = (
    Answer(ws_id="", approved=True),
    Answer(ws_id="", approved=False, feedback="not this one"),
    Answer(ws_id="", approved=True, feedback="and be quick"),
)

TURNS = 12


def works(body: dict[str, Any]) -> Reply:
    """Three kinds of turn: an answer; a call; several calls, one of them broken."""
    last = body["messages"][-1]
    if last["role"] == "tool" or last["content"] in ("and be quick", "also this"):
        return text("done")
    match int(last_user_text(body).rpartition(" ")[2]) % 3:
        case 1:
            return calls(call("bash", command="echo one"))
        case 2:
            broken = raw_call("bash", '{"comm')
            return calls(call("read_file", path="notes.txt"), broken, call("bash", command="true"))
    return text(f"I heard: {last['content']}")


async def answering(host: Host, ws_id: str) -> None:
    """A person who answers every question; the second one is not answered before the model is
    told something besides."""
    answers = itertools.cycle(ANSWERS)
    asked = 0
    async for event in host.follow(ws_id, ev.EventId(1)):
        if isinstance(event, ev.ApprovalAsked):
            asked += 1
            if asked == 2:
                await send(host, ws_id, "also this", "steered", busy="steer")
            said = next(answers)
            await host.approve(
                Answer(ws_id=ws_id, approved=said.approved, feedback=said.feedback, by="ann")
            )


async def long_session(folder: Path) -> tuple[str, list[ev.AnyEvent]]:
    """The id of a workstream with everything in it that a conversation can have, and its
    records. It is compacted in the middle."""
    ws_id = ""
    for half in range(2):
        async with local_node(folder, works) as node:
            (folder / "workspace/notes.txt").write_text("a line\n")
            ws_id = ws_id or (await node.host.create(CreateWorkstream(name="long"))).id
            person = asyncio.create_task(answering(node.host, ws_id))
            for number in range(half * TURNS // 2, (half + 1) * TURNS // 2):
                await send(node.host, ws_id, f"task {number}", f"c{number}")
                await ending(node.host, ws_id, f"c{number}")
            person.cancel()
            await asyncio.wait({person})
        if half == 0:
            await compact(folder, ws_id)
    store = await SqliteStore.open(folder / "turnstone.db")
    records = await store.records(ws_id)
    await store.aclose()
    return ws_id, records


async def compact(folder: Path, ws_id: str) -> None:
    """As a node does it: the oldest messages, up to a whole turn, are stood for by one."""
    store = await SqliteStore.open(folder / "turnstone.db")
    messages = rewinding.before(await store.records(ws_id), "").messages
    end = max(n for n, m in enumerate(messages) if m["role"] == "user")
    stand_in = {"role": "user", "content": "Before this: some tasks were done."}
    row = await store.row(ws_id)
    assert row is not None
    record = ev.Compacted(archived=end, messages=[stand_in], summary="some tasks were done")
    await store.append(ws_id, row.epoch, [record])
    await store.aclose()


def points(records: Sequence[ev.Event]) -> list[str]:
    """Every message, and every record but the first."""
    messages = [message.correlation_id for message in rewinding.heard(records)]
    return [*messages, *(str(ev.EventId.parse(record.id).seq) for record in records[1:]), ""]


async def test_every_point_of_a_long_session_gives_what_a_strict_provider_takes(
    tmp_path: Path,
) -> None:
    _, records = await long_session(tmp_path)
    kinds = {type(record) for record in records}
    now = rewinding.before(records, "")

    assert len(now.history) >= 40
    assert {ev.Compacted, ev.ToolFinished, ev.ApprovalAnswered} <= kinds
    assert any(isinstance(r, ev.StepStarted) and r.steered for r in records)
    assert any(isinstance(r, ev.ToolFinished) and r.status == "denied" for r in records)
    assert faults(now.messages) == []
    for point in points(records):
        became = rewinding.conversation_at(rewinding.before(records, point), "rewound")
        assert faults(became.messages) == [], point
        assert [m.role for m in became.history if m.role == "tool"].count("tool") == sum(
            len(m.tool_calls) for m in became.history
        ), point


async def test_before_a_message_is_all_that_came_before_it_and_nothing_of_it(
    tmp_path: Path,
) -> None:
    _, records = await long_session(tmp_path)
    for message in rewinding.heard(records):
        found = rewinding.before(records, message.correlation_id)
        texts = [m.content for m in found.history]
        assert message.text not in texts
        earlier = [m.text for m in rewinding.heard(records) if m.place < message.place]
        assert [t for t in texts if t in earlier] == earlier


async def test_a_fork_at_every_message_goes_on_from_there(tmp_path: Path) -> None:
    ws_id, records = await long_session(tmp_path)
    async with local_node(tmp_path, echo) as node:
        for message in rewinding.heard(records):
            fork = await node.host.fork(ws_id, message.correlation_id)
            await send(node.host, fork.id, "go on", f"f-{fork.id}")
            assert (await ending(node.host, fork.id, f"f-{fork.id}")).outcome == "done"
            sent = node.model.requests[-1]["messages"]
            assert faults(sent) == []
            assert message.text not in [m["content"] for m in sent]
        source = next(info for info in await node.host.list() if info.id == ws_id)
    assert source.name == "long"  # and nothing was added to it
    assert len(records) == ev.EventId.parse(records[-1].id).seq


async def said_three(host: Host) -> str:
    ws = await host.create(CreateWorkstream(name="three"))
    for number in ("one", "two", "three"):
        await send(host, ws.id, number, number)
        await ending(host, ws.id, number)
    return ws.id


async def shown(host: LocalHost, ws_id: str) -> list[str]:
    """What a reader who comes now is shown of the conversation."""
    seen = await snapshot(host, ws_id)
    return [m.content for event in seen if isinstance(event, ev.History) for m in event.messages]


async def test_a_rewound_conversation_is_what_it_was_for_readers_and_for_the_model(
    tmp_path: Path,
) -> None:
    async with local_node(tmp_path, echo) as node:
        ws_id = await said_three(node.host)
        done = await node.host.rewind(ws_id, "two")
        assert done.message == "two"
        assert await shown(node.host, ws_id) == ["one", "one"]
        _, events = await until(node.host, ws_id, ev.History)
        assert [e.type for e in events[-3:]] == ["conversation_set", "clear_ui", "history"]
        await send(node.host, ws_id, "other", "other")
        await ending(node.host, ws_id, "other")
        sent = [m["content"] for m in node.model.requests[-1]["messages"][1:]]
        assert sent == ["one", "one", "other"]

    async with local_node(tmp_path, echo) as node:  # and in the next process
        assert await shown(node.host, ws_id) == ["one", "one", "other", "other"]
        await node.host.rewind(ws_id, "three")  # forward again
        assert await shown(node.host, ws_id) == ["one", "one", "two", "two"]


async def test_going_back_writes_down_only_what_was_not_there(tmp_path: Path) -> None:
    async with local_node(tmp_path, lambda _: text("word " * 400)) as node:
        ws = await node.host.create(CreateWorkstream())
        for number in range(12):
            await send(node.host, ws.id, f"message {number}", f"c{number}")
            await ending(node.host, ws.id, f"c{number}")
        before = await node.host._store.records(ws.id)
        for number in range(8):
            await node.host.rewind(ws.id, "c11")
            await send(node.host, ws.id, f"another {number}", f"d{number}")
            await ending(node.host, ws.id, f"d{number}")
        await node.host.rewind(ws.id, "d3")
        assert len(await shown(node.host, ws.id)) == 22
        await node.host.rewind(ws.id, "c11")
        records = await node.host._store.records(ws.id)
        said = await shown(node.host, ws.id)

    sizes = [len(ev.encode(r)) for r in records[len(before) :] if isinstance(r, ev.ConversationSet)]
    assert len(sizes) == 10
    assert max(sizes) < 500
    assert said == [part for n in range(11) for part in (f"message {n}", "word " * 400)]


async def test_every_point_of_a_long_session_can_be_gone_to_from_every_other(
    tmp_path: Path,
) -> None:
    _, records = await long_session(tmp_path)
    ways = points(records)
    chance = random.Random(7)
    now = rewinding.before(records, "")
    for point in chance.sample(ways, len(ways)):
        found = rewinding.before(records, point)
        whole = rewinding.conversation_at(found, "rewound")
        now.apply(rewinding.conversation_at(found, "rewound", now=now.conversation))
        assert (now.messages, now.history) == (whole.messages, whole.history), point


async def test_a_conversation_is_not_changed_under_a_turn(tmp_path: Path) -> None:
    gate = threading.Event()
    async with local_node(tmp_path, lambda body: hold(text("late"), gate)) as node:
        ws = await node.host.create(CreateWorkstream())
        await send(node.host, ws.id, "one", "one")
        await until(node.host, ws.id, ev.StepStarted)
        with pytest.raises(WorkstreamBusy, match="A turn is running"):
            await node.host.rewind(ws.id, "one")
        fork = await node.host.fork(ws.id)  # which changes nothing there
        gate.set()
        assert (await ending(node.host, ws.id, "one")).text == "late"
        assert await shown(node.host, fork.id) == ["one"]


async def test_points_that_are_none_are_told(tmp_path: Path) -> None:
    async with local_node(tmp_path, echo) as node:
        ws_id = await said_three(node.host)
        for point in ("nowhere", "999999", "0", "1", "-3"):
            with pytest.raises(InvalidRequest, match="There is no message and no record"):
                await node.host.rewind(ws_id, point)
        with pytest.raises(InvalidRequest, match="name the message"):
            await node.host.rewind(ws_id, " ")
        with pytest.raises(UnknownWorkstream):
            await node.host.fork("ffffffff")


async def test_a_fork_has_what_marks_a_conversation_and_no_permissions(tmp_path: Path) -> None:
    async with local_node(tmp_path, echo) as node:
        budget = ev.Budget(tokens=1_000_000)
        ws = await node.host.create(CreateWorkstream(auto_approve=True, name="one", budget=budget))
        await node.host.command(ws.id, "/persona a pirate")
        await send(node.host, ws.id, "hello", "c1")
        await ending(node.host, ws.id, "c1")
        fork = await node.host.fork(ws.id)
        policy = await node.host.policy(fork.id)
        await send(node.host, fork.id, "and now", "c2")
        await ending(node.host, fork.id, "c2")
        prompt = node.model.requests[-1]["messages"][0]["content"]

    assert fork.name == "one (fork)"
    assert fork.session_id != ws.session_id
    assert policy.grants == []
    assert "a pirate" in prompt


@pytest.mark.parametrize("at", ["", "c1"])
async def test_a_fork_goes_on_with_what_is_left_of_the_budget(tmp_path: Path, at: str) -> None:
    used = {"prompt_tokens": 400, "completion_tokens": 100, "total_tokens": 500}
    budget = ev.Budget(tokens=5000, seconds=1000, tool_calls=9, money=3.0)

    def one_call(body: dict[str, Any]) -> Reply:
        back = any(message["role"] == "tool" for message in body["messages"][-2:])
        return replace(text("ok") if back else calls(call("bash", command="true")), usage=used)

    async with local_node(
        tmp_path,
        one_call,
        params={"max_tokens": 1000},
        price=Price(100.0, 200.0),
    ) as node:
        ws = await node.host.create(CreateWorkstream(auto_approve=True, budget=budget))
        for cid in ("c1", "c2"):
            await send(node.host, ws.id, "turn 1", cid)
            await ending(node.host, ws.id, cid)
        fork = await node.host.fork(ws.id, at)
        left = (await node.host.usage(ws.id)).left
        twice = await node.host.fork(fork.id)
        [info] = [one for one in await node.host.list() if one.id == twice.id]

    assert left.tokens == 5000 - 4 * 500
    assert left.tool_calls == 7
    for forked in (fork.left, twice.left, info.left):
        assert (forked.tokens, forked.tool_calls) == (left.tokens, left.tool_calls)
        assert forked.seconds == pytest.approx(left.seconds)
        assert forked.money == pytest.approx(left.money)


async def test_a_command_that_comes_again_has_the_fork_that_it_made(tmp_path: Path) -> None:
    async def forked(host: LocalHost, ws_id: str, command_id: str) -> str:
        reply = await host.command(ws_id, "/fork two", command_id=command_id)
        assert reply.error == ""
        return reply.ws_id

    async with local_node(tmp_path, echo) as node:
        ws_id = await said_three(node.host)
        first = await forked(node.host, ws_id, "k1")
        again = await asyncio.gather(*(forked(node.host, ws_id, "k1") for _ in range(3)))
        other = await forked(node.host, ws_id, "k2")
        elsewhere = (await node.host.command(other, "/fork", command_id="k1")).ws_id
    async with local_node(tmp_path, echo) as node:
        later = await forked(node.host, ws_id, "k1")
        listed = {info.id for info in await node.host.list()}

    assert {*again, later} == {first}
    assert len({ws_id, first, other, elsewhere}) == 4
    assert listed == {ws_id, first, other, elsewhere}


async def test_the_fork_of_a_command_that_is_closed_is_not_made_again(tmp_path: Path) -> None:
    async with local_node(tmp_path, echo) as node:
        ws_id = await said_three(node.host)
        first = (await node.host.command(ws_id, "/fork", command_id="k1")).ws_id
        await node.host.close(first)
        assert (await node.host.command(ws_id, "/fork", command_id="k1")).ws_id == first
        assert [info.id for info in await node.host.list()] == [ws_id]


async def test_a_closed_conversation_can_be_gone_on_from(tmp_path: Path) -> None:
    async with local_node(tmp_path, echo) as node:
        ws_id = await said_three(node.host)
        await node.host.close(ws_id)
        async with asyncio.timeout(PATIENCE):
            fork = await node.host.fork(ws_id, "three")
        assert await shown(node.host, fork.id) == ["one", "one", "two", "two"]


def test_what_was_read_from_outside_goes_along_from_where_it_was_read() -> None:
    def record(seq: int, event: ev.Event) -> ev.Event:
        import msgspec

        return msgspec.structs.replace(event, id=f"{seq}-0")

    records = [
        record(1, ev.WsCreated(name="one")),
        record(2, ev.MessageAccepted(message="look", correlation_id="c1")),
        record(3, ev.StepStarted(correlation_id="c1")),
        record(4, ev.Tainted(source="web_fetch example.org", correlation_id="c1")),
        record(5, ev.TurnEnded(correlation_id="c1")),
    ]
    _, early = rewinding.fork_of(records, "c1", "s", "w", "x")
    _, late = rewinding.fork_of(records, "", "s", "w", "x")
    assert not [event for event in early if isinstance(event, ev.Tainted)]
    assert [e.source for e in late if isinstance(e, ev.Tainted)] == ["web_fetch example.org"]


async def test_a_message_that_steered_a_turn_is_a_point_of_its_own(tmp_path: Path) -> None:
    _, records = await long_session(tmp_path)
    found = rewinding.before(records, "steered")
    became = rewinding.conversation_at(found, "rewound")

    assert "steered" in [message.correlation_id for message in rewinding.heard(records)]
    assert rewinding.message_at(records, "steered") == "also this"
    assert found.turn is not None  # it came in the middle of a turn
    assert "also this" not in [message.content for message in became.history]
    assert became.history[-1].role == "tool"
    assert faults(became.messages) == []


async def test_a_message_that_was_cancelled_while_it_waited_is_no_point(tmp_path: Path) -> None:
    gate = threading.Event()
    async with local_node(tmp_path, lambda _: hold(text("done"), gate)) as node:
        ws = await node.host.create(CreateWorkstream())
        for cid in ("one", "two"):
            await send(node.host, ws.id, cid, cid)
        for cid in ("two", "one"):
            assert await node.host.cancel(ws.id, cid)
        outcomes = [(await ending(node.host, ws.id, cid)).outcome for cid in ("one", "two")]
        gate.set()
        records = await node.host._store.records(ws.id)

    assert outcomes == ["cancelled", "cancelled"]
    assert [message.correlation_id for message in rewinding.heard(records)] == ["one"]
    with pytest.raises(InvalidRequest, match="two has not entered"):
        rewinding.before(records, "two")
