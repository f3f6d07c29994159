"""Tools that are elsewhere: offered beside the local ones, called through the same gate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent_session import LONG, Echo, Session, config, kinds, new_file, resolve, tool_contents
from oturn import Context, Oturn, ToolResult
from oturn.transport.scripted import Reply, ScriptedTransport, call, call_tools, say

FAR = {"type": "function", "function": {"name": "far", "parameters": {"type": "object"}}}


class Notebook(Context):
    """A context that knows of one remote tool."""

    def get_mcp_tool_definition(self, name: str) -> dict[str, Any] | None:
        return {"name": "far"} if name == "far" else None


class Elsewhere:
    def __init__(self, result: ToolResult | Exception) -> None:
        self.result = result
        self.called: list[tuple[str, dict[str, Any]]] = []

    def merge_tool_schemas(self, ctx: Any, local: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [*local, FAR]

    async def execute_remote_tool(self, ctx: Any, name: str, args: dict[str, Any]) -> ToolResult:
        self.called.append((name, args))
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


def agent(remote: Elsewhere, *replies: Reply) -> tuple[Oturn, ScriptedTransport]:
    transport = ScriptedTransport(list(replies))
    made = Oturn(
        Path.cwd(), config(grace=LONG), tools=[Echo], transport=transport, remote_tools=remote
    )
    return made, transport


def session(made: Oturn, context: Context) -> Session:
    started = Session(made, resolve(None))
    started.context = context
    return started


async def test_a_remote_tool_is_offered_and_called() -> None:
    remote = Elsewhere(ToolResult("success", {"found": 3}))
    made, transport = agent(remote, call_tools(call("far", word="x")), say("ok"))
    async with session(made, Notebook(new_file())) as run:
        events = await run.ask()
        (content,) = tool_contents(run.context)
    assert [tool["function"]["name"] for tool in transport.requests[0].tools] == ["echo", "far"]
    assert remote.called == [("far", {"word": "x"})]
    assert (content.status, content.data) == ("success", {"found": 3})
    assert "tool_call" in kinds(events)


async def test_a_failure_elsewhere_is_told_like_one_here() -> None:
    for failing in (ToolResult("failure", error="far away"), OSError("far away")):
        made, _ = agent(Elsewhere(failing), call_tools(call("far")), say("ok"))
        async with session(made, Notebook(new_file())) as run:
            events = await run.ask()
            (content,) = tool_contents(run.context)
        assert content.error == "far away"
        assert "tool_exit" in kinds(events)


async def test_a_name_that_nobody_knows_is_still_unknown() -> None:
    remote = Elsewhere(ToolResult("success"))
    made, _ = agent(remote, call_tools(call("nowhere")), say("ok"))
    async with session(made, Notebook(new_file())) as run:
        await run.ask()
        (content,) = tool_contents(run.context)
    assert content.error == "unknown_tool"
    assert remote.called == []
