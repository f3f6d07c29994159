"""One contract over every way to a node: in this process, and over HTTP to a real server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec
import pytest

from modelserver import Reply, call, calls, hold, text
from modelserver.plans import echo, tool_results
from support.hosts import Told, read, said, texts
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
PATIENCE = 60.0


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


async def test_a_list_is_read_by_pages_and_a_closed_workstream_keeps_its_place(
    host: Host, model: Told
) -> None:
    made = [(await host.create(CreateWorkstream())).id for _ in range(5)]
    model.plan = asks_for_bash
    await host.send(SendMessage(ws_id=made[3], message="go"))
    await read(host, made[3], ev.ApprovalAsked)

    first = await host.list(limit=2)
    await host.close(made[1])
    second = await host.list(limit=2, after=made[1])
    rest = await host.list(after=made[3])

    assert [info.id for info in (*first, *second, *rest)] == made
    assert second[1].state == "attention"
    assert [info.id for info in await host.list(limit=99)] == [made[0], *made[2:]]
    await host.erase(made[1])
    for unknown in (made[1], "ffffffff"):
        with pytest.raises(UnknownWorkstream, match=unknown):
            await host.list(after=unknown)
    for wrong in (0, -1):
        with pytest.raises(InvalidRequest, match="limit: "):
            await host.list(limit=wrong)


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
    grants = [ev.Grant(g.tool, g.path, g.command, g.confined) for g in view.grants]
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


async def test_health_counts_those_that_work_and_those_that_sleep(host: Host, model: Told) -> None:
    model.plan = asks_for_bash
    made = [(await host.create(CreateWorkstream())).id for _ in range(6)]
    for ws_id in made[:2]:
        await host.send(SendMessage(ws_id=ws_id, message="go"))
        await read(host, ws_id, ev.ApprovalAsked)
    asked = (await host.health()).workstreams
    await host.approve(Answer(ws_id=made[0], approved=True))
    await read(host, made[0], ev.TurnEnded, ev.EventId(1))
    await host.close(made[2])
    later = (await host.health()).workstreams

    assert {state: count for state, count in asked.items() if count} == {
        "total": 6,
        "idle": 4,
        "attention": 2,
    }
    assert {state: count for state, count in later.items() if count} == {
        "total": 5,
        "idle": 4,
        "attention": 1,
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
    steps = [(step.type, getattr(step, "text", "")) for step in await host.steps(ws.id, "c1")]
    assert steps == [("step_finished", ended.text)]
    assert await host.steps(ws.id, "never sent") == []
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
