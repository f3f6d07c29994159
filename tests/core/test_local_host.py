"""The engine as a node uses it: messages in, events out, everything recorded on the way."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from modelserver import Reply, call, calls, hold, raw_call, text
from modelserver.plans import echo, last_user_text, logs, tool_results
from support.logs import FIRST_CAUSE, FIRST_SERVICE, FIRST_TIME, write_logs
from support.nodes import local_node
from support.turns import bash_once, ending, kinds, turn, until_ended
from turnstone.core import events as ev
from turnstone.core.errors import InvalidRequest
from turnstone.core.host import Answer, CreateWorkstream, SendMessage
from turnstone.core.sandbox import Confinement, Level


async def test_a_plain_turn_streams_its_answer_and_ends_with_its_ending(tmp_path: Path) -> None:
    async with local_node(tmp_path, echo) as node:
        ws = await node.host.create(CreateWorkstream(name="one"))
        events = await turn(node.host, ws.id, "good morning")

    streamed = "".join(e.text for e in events if isinstance(e, ev.Content))
    assert streamed == ending(events).text == "good morning"
    assert kinds(events) == [
        "message_accepted",
        "step_started",
        "prompt_set",
        "step_finished",
        "status",
        "turn_ended",
    ]
    ids = [ev.EventId.parse(e.id) for e in events]
    assert ids == sorted(set(ids))


async def test_a_real_task_is_answered_from_what_the_tools_returned(tmp_path: Path) -> None:
    write_logs(tmp_path / "workspace")
    async with local_node(tmp_path, logs) as node:
        ws = await node.host.create(CreateWorkstream())
        events = await turn(node.host, ws.id, "which service failed first, and why?")

    answer = ending(events).text
    assert FIRST_SERVICE in answer
    assert FIRST_TIME in answer
    assert FIRST_CAUSE in answer
    ran = [e.name for e in events if isinstance(e, ev.ToolFinished)]
    assert ran == ["search", "read_file"]


async def test_a_command_is_asked_runs_when_allowed_and_tells_its_output(tmp_path: Path) -> None:
    async with local_node(tmp_path, bash_once("echo hello > note; cat note")) as node:
        ws = await node.host.create(CreateWorkstream())
        events = await turn(node.host, ws.id, "go", approved=True)

        assert (node.workspace / "note").read_text() == "hello\n"
    [asked] = [e for e in events if isinstance(e, ev.ApprovalAsked)]
    assert asked.items[0].preview == "echo hello > note; cat note"
    assert "hello" in ending(events).text
    order = kinds(events)
    assert order.index("approval_asked") < order.index("tool_started")
    assert order.index("tool_started") < order.index("tool_finished")


async def test_a_refused_command_does_not_run_and_the_model_hears_why(tmp_path: Path) -> None:
    async with local_node(tmp_path, bash_once("touch note")) as node:
        ws = await node.host.create(CreateWorkstream())
        events = await turn(node.host, ws.id, "go", approved=False, feedback="not today")

        assert not (node.workspace / "note").exists()
    [finished] = [e for e in events if isinstance(e, ev.ToolFinished)]
    assert finished.status == "denied"
    assert "not today" in finished.output
    assert "tool_started" not in kinds(events)
    assert ending(events).outcome == "done"


async def test_always_holds_for_that_tool_in_that_workstream_only(tmp_path: Path) -> None:
    asked: list[ev.Event] = []
    async with local_node(tmp_path, bash_once("true")) as node:
        one = await node.host.create(CreateWorkstream())
        other = await node.host.create(CreateWorkstream())
        for ws in (one, one, other):
            events = await turn(node.host, ws.id, "go", approved=True, always=True)
            asked += [e for e in events if isinstance(e, ev.ApprovalAsked)]

    assert [e.ws_id for e in asked] == [one.id, other.id]


async def test_auto_approve_is_honoured_where_commands_are_confined_only(tmp_path: Path) -> None:
    bare = Confinement(Level.L0, "L0 (nothing confines commands)")
    async with local_node(tmp_path / "a", bash_once("true")) as node:
        ws = await node.host.create(CreateWorkstream(auto_approve=True))
        events = await turn(node.host, ws.id, "go")
        level = node.host.engine.confinement.level
    async with local_node(tmp_path / "b", bash_once("true"), confinement=bare) as node:
        ws = await node.host.create(CreateWorkstream(auto_approve=True))
        unconfined = await turn(node.host, ws.id, "go", approved=True)

    assert ("approval_asked" in kinds(events)) == (level < Level.L2)
    [question] = [e for e in unconfined if isinstance(e, ev.ApprovalAsked)]
    assert "confined" in question.items[0].rule


async def test_a_call_that_cannot_be_understood_is_told_to_the_model(tmp_path: Path) -> None:
    def plan(body: dict[str, Any]) -> Reply:
        results = tool_results(body)
        if results:
            return text(" | ".join(output for _, output in results))
        return calls(
            raw_call("bash", '{"command": '),
            call("no_such_tool", x=1),
            call("read_file", path=7),
        )

    async with local_node(tmp_path, plan) as node:
        ws = await node.host.create(CreateWorkstream())
        events = await turn(node.host, ws.id, "go")

    finished = [e for e in events if isinstance(e, ev.ToolFinished)]
    assert [e.status for e in finished] == ["invalid"] * 3
    assert "no_such_tool" in finished[1].output
    assert "The tools are: bash, edit_file, " in finished[1].output
    assert "path" in finished[2].output


async def test_messages_sent_during_a_turn_wait_and_are_answered_in_order(tmp_path: Path) -> None:
    gate = threading.Event()

    def plan(body: dict[str, Any]) -> Reply:
        asked = last_user_text(body)
        return hold(text(f"re: {asked}"), gate) if asked == "one" else text(f"re: {asked}")

    async with local_node(tmp_path, plan) as node:
        ws = await node.host.create(CreateWorkstream())
        sent = [
            await node.host.send(SendMessage(ws_id=ws.id, message=m))
            for m in ("one", "two", "three")
        ]
        [listed] = await node.host.list()
        gate.set()
        answers = [ending(await until_ended(node.host, ws.id, s.correlation_id)).text for s in sent]
        last = node.model.requests[-1]

    assert listed.queued >= 1
    assert answers == ["re: one", "re: two", "re: three"]
    roles = [m["role"] for m in last["messages"]]
    assert roles == ["system", "user", "assistant", "user", "assistant", "user"]


async def test_a_cancelled_turn_ends_once_and_the_next_one_runs(tmp_path: Path) -> None:
    async with local_node(tmp_path, bash_once("sleep 100")) as node:
        ws = await node.host.create(CreateWorkstream())
        sent = await node.host.send(SendMessage(ws_id=ws.id, message="go"))
        async for event in node.host.follow(ws.id, ev.EventId(1)):
            if isinstance(event, ev.ApprovalAsked):
                await node.host.approve(Answer(ws_id=ws.id, approved=True))
            if isinstance(event, ev.ToolStarted):
                assert await node.host.cancel(ws.id)
                break
        events = await until_ended(node.host, ws.id, sent.correlation_id)
        node.model.plan = echo
        after = await turn(node.host, ws.id, "still there?")

        assert not await node.host.cancel(ws.id)
    assert ending(events).outcome == "cancelled"
    [finished] = [e for e in events if isinstance(e, ev.ToolFinished)]
    assert finished.status == "cancelled"
    assert ending(after).text == "still there?"


async def test_a_cancel_right_after_a_message_stops_its_turn(tmp_path: Path) -> None:
    async with local_node(tmp_path, echo) as node:
        ws = await node.host.create(CreateWorkstream())
        sent = await node.host.send(SendMessage(ws_id=ws.id, message="oh, no"))
        assert await node.host.cancel(ws.id)
        events = await until_ended(node.host, ws.id, sent.correlation_id)

    assert ending(events).outcome == "cancelled"
    assert node.model.requests == []


async def test_the_first_answer_to_a_question_counts_and_there_is_no_second(tmp_path: Path) -> None:
    async with local_node(tmp_path, bash_once("echo ran >> note")) as node:
        ws = await node.host.create(CreateWorkstream())
        sent = await node.host.send(SendMessage(ws_id=ws.id, message="go"))
        async for event in node.host.follow(ws.id, ev.EventId(1)):
            if isinstance(event, ev.ApprovalAsked):
                answers = [
                    Answer(ws_id=ws.id, request_id=event.request_id, approved=approved)
                    for approved in (True, False, True)
                ]
                told = await asyncio.gather(
                    *(node.host.approve(a) for a in answers), return_exceptions=True
                )
                break
        await until_ended(node.host, ws.id, sent.correlation_id)

        assert [getattr(t, "code", "taken") for t in told] == [
            "taken",
            "unknown_request",
            "unknown_request",
        ]
        assert (node.workspace / "note").read_text() == "ran\n"


async def test_a_hundred_workstreams_at_once_each_get_their_own_answer(tmp_path: Path) -> None:
    async with local_node(tmp_path, echo) as node:

        async def one(n: int) -> str:
            ws = await node.host.create(CreateWorkstream())
            return ending(await turn(node.host, ws.id, f"message {n}")).text

        answers = await asyncio.gather(*(one(n) for n in range(100)))

    assert answers == [f"message {n}" for n in range(100)]


async def test_a_workstream_asked_for_by_id_is_made_once(tmp_path: Path) -> None:
    async with local_node(tmp_path, echo) as node:
        asked = CreateWorkstream(ws_id="0a1b2c3d", name="first")
        one, *others = await asyncio.gather(*(node.host.create(asked) for _ in range(5)))
        again = await node.host.create(CreateWorkstream(ws_id="0a1b2c3d", name="second"))
        listed = await node.host.list()

        with pytest.raises(InvalidRequest, match="8 lower-case hex"):
            await node.host.create(CreateWorkstream(ws_id="../etc"))

    assert one.id == "0a1b2c3d"
    assert [*others, again] == [one] * 5
    assert len(listed) == 1


async def test_no_effect_starts_behind_a_fence_that_does_not_let_it_pass(tmp_path: Path) -> None:
    asked: list[str] = []

    async def fence(correlation_id: str) -> bool:
        asked.append(correlation_id)
        return False

    async with local_node(tmp_path, bash_once("touch note"), fence=fence) as node:
        ws = await node.host.create(CreateWorkstream())
        events = await turn(node.host, ws.id, "go", approved=True)

        assert not (node.workspace / "note").exists()
    [finished] = [e for e in events if isinstance(e, ev.ToolFinished)]
    assert "another node" in finished.output
    assert asked == [ending(events).correlation_id]


async def test_what_a_message_permits_holds_from_then_on(tmp_path: Path) -> None:
    async with local_node(tmp_path, bash_once("true")) as node:
        ws = await node.host.create(CreateWorkstream())
        first = SendMessage(ws_id=ws.id, message="go", auto_approve_tools=["bash"])
        sent = await node.host.send(first)
        events = await until_ended(node.host, ws.id, sent.correlation_id)
        events += await turn(node.host, ws.id, "again")

    assert "approval_asked" not in kinds(events)


async def test_a_sender_that_gives_up_waiting_does_not_take_its_message_with_it(
    tmp_path: Path,
) -> None:
    async with local_node(tmp_path, bash_once("echo ran >> note")) as node:
        ws = await node.host.create(CreateWorkstream())
        follower = asyncio.create_task(until_ended(node.host, ws.id, "c1"))
        sending = asyncio.create_task(
            node.host.send(SendMessage(ws_id=ws.id, message="go", correlation_id="c1"))
        )
        await asyncio.sleep(0)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        async for event in node.host.follow(ws.id, ev.EventId(1)):
            if isinstance(event, ev.ApprovalAsked):
                break
        answering = asyncio.create_task(node.host.approve(Answer(ws_id=ws.id, approved=True)))
        await asyncio.sleep(0)
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)

        assert ending(await follower).outcome == "done"
        assert (node.workspace / "note").read_text() == "ran\n"
