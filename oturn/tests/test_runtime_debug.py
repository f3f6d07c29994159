"""What `debug_loop` and `debug_tools` add, and that they take nothing away."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent_session import LONG, SHORT, Echo, Session, config, kinds, resolve
from oturn import Oturn
from oturn.transport.base import Finished, ToolCallDelta
from oturn.transport.scripted import Reply, ScriptedTransport, call, call_tools, say


def debugging(
    *replies: Reply, loop: bool = False, tools: bool = False, grace: float = LONG
) -> Oturn:
    plain = config(grace=grace)
    provider = replace(plain.provider, debug_tools=tools)
    settings = replace(plain, debug_loop=loop, provider=provider)
    transport = ScriptedTransport(list(replies))
    return Oturn(Path.cwd(), settings, tools=[Echo], transport=transport)


async def test_debug_loop_prints_every_event_and_tells_how_long_each_stage_took(
    capsys: pytest.CaptureFixture[str],
) -> None:
    agent = debugging(call_tools(call("echo")), say("ok"), loop=True)
    async with Session(agent, resolve(None)) as session:
        events = await session.ask()
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == len(events)
    assert ast.literal_eval(printed[0]) == events[0]
    stages = [event for event in events if event["type"] == "debug_latency"]
    assert [event["stage"] for event in stages] == ["hooks", "append", *["message_sent"] * 2]
    assert all(event["ms"] == round(event["ms"], 1) >= 0 for event in stages)
    assert kinds(events)[:4] == ["debug_latency", "debug_latency", "message_sent", "debug_latency"]


async def test_printing_the_events_does_not_count_as_taking_a_future() -> None:
    agent = debugging(call_tools(call("echo")), say("ok"), loop=True, grace=SHORT)
    async with Session(agent) as session:
        assert "unanswered" in kinds(await session.ask())


async def test_debug_tools_shows_fragments_the_whole_and_each_call_in_its_place() -> None:
    agent = debugging(call_tools(call("echo", words="x"), chunk=20), say("ok"), tools=True)
    async with Session(agent, resolve(None)) as session:
        events = await session.ask()
    assert kinds(events)[:8] == [
        "message_sent",
        "tool_call_debug",
        "tool_call_delta",
        "tool_call_debug",
        "tool_call_delta",
        "tool_call_debug",
        "tool_call_debug",
        "tool_call",
    ]
    first, second, assembled, final = [e for e in events if e["type"] == "tool_call_debug"]
    assert {k: v for k, v in first["delta"].items() if k != "model"} == {
        "type": "tool_call_delta",
        "output_index": 0,
        "tool_call_id": "call_1_0",
        "name": "echo",
    }
    assert second["delta"]["arguments"] == '{"words": "x"}'
    function = {"name": "echo", "arguments": '{"words": "x"}'}
    assert assembled["assembled"] == [{"index": 0, "id": "call_1_0", "function": function}]
    expected: dict[str, Any] = {"stage": "assembled_final", "tool": "echo", "index": 0}
    assert {key: final[key] for key in expected} == expected
    summary = {"length": 14, "parse_ok": True, "head": '{"words": "x"}', "tail": ""}
    assert final["args_summary"] == summary


async def test_a_fragment_that_had_to_be_guessed_at_is_warned_about() -> None:
    reply: Reply = [
        ToolCallDelta(None, "c", "echo", '{"words"'),
        ToolCallDelta(arguments=': "x"}'),
        Finished("tool_calls"),
    ]
    agent = debugging(reply, say("ok"), tools=True)
    async with Session(agent, resolve(None)) as session:
        events = await session.ask()
    (warning,) = [event["warning"] for event in events if "warning" in event]
    assert warning == "A tool call fragment without index and id was taken for call 0."


async def test_without_debugging_there_is_none_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    agent = debugging(call_tools(call("echo")), say("ok"))
    async with Session(agent, resolve(None)) as session:
        events = await session.ask()
    assert not [kind for kind in kinds(events) if "debug" in kind]
    assert capsys.readouterr().out == ""
