"""Broken tool calls in the real runtime: repaired, told to the model, and given up in the end."""

from __future__ import annotations

import json
from pathlib import Path

from agent_session import Echo, Session, config, kinds, tool_contents
from oturn import Oturn
from oturn.transport.scripted import Reply, ScriptedCall, ScriptedTransport, call_tools, say

BROKEN = call_tools(ScriptedCall("echo", '{"words": so}'))


def agent_with(*replies: Reply, broken: int = 3) -> tuple[Oturn, ScriptedTransport]:
    transport = ScriptedTransport(list(replies))
    settings = config(max_broken_answers=broken)
    return Oturn(Path.cwd(), settings, None, [Echo], transport=transport), transport


def sent_arguments(transport: ScriptedTransport) -> list[str]:
    """The arguments of every call in the last request."""
    return [
        call["function"]["arguments"]
        for message in transport.requests[-1].messages
        for call in message.get("tool_calls", ())
    ]


async def test_a_call_that_can_be_repaired_runs_and_goes_back_as_valid_json() -> None:
    almost = call_tools(ScriptedCall("echo", '{"words": "hello",}'))
    agent, transport = agent_with(almost, say("done"))
    async with Session(agent) as session:
        await session.ask()
    assert [content.data for content in tool_contents(session.context)] == ["hello"]
    assert sent_arguments(transport) == ['{"words": "hello"}']


async def test_a_call_that_cannot_be_repaired_is_told_to_the_model_with_what_is_wrong() -> None:
    agent, transport = agent_with(BROKEN, say("sorry"))
    async with Session(agent) as session:
        assert (await session.ask())[-1]["text"] == "sorry"
    (content,) = tool_contents(session.context)
    assert content.error == "invalid_tool_arguments_json"
    assert "near" in content.data["message"]
    assert sent_arguments(transport) == ["{}"]


async def test_a_model_that_keeps_sending_broken_calls_is_given_up_and_the_next_input_works() -> (
    None
):
    agent, transport = agent_with(*[BROKEN] * 3, say("well"), broken=2)
    async with Session(agent) as session:
        events = await session.ask()
        assert len(transport.requests) == 3
        assert kinds(events)[-2:] == ["error", "assistant_final"]
        assert "3 answers in a row" in events[-2]["error"]
        assert len(tool_contents(session.context)) == 3
        assert (await session.ask())[-1]["text"] == "well"
    assert all(json.loads(text) == {} for text in sent_arguments(transport))


async def test_a_call_that_was_cut_off_is_told_as_cut_off() -> None:
    cut = [*call_tools(ScriptedCall("echo", '{"words": "hel'))[:-1], say("", finish="length")[-1]]
    agent, _ = agent_with(cut, say("shorter"))
    async with Session(agent) as session:
        await session.ask()
    (content,) = tool_contents(session.context)
    assert "cut off by the output limit" in content.data["message"]
