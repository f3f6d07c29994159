"""Cancelling at every moment of a turn."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent_session import (
    LONG,
    PATIENCE,
    Echo,
    Session,
    config,
    kinds,
    new_file,
    resolve,
    scripted,
    tool_contents,
)
from modelserver import ModelServer, Reply, error, hold
from modelserver import text as served_text
from oturn import (
    Context,
    Message,
    Oturn,
    UserContent,
)
from oturn.tools.precheck import STATUS_ALLOW, STATUS_NEEDS_APPROVAL, ToolPrecheckResult
from oturn.transport.base import ModelRequest, StreamItem, TextDelta
from oturn.transport.scripted import (
    call,
    call_tools,
    say,
)
from tools_for_tests import SmallTool


async def test_a_cancel_while_idle_stops_the_next_turn_before_any_request() -> None:
    agent = scripted(say("second"))
    agent.request_cancel_tool()
    async with Session(agent) as session:
        assert await session.ask("first") == [
            {"type": "run_aborted", "reason": "cancelled"},
            {"type": "assistant_final", "text": ""},
        ]
        assert (await session.ask())[-1]["text"] == "second"
        said = [r.content for r in session.context.history if isinstance(r, Message)]
    assert [c.content for c in said if isinstance(c, UserContent)] == ["first", "hi"]


async def test_a_cancel_in_the_middle_of_an_answer_ends_it_at_once() -> None:
    agent = scripted(say("a long answer in many pieces"), say("second"))
    session = Session(
        agent, lambda e: agent.request_cancel_tool() if e["type"] == "assistant_delta" else None
    )
    async with session:
        events = await session.ask()
        assert kinds(events)[-2:] == ["run_aborted", "assistant_final"]
        assert events[-1]["text"] == ""
        assert session.nothing_more()
        assert [r.role for r in session.context.history if isinstance(r, Message)] == ["user"]


async def test_a_cancel_while_a_tool_runs_tells_the_tool_and_gives_its_call_a_result() -> None:
    told = threading.Event()

    class Slow(SmallTool):
        name = "slow"

        @staticmethod
        async def execute(cancel_event: asyncio.Event, emit_event: Any) -> None:
            emit_event({"type": "at_work"})
            try:
                await asyncio.Event().wait()
            finally:
                if cancel_event.is_set():
                    told.set()

    agent = scripted(call_tools(call("slow"), call("slow")), say("next"), tools=[Slow])

    def react(event: dict[str, Any]) -> None:
        resolve(None)(event)
        if event["type"] == "at_work":
            agent.request_cancel_tool()

    async with Session(agent, react) as session:
        events = await session.ask()
        contents = tool_contents(session.context)
        assert (await session.ask())[-1]["text"] == "next"
    assert told.is_set()
    assert kinds(events)[-3:] == ["at_work", "run_aborted", "assistant_final"]
    assert ["partly" in str(c.error) for c in contents] == [True, False]


async def test_a_cancel_while_the_gate_waits_ends_the_turn() -> None:
    agent = scripted(call_tools(call("echo")), tools=[Echo], grace=LONG)

    def react(event: dict[str, Any]) -> None:
        if event["type"] == "tool_call":
            assert not event["future"].done()
            agent.request_cancel_tool()

    async with Session(agent, react) as session:
        assert kinds(await session.ask())[-2:] == ["run_aborted", "assistant_final"]


class Stubborn(SmallTool):
    """Runs in a thread, says when it is at work, and goes on until `let_go`."""

    name = "stubborn"
    let_go = threading.Event()
    told = threading.Event()

    @staticmethod
    def execute(cancel_event: asyncio.Event, emit_event: Any) -> str:
        emit_event({"type": "at_work"})
        while not cancel_event.is_set() and not Stubborn.let_go.wait(0.01):
            pass
        Stubborn.told.set()
        Stubborn.let_go.wait(PATIENCE)
        emit_event({"type": "too_late"})
        return "late"


async def test_a_tool_in_a_thread_is_told_and_not_waited_for() -> None:
    Stubborn.let_go.clear()
    Stubborn.told.clear()
    # More of them than a pool would have places for: none of them keeps one that others need.
    many = 12
    replies = [call_tools(call("stubborn"))] * many
    agent = scripted(*replies, call_tools(call("echo")), say("ok"), tools=[Stubborn, Echo])

    def react(event: dict[str, Any]) -> None:
        resolve(None)(event)
        if event["type"] == "at_work":
            agent.request_cancel_tool()

    async with Session(agent, react) as session:
        try:
            for _ in range(many):
                events = await session.ask()
                assert kinds(events)[-3:] == ["at_work", "run_aborted", "assistant_final"]
            assert await asyncio.to_thread(Stubborn.told.wait, PATIENCE)
        finally:
            Stubborn.let_go.set()
        events = await session.ask()
        assert events[-1]["text"] == "ok"
        assert "too_late" not in kinds(events)
        statuses = [content.status for content in tool_contents(session.context)]
    assert statuses == ["failure"] * many + ["success"]


async def test_a_tool_that_will_not_stop_is_left_after_a_moment() -> None:
    let_go, answered = asyncio.Event(), asyncio.Event()
    answers: list[Any] = []

    class Deaf(SmallTool):
        name = "deaf"

        @staticmethod
        async def execute(emit_event: Any, event_publish: Any) -> None:
            emit_event({"type": "at_work"})
            while not let_go.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await let_go.wait()
            await event_publish({"type": "too_late"})
            answers.append(await Deaf._request_choice(event_publish, "Which?", ["a"]))
            answered.set()

    agent = scripted(call_tools(call("deaf")), say("next"), tools=[Deaf])

    def react(event: dict[str, Any]) -> None:
        resolve(None)(event)
        if event["type"] == "at_work":
            agent.request_cancel_tool()

    async with Session(agent, react) as session:
        assert kinds(await session.ask())[-2:] == ["run_aborted", "assistant_final"]
        let_go.set()
        await asyncio.wait_for(answered.wait(), PATIENCE)
        assert not {"too_late", "choice_request"} & set(kinds(await session.ask()))
    assert answers == [(None, False)]


@pytest.mark.parametrize("kind", ["approval_request", "choice_request"])
async def test_a_cancel_while_a_tool_waits_for_a_person_ends_the_turn(kind: str) -> None:
    class Asking(Echo):
        name = "asking"

        @classmethod
        def get_precheck(cls, args: dict[str, Any]) -> ToolPrecheckResult | None:
            wanted = STATUS_NEEDS_APPROVAL if kind == "approval_request" else STATUS_ALLOW
            return ToolPrecheckResult(wanted)

        @staticmethod
        async def execute(event_publish: Any) -> Any:  # type: ignore[override] # by name
            return await Asking._request_choice(event_publish, "Which?", ["a"])

    agent = scripted(call_tools(call("asking")), say("next"), tools=[Asking], grace=LONG)
    ids: list[str] = []

    def react(event: dict[str, Any]) -> None:
        resolve(None)(event)
        if event["type"] == kind:
            assert not event["future"].done()
            ids.append(event["id"])
            agent.request_cancel_tool()

    async with Session(agent, react) as session:
        assert kinds(await session.ask())[-2:] == ["run_aborted", "assistant_final"]
        assert not agent.answer(ids[0], None)
        assert session.nothing_more()
        assert (await session.ask())[-1]["text"] == "next"


async def test_a_cancel_closes_the_http_stream_and_asks_nothing_more() -> None:
    gate = threading.Event()
    with ModelServer(lambda _: hold(served_text("Hello, you there.", chunk=5), gate, 3)) as server:
        agent = Oturn(Path.cwd(), config(api_base=server.base_url))
        session = Session(
            agent, lambda e: agent.request_cancel_tool() if e["type"] == "assistant_delta" else None
        )
        async with session:
            assert kinds(await session.ask())[-2:] == ["run_aborted", "assistant_final"]
            async with asyncio.timeout(PATIENCE):
                while not server.abandoned:
                    await asyncio.sleep(0.01)
            assert session.nothing_more()
        gate.set()
        assert len(server.requests) == 1


async def test_a_cancel_ends_the_wait_before_a_retry() -> None:
    refused = error(429, "too many requests", {"Retry-After": "50"})
    asked = threading.Event()

    def plan(_: Any) -> Reply:
        asked.set()
        return refused

    with ModelServer(plan) as server:
        agent = Oturn(Path.cwd(), config(api_base=server.base_url))
        async with Session(agent) as session:
            agent.enqueue_user_input_nowait("hi")
            await session.until("message_sent")
            assert await asyncio.to_thread(asked.wait, PATIENCE)
            agent.request_cancel_tool()
            events = await session.until("assistant_final")
        assert len(server.requests) == 1
    assert kinds(events) == ["run_aborted", "assistant_final"]


async def test_a_half_streamed_call_is_neither_run_nor_kept() -> None:
    reply = call_tools(call("echo", words="a long text"), chunk=3)
    agent = scripted(reply, say("next"), tools=[Echo])
    session = Session(
        agent, lambda e: agent.request_cancel_tool() if e["type"] == "tool_call_delta" else None
    )
    async with session:
        events = await session.ask()
        assert not {"tool_call", "message_sent"} & set(kinds(events)[2:])
        assert [r.role for r in session.context.history if isinstance(r, Message)] == ["user"]
        assert (await session.ask())[-1]["text"] == "next"


class Endless:
    """A model that never comes to an end."""

    async def stream(self, request: ModelRequest) -> AsyncIterator[StreamItem]:
        yield TextDelta("Well")
        await asyncio.Event().wait()

    async def aclose(self) -> None:
        pass


async def test_a_cancel_stops_every_run_of_the_agent() -> None:
    agent = Oturn(Path.cwd(), config(), transport=Endless())
    other = asyncio.create_task(agent.run_queues(Context(new_file())))
    async with Session(agent) as session:
        for words in ("one", "two"):
            agent.enqueue_user_input_nowait(words)
        await session.until("assistant_delta")
        await session.until("assistant_delta")
        agent.request_cancel_tool()
        events = await session.until("assistant_final")
        events += await session.until("assistant_final")
    other.cancel()
    await asyncio.wait({other})
    assert kinds(events) == ["run_aborted", "assistant_final"] * 2


async def test_a_run_that_is_cancelled_leaves_no_call_without_a_result() -> None:
    told = asyncio.Event()

    class Waiting(SmallTool):
        name = "waiting"

        @staticmethod
        async def execute(cancel_event: asyncio.Event, emit_event: Any) -> None:
            emit_event({"type": "at_work"})
            try:
                await asyncio.Event().wait()
            finally:
                told.set()

    agent = scripted(call_tools(call("waiting"), call("waiting")), tools=[Waiting])
    async with Session(agent, resolve(None)) as session:
        agent.enqueue_user_input_nowait("hi")
        await session.until("at_work")
        session.run.cancel()
        await asyncio.wait({session.run}, timeout=PATIENCE)
        assert session.run.cancelled()
        contents = tool_contents(session.context)
        assert session.nothing_more()
    assert told.is_set()
    assert ["partly" in str(content.error) for content in contents] == [True, False]


async def test_a_cancel_right_behind_the_end_of_a_turn_stops_the_next_one() -> None:
    agent = scripted(say("first"), say("second"))
    async with Session(agent) as session:
        await session.ask("one")
        agent.request_cancel_tool()
        assert kinds(await session.ask("two")) == ["run_aborted", "assistant_final"]
