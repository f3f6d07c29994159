"""`ToolRuntime`: the calls of an answer that a program got by itself."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agent_session import PATIENCE, Echo, kinds, tool_contents
from oturn import BaseToolRegistry, Context, Message, ToolResult
from oturn.tool_runtime import ToolRuntime
from oturn.tools.precheck import STATUS_NEEDS_APPROVAL, ToolPrecheckResult

Event = dict[str, Any]


class Guarded(Echo):
    name = "guarded"

    @classmethod
    def get_precheck(cls, args: dict[str, Any]) -> ToolPrecheckResult | None:
        return ToolPrecheckResult(STATUS_NEEDS_APPROVAL, "may I?")


class Program:
    """A program of its own around a ToolRuntime: it answers every question with `answer`."""

    def __init__(self, folder: Path, answer: Any = True, remote: Any = None) -> None:
        self.context = Context(folder / "own.md")
        self.events: list[Event] = []
        self.answer = answer
        registry = BaseToolRegistry()
        for tool in (Echo, Guarded):
            registry.auto_register_tool(tool)
        self.runtime = ToolRuntime(registry, self.publish, remote, asyncio.Event())

    async def publish(self, event: Any) -> None:
        self.events.append(event)
        if "future" in event:
            if isinstance(self.answer, Exception) and event["type"] == "tool_call":
                event["future"].set_exception(self.answer)
            else:
                event["future"].set_result(self.answer)

    async def process(self, *calls: tuple[str, str]) -> bool:
        records = [
            {"index": place, "id": f"c{place}", "function": {"name": name, "arguments": arguments}}
            for place, (name, arguments) in enumerate(calls)
        ]
        processing = self.runtime.process_tool_records(
            ctx=self.context,
            tool_records=records,
            final="I look.",
            reasoning="Hm.",
            reasoning_details=[{"text": "Hm."}],
            usage_data={"total_tokens": 3},
            model_name="m",
        )
        return await asyncio.wait_for(processing, PATIENCE)


async def test_an_answer_and_the_results_of_its_calls_are_kept(tmp_path: Path) -> None:
    program = Program(tmp_path)
    assert (
        await program.process(("echo", '{"words": "x"}'), ("nowhere", ""), ("echo", "[")) is False
    )
    answer = program.context.history[0]
    assert isinstance(answer, Message)
    assert (answer.content, answer.reasoning_content, answer.model_name) == ("I look.", "Hm.", "m")
    assert answer.usage == {"total_tokens": 3}
    assert answer.extra == {"reasoning_details": [{"text": "Hm."}]}
    contents = {r.tool_call_id: r for r in program.context.history[1:] if isinstance(r, Message)}
    assert sorted(str(call_id) for call_id in contents) == ["c0", "c1", "c2"]
    assert [c.error for c in tool_contents(program.context)] == [
        "invalid_tool_arguments_json",
        None,
        "unknown_tool",
    ]
    assert not {"message_sent", "assistant_final", "error"} & set(kinds(program.events))
    assert [event["tool"] for event in program.events if event["type"] == "tool_call"] == [
        "echo",
        "echo",
        "nowhere",
    ]


async def test_a_call_that_was_not_approved_asks_for_the_person(tmp_path: Path) -> None:
    program = Program(tmp_path, answer=False)
    assert await program.process(("guarded", "{}")) is True


async def test_a_call_that_the_context_knows_to_be_remote_goes_there(tmp_path: Path) -> None:
    async def far(ctx: Any, name: str, args: dict[str, Any]) -> ToolResult:
        return ToolResult("success", {"name": name, **args})

    program = Program(tmp_path, remote=far)
    program.context.update_mcp_tool_state({"far": {"name": "far"}}, {"far": True})
    assert await program.process(("far", '{"a": 1}')) is False
    (content,) = tool_contents(program.context)
    assert content.data == {"name": "far", "a": 1}


async def test_an_exception_as_an_answer_is_raised_and_every_call_has_a_result(
    tmp_path: Path,
) -> None:
    program = Program(tmp_path, answer=LookupError("not here"))
    with pytest.raises(LookupError, match="not here"):
        await program.process(("echo", "{}"), ("echo", "{}"))
    assert len(tool_contents(program.context)) == 2
