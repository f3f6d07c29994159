"""Cancelling at every moment of a turn."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from agent_session import (
    LONG,
    Echo,
    Session,
    kinds,
    resolve,
    scripted,
    tool_contents,
)
from oturn import (
    Message,
    UserContent,
)
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
