"""The four sequences of events that programs are written for, to the letter."""

from __future__ import annotations

from typing import Any

from agent_session import LONG, Echo, Session, resolve, scripted
from oturn.transport.scripted import call, call_tools, say

SENT = {"type": "message_sent"}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def words(text: str) -> dict[str, Any]:
    return {"type": "assistant_delta", "text": text, "model": "fake"}


def final(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "assistant_final", "text": text, **more}


def fragment(tool: str, args: str, **more: Any) -> dict[str, Any]:
    place = {"delta_id": "idx:0", "index": 0}
    return {"type": "tool_call_delta", "tool": tool, "args": args, **place, **more}


ASKED = [
    SENT,
    fragment("echo", "", tool_call_id="call_1_0"),
    fragment("", '{"words": "x"}'),
    {"type": "tool_call", "tool": "echo", "delta_id": "idx:0"},
]


def named(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With the model's name as a server would be asked for it."""
    return [event | {"model": "fake"} if "model" in event else event for event in events]


async def test_a_plain_turn() -> None:
    agent = scripted(say("Hello, you.", reasoning="Hm.", chunk=6, usage=USAGE))
    async with Session(agent) as session:
        events = await session.ask()
    thought = {"type": "assistant_reasoning_delta", "text": "Hm.", "model": "fake"}
    assert named(events) == [
        SENT,
        thought,
        words("Hello,"),
        words(" you."),
        final("Hello, you.", usage_data=USAGE, reasoning="Hm."),
    ]


async def test_a_turn_with_tools() -> None:
    reply = call_tools(call("echo", words="x"), chunk=20)
    agent = scripted(reply, say("Done.", chunk=20), tools=[Echo], grace=LONG)
    async with Session(agent, resolve(None)) as session:
        events = named(await session.ask())
    assert events == [*ASKED, SENT, words("Done."), final("Done.")]


async def test_a_denied_tool() -> None:
    async def policy(name: str, args: dict[str, Any]) -> bool:
        return False

    reply = call_tools(call("echo", words="x"), chunk=20)
    agent = scripted(reply, say("I see.", chunk=20), tools=[Echo], policy=policy, grace=LONG)
    async with Session(agent, resolve(None)) as session:
        events = named(await session.ask())
    stdout = events[len(ASKED)]
    reason = "Not run: echo is not allowed with this."
    assert reason in stdout["text"]
    assert events == [
        *ASKED,
        {"type": "tool_output", "stream": "stdout", "text": stdout["text"]},
        {"type": "tool_output", "stream": "stderr", "text": f"{reason}\n"},
        {"type": "tool_exit", "code": 1},
        SENT,
        words("I see."),
        final("I see."),
    ]


async def test_a_cancelled_turn() -> None:
    agent = scripted(say("a long answer", chunk=1))
    cancelling = Session(
        agent, lambda e: agent.request_cancel_tool() if e["type"] == "assistant_delta" else None
    )
    async with cancelling as session:
        events = named(await session.ask())
        assert session.nothing_more()
    assert [event for event in events if event["type"] != "assistant_delta"] == [
        SENT,
        {"type": "run_aborted", "reason": "cancelled"},
        final(""),
    ]
    assert 1 <= len(events) - 3 < len("a long answer")
