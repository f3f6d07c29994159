"""What the tools of a turn do, and how it is told to the model and to subscribers."""

from __future__ import annotations

import json
from typing import Any

from agent_session import (
    Echo,
    Session,
    kinds,
    resolve,
    scripted,
    tool_contents,
)
from oturn.transport.scripted import (
    ScriptedCall,
    call,
    call_tools,
    say,
)
from tools_for_tests import SmallTool


async def test_several_calls_run_in_order_and_each_has_its_result() -> None:
    reply = call_tools(call("echo", words="1"), call("nothing"), call("echo", words="3"))
    agent = scripted(reply, say("ok"), tools=[Echo])
    async with Session(agent, resolve(None)) as session:
        events = await session.ask()
        contents = tool_contents(session.context)
    assert [(c.status, c.data if c.status == "success" else c.error) for c in contents] == [
        ("success", "1"),
        ("failure", "unknown_tool"),
        ("success", "3"),
    ]
    assert contents[1].data["available_tools"] == ["echo"]
    assert "tool_exit" not in kinds(events)


async def test_arguments_that_are_no_object_are_told_and_nothing_runs() -> None:
    reply = call_tools(ScriptedCall("echo", '{"words": '))
    agent = scripted(reply, say("ok"), tools=[Echo])
    async with Session(agent, resolve(None)) as session:
        events = await session.ask()
        (content,) = tool_contents(session.context)
    assert content.error == "invalid_tool_arguments_json"
    assert content.data["received"] == {"name": "echo", "arguments": '{"words": '}
    (debug,) = [e for e in events if e["type"] == "tool_call_debug"]
    assert debug["stage"] == "invalid_arguments"
    assert debug["args_summary"]["parse_ok"] is False
    assert kinds(events)[-5:-2] == ["tool_call", "tool_call_debug", "message_sent"]
    assert "unanswered" not in kinds(events)


async def test_a_tool_that_raises_is_told_on_both_streams_and_the_turn_goes_on() -> None:
    class Broken(SmallTool):
        name = "broken"

        @staticmethod
        def execute() -> None:
            raise ValueError("it broke")

        @classmethod
        def on_denial(cls, args: dict[str, Any]) -> dict[str, Any]:
            return {"advice": "try another"}

    agent = scripted(call_tools(call("broken")), say("ok"), tools=[Broken])
    async with Session(agent, resolve(None)) as session:
        events = await session.ask()
        (content,) = tool_contents(session.context)
    outputs = [e for e in events if e["type"] in ("tool_output", "tool_exit")]
    assert [e.get("stream", e.get("code")) for e in outputs] == ["stdout", "stderr", 1]
    assert json.loads(outputs[0]["text"])["error"] == "it broke"
    assert outputs[1]["text"] == "it broke\n"
    assert content.info == {"advice": "try another"}
    assert events[-1]["text"] == "ok"


async def test_events_of_a_tool_in_a_thread_come_in_order_and_before_the_next_step() -> None:
    class Talker(SmallTool):
        name = "talker"

        @staticmethod
        def execute(emit_event: Any) -> str:
            for number in range(5):
                emit_event({"type": "progress", "number": number})
            return "said"

    agent = scripted(call_tools(call("talker")), say("ok"), tools=[Talker])
    async with Session(agent, resolve(None)) as session:
        events = await session.ask()
    place = kinds(events).index("progress")
    assert [e.get("number") for e in events[place : place + 5]] == [0, 1, 2, 3, 4]
    assert kinds(events)[place + 5] == "message_sent"


async def test_streamed_tool_calls_can_be_looked_up_at_the_gate() -> None:
    seen: list[Any] = []
    agent = scripted(call_tools(call("echo", words="a long text")), say("ok"), tools=[Echo])

    def look(event: dict[str, Any]) -> None:
        if event["type"] == "tool_call":
            seen.append(agent.get_tool_call_delta(event["delta_id"]))
            seen.append(agent.get_tool_call_deltas())
            event["future"].set_result(None)

    async with Session(agent, look) as session:
        await session.ask()
    assert seen[0]["tool"] == "echo"
    assert json.loads(seen[0]["args"]) == {"words": "a long text"}
    assert seen[1] == [seen[0]]
    assert agent.get_tool_call_deltas() == []
