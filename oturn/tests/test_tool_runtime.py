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

    def __init__(
        self, folder: Path, answer: Any = True, remote: Any = None, *, debug: bool = False
    ) -> None:
        self.context = Context(folder / "own.md")
        self.events: list[Event] = []
        self.answer = answer
        registry = BaseToolRegistry()
        for tool in (Echo, Guarded):
            registry.auto_register_tool(tool)
        self.runtime = ToolRuntime(registry, self.publish, remote, asyncio.Event(), debug)

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


async def test_every_call_is_asked_about_before_any_runs(tmp_path: Path) -> None:
    program = Program(tmp_path)
    assert await program.process(("guarded", "{}"), ("guarded", "{}")) is False
    assert kinds(program.events) == ["tool_call"] * 2 + ["approval_request"] * 2


async def test_a_failure_is_told_as_the_agent_tells_it(tmp_path: Path) -> None:
    program = Program(tmp_path)
    await program.process(("echo", '{"words": 3}'))
    assert kinds(program.events) == ["tool_call", "tool_output", "tool_output", "tool_exit"]
    stdout, stderr = (event for event in program.events if event["type"] == "tool_output")
    assert (stdout["stream"], stderr["stream"]) == ("stdout", "stderr")
    assert stderr["text"] == "'words' must be a string, not 3.\n"


async def test_with_debug_tools_each_call_is_shown_as_it_was_assembled(tmp_path: Path) -> None:
    program = Program(tmp_path, debug=True)
    await program.process(("echo", '{"words": "x"}'))
    debug, request = program.events
    assert (debug["type"], debug["stage"]) == ("tool_call_debug", "assembled_final")
    assert (debug["tool"], debug["id"], debug["index"]) == ("echo", "c0", 0)
    assert request["type"] == "tool_call"


async def test_calls_without_an_id_get_one_by_their_place(tmp_path: Path) -> None:
    program = Program(tmp_path)
    record = {"index": 0, "id": "", "function": {"name": "echo", "arguments": ""}}
    await program.runtime.process_tool_records(
        ctx=program.context,
        tool_records=[record, record | {"index": 1}],
        final="",
        reasoning="",
        reasoning_details=None,
        usage_data=None,
        model_name=None,
    )
    answer, *results = (r for r in program.context.history if isinstance(r, Message))
    assert [call.id for call in answer.tool_calls or ()] == ["call_0", "call_1"]
    assert [result.tool_call_id for result in results] == ["call_0", "call_1"]
    assert (answer.usage, answer.reasoning_content, answer.extra) == (None, None, None)


async def test_a_run_that_is_cancelled_leaves_no_call_without_a_result(tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def publish(event: Any) -> None:
        taken.append(event["future"])
        asked.set()

    taken: list[asyncio.Future[Any]] = []
    program = Program(tmp_path)
    program.runtime.publish = publish
    running = asyncio.create_task(program.process(("echo", "{}"), ("echo", "{}")))
    await asyncio.wait_for(asked.wait(), PATIENCE)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert len(tool_contents(program.context)) == 2
    assert program.runtime.cancel_event.is_set()
