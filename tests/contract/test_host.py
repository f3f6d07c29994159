"""One contract over every way to a node: in this process, and over HTTP to a real server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from modelserver import Plan, Reply, call, calls, hold, text
from modelserver.plans import echo, tool_results
from support.nodes import local_node
from support.servers import FULL, serving
from turnstone.api.http_host import HttpHost
from turnstone.core import events as ev
from turnstone.core.errors import (
    EmptyMessage,
    Erased,
    InvalidRequest,
    OtherArguments,
    TooManyWorkstreams,
    UnknownRequest,
    UnknownWorkstream,
    WorkstreamBusy,
)
from turnstone.core.host import Answer, CreateWorkstream, Host, SendMessage

#: Seconds for a state that must come; more is a failure.
PATIENCE = 15.0


@dataclass
class Told:
    """A plan whose behaviour a test sets after the node has been started."""

    plan: Plan = echo

    def __call__(self, body: dict[str, Any]) -> Reply:
        return self.plan(body)


@pytest.fixture
def model() -> Told:
    return Told()


@pytest.fixture(params=["local", "http"])
async def host(request: pytest.FixtureRequest, tmp_path: Path, model: Told) -> AsyncIterator[Host]:
    async with local_node(tmp_path, model, max_workstreams=3) as node:
        if request.param == "local":
            yield node.host
            return
        async with serving(node.host) as served:
            client = HttpHost(served.url, FULL)
            try:
                yield client
            finally:
                await client.aclose()


async def read(
    host: Host, ws_id: str, until: type[ev.Event], after: ev.EventId | None = None
) -> list[ev.Event]:
    """The events up to the first of this type."""
    seen: list[ev.Event] = []
    async with asyncio.timeout(PATIENCE):
        events = host.follow(ws_id, after)
        assert isinstance(events, AsyncGenerator)
        async with aclosing(events):
            async for event in events:
                seen.append(event)
                if isinstance(event, until):
                    return seen
    raise AssertionError(f"the stream ended without {until.__name__}: {seen}")


async def said(host: Host, ws_id: str, message: str = "go") -> ev.EventId:
    """Carry one turn to its end; the id of its last event."""
    await host.send(SendMessage(ws_id=ws_id, message=message))
    [*_, ended] = await read(host, ws_id, ev.TurnEnded, ev.EventId(1))
    return ev.EventId.parse(ended.id)


def texts(events: list[ev.Event]) -> str:
    return "".join(e.text for e in events if isinstance(e, ev.Content))


def asks_for_bash(body: dict[str, Any]) -> Reply:
    results = tool_results(body)
    return text(results[-1][1]) if results else calls(call("bash", command="echo 42"))


async def test_a_new_workstream_is_listed_with_its_name_and_idle(host: Host) -> None:
    one = await host.create(CreateWorkstream(name="one"))
    two = await host.create(CreateWorkstream())

    assert one.name == "one"
    assert two.name == f"ws-{two.id[:4]}"
    assert [info.id for info in await host.list()] == [one.id, two.id]
    assert one.state == "idle"
    assert len(one.session_id) == 12


async def test_a_workspace_that_is_none_is_refused_by_its_name(host: Host) -> None:
    with pytest.raises(InvalidRequest, match="workspace: /no/such/place"):
        await host.create(CreateWorkstream(workspace="/no/such/place"))


async def test_a_node_whose_workstreams_are_all_at_work_says_that_it_is_full(
    host: Host, model: Told
) -> None:
    model.plan = asks_for_bash
    for _ in range(3):
        ws = await host.create(CreateWorkstream())
        await host.send(SendMessage(ws_id=ws.id, message="go"))
        await read(host, ws.id, ev.ApprovalAsked, ev.EventId(1))
    with pytest.raises(TooManyWorkstreams, match="3 workstreams"):
        await host.create(CreateWorkstream())


async def test_idle_workstreams_make_room_for_new_ones_and_stay_listed(host: Host) -> None:
    made = [await host.create(CreateWorkstream(name=f"n{n}")) for n in range(5)]
    listed = await host.list()

    assert [(info.id, info.name, info.state) for info in listed] == [
        (info.id, info.name, "idle") for info in made
    ]
    assert (await host.health()).awake <= 3
    await said(host, made[0].id)


async def test_an_erased_workstream_is_gone_and_its_messages_do_not_run_again(host: Host) -> None:
    ws, other = await host.create(CreateWorkstream()), await host.create(CreateWorkstream())
    await host.send(SendMessage(ws_id=ws.id, message="once", correlation_id="c-once"))
    await read(host, ws.id, ev.TurnEnded, ev.EventId(1))

    await host.erase(ws.id)

    assert [info.id for info in await host.list()] == [other.id]
    with pytest.raises(UnknownWorkstream):
        await host.ending(ws.id, "c-once")
    with pytest.raises(Erased, match="c-once"):
        await host.send(SendMessage(ws_id=other.id, message="once", correlation_id="c-once"))
    with pytest.raises(UnknownWorkstream):
        await host.erase(ws.id)


async def test_a_closed_workstream_can_be_erased_too(host: Host) -> None:
    ws = await host.create(CreateWorkstream())
    await host.close(ws.id)
    await host.erase(ws.id)
    with pytest.raises(UnknownWorkstream):
        await host.erase(ws.id)


async def test_one_that_works_is_erased_only_by_force_and_its_reader_is_told(
    host: Host, model: Told
) -> None:
    model.plan = asks_for_bash
    ws = await host.create(CreateWorkstream())
    await host.send(SendMessage(ws_id=ws.id, message="go", correlation_id="c1"))
    told: list[ev.Event] = []
    events = host.follow(ws.id, ev.EventId(1))
    assert isinstance(events, AsyncGenerator)
    async with aclosing(events), asyncio.timeout(PATIENCE):
        async for event in events:
            told.append(event)
            if isinstance(event, ev.ApprovalAsked):
                with pytest.raises(WorkstreamBusy, match="at work"):
                    await host.erase(ws.id)
                await host.erase(ws.id, force=True)

    assert [e.outcome for e in told if isinstance(e, ev.TurnEnded)] == ["cancelled"]
    assert isinstance(told[-1], ev.WsClosed)
    assert told[-1].reason == "erased"
    assert await host.list() == []


async def test_a_message_is_answered_in_order_and_ends_with_its_ending(host: Host) -> None:
    ws = await host.create(CreateWorkstream())
    sent = await host.send(SendMessage(ws_id=ws.id, message="good morning"))
    seen = await read(host, ws.id, ev.TurnEnded, ev.EventId(1))

    assert not sent.duplicate
    assert {e.correlation_id for e in seen} == {sent.correlation_id}
    assert texts(seen) == "good morning"
    ids = [ev.EventId.parse(e.id) for e in seen]
    assert ids == sorted(set(ids))


async def test_a_message_under_a_known_correlation_id_is_a_duplicate(host: Host) -> None:
    ws = await host.create(CreateWorkstream())
    message = SendMessage(ws_id=ws.id, message="once", correlation_id="0123456789ab")
    first = await host.send(message)
    again = await host.send(message)

    assert (first.correlation_id, first.duplicate) == ("0123456789ab", False)
    assert (again.correlation_id, again.duplicate) == ("0123456789ab", True)


async def test_a_workstream_that_is_asked_for_by_its_id_is_made_once(host: Host) -> None:
    asked = CreateWorkstream(ws_id="0123abcd", name="mine")
    first, again = await host.create(asked), await host.create(asked)

    assert first == again
    assert [info.id for info in await host.list()] == ["0123abcd"]
    with pytest.raises(InvalidRequest, match="ws_id: "):
        await host.create(CreateWorkstream(ws_id="../etc"))


async def test_what_a_message_permits_is_not_asked(host: Host, model: Told) -> None:
    model.plan = asks_for_bash
    ws = await host.create(CreateWorkstream())
    await host.send(SendMessage(ws_id=ws.id, message="go", auto_approve_tools=["bash"]))
    seen = await read(host, ws.id, ev.TurnEnded, ev.EventId(1))

    accepted = seen[0]
    assert isinstance(accepted, ev.MessageAccepted)
    assert accepted.auto_approve_tools == ["bash"]


async def test_an_answer_that_says_that_time_is_over_is_no_refusal(host: Host, model: Told) -> None:
    model.plan = asks_for_bash
    ws = await host.create(CreateWorkstream())
    await host.send(SendMessage(ws_id=ws.id, message="go"))
    await read(host, ws.id, ev.ApprovalAsked)
    await host.approve(Answer(ws_id=ws.id, expired=True))

    seen = await read(host, ws.id, ev.TurnEnded, ev.EventId(1))
    [finished] = [e for e in seen if isinstance(e, ev.ToolFinished)]
    assert finished.status == "expired"


async def test_an_empty_message_and_an_unknown_workstream_are_refused(host: Host) -> None:
    ws = await host.create(CreateWorkstream())
    with pytest.raises(EmptyMessage):
        await host.send(SendMessage(ws_id=ws.id, message="  \n"))
    for attempt in (
        host.send(SendMessage(ws_id="ffffffff", message="hello")),
        host.approve(Answer(ws_id="ffffffff", approved=True)),
        host.cancel("ffffffff"),
        host.close("ffffffff"),
        read(host, "ffffffff", ev.Connected),
        read(host, "ffffffff", ev.Connected, ev.EventId(1)),
    ):
        with pytest.raises(UnknownWorkstream, match="ffffffff"):
            await attempt


async def test_a_question_is_answered_by_its_id_and_once(host: Host, model: Told) -> None:
    model.plan = asks_for_bash
    ws = await host.create(CreateWorkstream())
    await host.send(SendMessage(ws_id=ws.id, message="go"))
    [*_, asked] = await read(host, ws.id, ev.ApprovalAsked)
    assert isinstance(asked, ev.ApprovalAsked)

    with pytest.raises(UnknownRequest, match="000000000000"):
        await host.approve(Answer(ws_id=ws.id, request_id="000000000000", approved=True))
    answer = Answer(ws_id=ws.id, request_id=asked.request_id, approved=True)
    await host.approve(answer)
    [*_, ended] = await read(host, ws.id, ev.TurnEnded, ev.EventId(1))
    with pytest.raises(UnknownRequest):
        await host.approve(answer)

    assert isinstance(ended, ev.TurnEnded)
    assert "42" in ended.text


async def test_an_answer_for_other_arguments_is_refused_and_a_permission_listed_and_revoked(
    host: Host, model: Told
) -> None:
    model.plan = asks_for_bash
    ws = await host.create(CreateWorkstream())
    await host.send(SendMessage(ws_id=ws.id, message="go"))
    asked = (await read(host, ws.id, ev.ApprovalAsked))[-1]
    assert isinstance(asked, ev.ApprovalAsked)
    answer = Answer(ws_id=ws.id, request_id=asked.request_id, approved=True, always=True)
    with pytest.raises(OtherArguments):
        await host.approve(msgspec.structs.replace(answer, args_hash="0" * 64))

    await host.approve(msgspec.structs.replace(answer, args_hash=asked.args_hash))
    await read(host, ws.id, ev.TurnEnded)

    view = await host.policy(ws.id)
    assert view.ws_id == ws.id
    assert [grant.text for grant in view.grants] == [i.grant for i in asked.items if i.grant]
    grants = [ev.Grant(grant.tool, grant.path) for grant in view.grants]
    assert [await host.revoke(ws.id, grant) for grant in grants] == [True] * len(grants)
    assert (await host.policy(ws.id)).grants == []
    assert not await host.revoke(ws.id, ev.Grant("bash"))
    with pytest.raises(UnknownWorkstream):
        await host.policy("00000000")


async def test_an_answer_without_an_id_goes_to_the_question_that_waits(
    host: Host, model: Told
) -> None:
    model.plan = asks_for_bash
    ws = await host.create(CreateWorkstream())
    with pytest.raises(UnknownRequest):
        await host.approve(Answer(ws_id=ws.id, approved=True))
    await host.send(SendMessage(ws_id=ws.id, message="go"))
    await read(host, ws.id, ev.ApprovalAsked)
    await host.approve(Answer(ws_id=ws.id, approved=False, feedback="not today"))

    seen = await read(host, ws.id, ev.TurnEnded, ev.EventId(1))
    [finished] = [e for e in seen if isinstance(e, ev.ToolFinished)]
    assert finished.status == "denied"
    assert "not today" in finished.output


async def test_a_late_reader_gets_the_question_that_waits_after_the_history(
    host: Host, model: Told
) -> None:
    model.plan = asks_for_bash
    ws = await host.create(CreateWorkstream())
    await host.send(SendMessage(ws_id=ws.id, message="go"))
    await read(host, ws.id, ev.ApprovalAsked)

    late = await read(host, ws.id, ev.ApprovalAsked)
    assert [e.type for e in late] == ["connected", "history", "approval_asked"]
    assert {e.id for e in late} == {late[0].id}


async def test_cancel_stops_the_turn_with_one_ending(host: Host, model: Told) -> None:
    gate = threading.Event()
    model.plan = lambda body: hold(text("never whole, " * 20), gate, before=5)
    ws = await host.create(CreateWorkstream())
    assert not await host.cancel(ws.id)
    await host.send(SendMessage(ws_id=ws.id, message="go"))
    await read(host, ws.id, ev.Content, ev.EventId(1))
    try:
        assert await host.cancel(ws.id)
        seen = await read(host, ws.id, ev.TurnEnded, ev.EventId(1))
    finally:
        gate.set()

    [ended] = [e for e in seen if isinstance(e, ev.TurnEnded)]
    assert ended.outcome == "cancelled"


async def test_a_sender_who_wants_no_queue_is_refused_while_a_turn_runs(
    host: Host, model: Told
) -> None:
    gate = threading.Event()
    model.plan = lambda body: hold(echo(body), gate)
    ws = await host.create(CreateWorkstream())
    await host.send(SendMessage(ws_id=ws.id, message="first"))
    try:
        with pytest.raises(WorkstreamBusy):
            await host.send(SendMessage(ws_id=ws.id, message="no", busy="reject"))
        queued = await host.send(SendMessage(ws_id=ws.id, message="second"))
    finally:
        gate.set()

    async with asyncio.timeout(PATIENCE):
        async for event in host.follow(ws.id, ev.EventId(1)):
            if isinstance(event, ev.TurnEnded) and event.correlation_id == queued.correlation_id:
                assert event.text == "second"
                return
    pytest.fail("the stream ended before the turn")


async def test_a_closed_workstream_is_gone_and_its_readers_end(host: Host) -> None:
    ws = await host.create(CreateWorkstream())
    reading = asyncio.create_task(read(host, ws.id, ev.WsClosed))
    everything = asyncio.create_task(follow_to_the_end(host, ws.id))
    await asyncio.sleep(0)
    await read(host, ws.id, ev.Connected)
    await host.close(ws.id)

    async with asyncio.timeout(PATIENCE):
        assert (await reading)[-1].type == "ws_closed"
        assert (await everything)[-1].type == "ws_closed"
    assert await host.list() == []
    with pytest.raises(UnknownWorkstream):
        await host.send(SendMessage(ws_id=ws.id, message="hello"))


async def follow_to_the_end(host: Host, ws_id: str) -> list[ev.Event]:
    return [event async for event in host.follow(ws_id, ev.EventId(1))]


async def test_a_new_reader_starts_from_connected_and_the_history(host: Host) -> None:
    ws = await host.create(CreateWorkstream(name="named"))
    [first] = await read(host, ws.id, ev.Connected)
    assert isinstance(first, ev.Connected)
    assert (first.name, first.state, first.model) == ("named", "idle", "scripted-model")

    await said(host, ws.id, "hello")
    connected, history = await read(host, ws.id, ev.History)
    assert isinstance(history, ev.History)
    assert [(m.role, m.content) for m in history.messages] == [
        ("user", "hello"),
        ("assistant", "hello"),
    ]


async def test_two_readers_one_of_them_late_get_the_same_ids_and_text(
    host: Host, model: Told
) -> None:
    gate = threading.Event()
    answer = "a long answer, in many pieces, " * 10
    model.plan = lambda body: hold(text(answer), gate, before=20)
    ws = await host.create(CreateWorkstream())
    await host.send(SendMessage(ws_id=ws.id, message="go"))
    early = asyncio.create_task(read(host, ws.id, ev.TurnEnded, ev.EventId(1)))
    try:
        before = await read(host, ws.id, ev.Content, ev.EventId(1))
    finally:
        gate.set()
    late = await read(host, ws.id, ev.TurnEnded, ev.EventId.parse(before[-1].id))

    async with asyncio.timeout(PATIENCE):
        whole = await early
    assert texts(whole) == answer
    assert [*before, *late] == whole


async def test_a_reader_whose_place_is_gone_is_told_and_gets_a_snapshot(host: Host) -> None:
    ws = await host.create(CreateWorkstream())
    last = await said(host, ws.id, "hello")

    for gone in (ev.EventId(0), ev.EventId(last.seq + 1000)):
        seen = await read(host, ws.id, ev.History, gone)
        assert [e.type for e in seen] == ["truncated", "connected", "history"]
        assert {e.id for e in seen} == {str(last)}


async def test_the_global_stream_tells_creations_states_and_closings(host: Host) -> None:
    seen: list[ev.Event] = []

    async def follow_all() -> None:
        # From the far past: the first event says that this is gone, and so that we are there.
        async for event in host.follow_all(ev.EventId(0)):
            seen.append(event)
            there.set()
            if isinstance(event, ev.WsClosed):
                return

    there = asyncio.Event()
    following = asyncio.create_task(follow_all())
    async with asyncio.timeout(PATIENCE):
        await there.wait()
        ws = await host.create(CreateWorkstream(name="watched"))
        await said(host, ws.id)
        await host.close(ws.id)
        await following

    assert seen[0].type == "truncated"
    assert {e.ws_id for e in seen[1:]} == {ws.id}
    assert [e.name for e in seen if isinstance(e, ev.WsCreated)] == ["watched"]
    states = [e.state for e in seen if isinstance(e, ev.WsState)]
    assert states[-1] == "idle"
    assert "thinking" in states
    ids = [ev.EventId.parse(e.id) for e in seen]
    assert ids == sorted(set(ids))


async def test_health_counts_workstreams_and_names_the_model(host: Host) -> None:
    await host.create(CreateWorkstream())
    health = await host.health()

    assert health.status == "ok"
    assert health.model == "scripted-model"
    assert health.workstreams == {
        "total": 1,
        "idle": 1,
        "thinking": 0,
        "running": 0,
        "attention": 0,
        "error": 0,
    }


async def test_many_turns_at_once_each_get_their_own_answer(
    host: Host,
) -> None:
    streams = [await host.create(CreateWorkstream()) for _ in range(3)]

    async def ask(number: int) -> tuple[str, str]:
        ws = streams[number % 3]
        message = f"message {number}"
        sent = await host.send(SendMessage(ws_id=ws.id, message=message))
        async for event in host.follow(ws.id, ev.EventId(1)):
            if isinstance(event, ev.TurnEnded) and event.correlation_id == sent.correlation_id:
                return message, event.text
        raise AssertionError("the stream ended")

    async with asyncio.timeout(60):
        answers = await asyncio.gather(*(ask(number) for number in range(24)))
    assert all(message == answer for message, answer in answers)


async def test_the_ending_of_a_message_can_be_asked_for_later(host: Host, model: Told) -> None:
    ws = await host.create(CreateWorkstream())
    gate = threading.Event()
    model.plan = lambda body: hold(text("at last"), gate)
    await host.send(SendMessage(ws_id=ws.id, message="go", correlation_id="c1"))

    assert await host.ending(ws.id, "c1") is None
    gate.set()
    await read(host, ws.id, ev.TurnEnded, ev.EventId(1))
    ended = await host.ending(ws.id, "c1")
    await said(host, ws.id)

    assert ended is not None
    assert (ended.outcome, ended.text) == ("done", "at last")
    assert await host.ending(ws.id, "c1") == ended
    assert await host.ending(ws.id, "never sent") is None
    with pytest.raises(UnknownWorkstream):
        await host.ending("ffffffff", "c1")


async def shown(host: Host, ws_id: str) -> list[str]:
    """What a new reader is shown of the conversation, which must not be empty."""
    [*_, history] = await read(host, ws_id, ev.History)
    assert isinstance(history, ev.History)
    return [message.content for message in history.messages]


async def test_a_conversation_can_be_wound_back_and_forked(host: Host) -> None:
    ws = await host.create(CreateWorkstream(name="one"))
    for message in ("one", "two"):
        await host.send(SendMessage(ws_id=ws.id, message=message, correlation_id=message))
        async with asyncio.timeout(PATIENCE):
            while await host.ending(ws.id, message) is None:
                await asyncio.sleep(0.01)

    fork = await host.fork(ws.id, "two")
    assert (fork.name, await shown(host, fork.id)) == ("one (fork)", ["one", "one"])
    assert (await host.rewind(ws.id, "two")).message == "two"
    assert await shown(host, ws.id) == ["one", "one"]
    with pytest.raises(InvalidRequest, match="There is no message and no record 'three'"):
        await host.rewind(ws.id, "three")
    with pytest.raises(UnknownWorkstream):
        await host.fork("ffffffff")


async def test_a_command_is_answered_and_told(host: Host) -> None:
    ws = await host.create(CreateWorkstream())
    good = await host.command(ws.id, "/reason high", command_id="k1")
    assert (good.error, good.command_id) == ("", "k1")
    assert "high" in good.text
    [*_, told] = await read(host, ws.id, ev.Info, ev.EventId(1))
    assert isinstance(told, ev.Info)
    assert (told.message, told.correlation_id) == (good.text, "k1")
    bad = await host.command(ws.id, "/reason never")
    assert bad.error == "invalid_request"
    [*_, wrong] = await read(host, ws.id, ev.Error, ev.EventId(1))
    assert isinstance(wrong, ev.Error)
    assert wrong.message == bad.text
    with pytest.raises(EmptyMessage):
        await host.command(ws.id, " ")
    with pytest.raises(UnknownWorkstream):
        await host.command("ffffffff", "/help")
