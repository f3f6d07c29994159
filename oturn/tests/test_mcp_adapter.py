"""`MCPAdapter`: what is offered, what is called, and what is told when it cannot be.

The tests against a real server need the SDK: `uv sync --extra mcp`, or `pip install 'oturn[mcp]'`.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent_session import LONG, PATIENCE, Session, config, resolve, tool_contents
from oturn import Context, Oturn
from oturn.mcp_adapter import MCPAdapter
from oturn.remote_tools import RemoteTools
from oturn.transport.scripted import ScriptedTransport, call, call_tools, say

SERVER = Path(__file__).parent / "mcp_server.py"
ADD = {"name": "add", "description": "Add.", "inputSchema": {"type": "object", "x": 1}}
LOCAL = {"type": "function", "function": {"name": "local"}}

needs_sdk = pytest.mark.skipif(
    importlib.util.find_spec("mcp") is None, reason="the MCP SDK is not installed (oturn[mcp])"
)


def context(folder: Path, *tools: dict[str, Any], **available: bool) -> Context:
    made = Context(folder / "notes.md")
    made.update_mcp_tool_state(tools, available)
    return made


def names(schemas: list[dict[str, Any]]) -> list[str]:
    return [schema["function"]["name"] for schema in schemas]


def test_it_is_what_the_runtime_takes() -> None:
    adapter: RemoteTools = MCPAdapter(True)
    assert isinstance(adapter, MCPAdapter)


@pytest.mark.parametrize("said", ["1", "true", "Yes", " ON "])
def test_the_environment_turns_it_on(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENABLE_MCP", said)
    assert MCPAdapter().enabled
    assert not MCPAdapter(False).enabled


@pytest.mark.parametrize("said", [None, "", "0", "no", "off", "2"])
def test_it_is_off_else(said: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENABLE_MCP", raising=False)
    if said is not None:
        monkeypatch.setenv("ENABLE_MCP", said)
    assert not MCPAdapter().enabled
    assert MCPAdapter(True).enabled


def test_remote_tools_that_are_available_are_offered_after_the_local_ones(tmp_path: Path) -> None:
    bare = {"name": "bare"}
    newer = {"name": "newer", "input_schema": {"type": "object", "y": 2}}
    ctx = context(
        tmp_path,
        ADD,
        {"name": "away"},
        {"description": "?"},
        bare,
        newer,
        add=True,
        bare=True,
        newer=True,
    )
    offered = MCPAdapter(True).merge_tool_schemas(ctx, [LOCAL])
    assert names(offered) == ["local", "add", "bare", "newer"]
    assert offered[1] == {
        "type": "function",
        "function": {"name": "add", "description": "Add.", "parameters": ADD["inputSchema"]},
    }
    assert offered[2]["function"] == {
        "name": "bare",
        "description": "",
        "parameters": {"type": "object"},
    }
    assert offered[3]["function"]["parameters"] == newer["input_schema"]


def test_definitions_may_be_kept_by_name(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    ctx.update_mcp_tool_state({"add": ADD}, {"add": True})
    assert names(MCPAdapter(True).merge_tool_schemas(ctx, [])) == ["add"]


def test_a_name_that_a_local_tool_has_is_offered_once(tmp_path: Path) -> None:
    ctx = context(tmp_path, {"name": "local"}, local=True)
    assert MCPAdapter(True).merge_tool_schemas(ctx, [LOCAL]) == [LOCAL]


def test_nothing_is_added_where_it_is_off(tmp_path: Path) -> None:
    ctx = context(tmp_path, ADD, add=True)
    assert MCPAdapter(False).merge_tool_schemas(ctx, [LOCAL]) == [LOCAL]


@pytest.mark.parametrize(
    ("enabled", "client", "available", "said"),
    [
        (False, object(), True, "not enabled"),
        (True, None, True, "No MCP client"),
        (True, object(), False, "not available"),
    ],
)
async def test_what_is_missing_is_told_in_the_result(
    enabled: bool, client: object, available: bool, said: str, tmp_path: Path
) -> None:
    ctx = context(tmp_path, ADD, add=available)
    ctx.set_mcp_client(client)
    result = await MCPAdapter(enabled).execute_remote_tool(ctx, "add", {})
    assert (result.status, result.content) == ("failure", None)
    assert said in str(result.error)
    assert result.metadata == {"tool": "add", "remote": True}


def test_without_the_sdk_the_extra_is_named(tmp_path: Path) -> None:
    program = """
import asyncio, sys
sys.modules["mcp"] = None
from pathlib import Path
from oturn import Context
from oturn.mcp_adapter import MCPAdapter
ctx = Context(Path("none.md"))
ctx.set_mcp_client(object())
ctx.update_mcp_tool_state([{"name": "add"}], {"add": True})
result = asyncio.run(MCPAdapter(True).execute_remote_tool(ctx, "add", {}))
print(result.status, result.error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.startswith("failure The MCP SDK is missing")
    assert "oturn[mcp]" in done.stdout


@asynccontextmanager
async def connected() -> AsyncIterator[Any]:
    """A session of the SDK with the server of the tests, in a process of its own."""
    mcp: Any = importlib.import_module("mcp")
    stdio: Any = importlib.import_module("mcp.client.stdio")
    parameters = mcp.StdioServerParameters(command=sys.executable, args=[str(SERVER)])
    with open(os.devnull, "w") as log:
        async with (
            stdio.stdio_client(parameters, errlog=log) as streams,
            mcp.ClientSession(*streams) as session,
        ):
            await session.initialize()
            yield session


async def note(ctx: Context, session: Any) -> None:
    listed = (await session.list_tools()).tools
    definitions = [tool.model_dump(by_alias=True) for tool in listed]
    ctx.set_mcp_client(session)
    ctx.update_mcp_tool_state(definitions, {tool["name"]: True for tool in definitions})
    ctx.mark_mcp_ready(True)


@needs_sdk
async def test_a_tool_of_a_real_server_answers(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    async with connected() as session:
        await note(ctx, session)
        adapter = MCPAdapter(True)
        assert "one" in str(adapter.merge_tool_schemas(ctx, [])[0]["function"]["parameters"])
        result = await adapter.execute_remote_tool(ctx, "add", {"one": 2, "other": 3})
    assert (result.status, result.metadata) == ("success", {"tool": "add", "remote": True})
    assert list(result.content) == ["tool", "content_blocks", "structuredContent", "isError"]
    assert result.content["content_blocks"] == [{"type": "text", "text": "5"}]
    assert result.content["structuredContent"] == {"result": 5}
    assert result.content["isError"] is False


@needs_sdk
async def test_the_reason_of_a_servers_refusal_is_told(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    async with connected() as session:
        await note(ctx, session)
        result = await MCPAdapter(True).execute_remote_tool(ctx, "refuse", {})
    assert result.status == "failure"
    assert "the door is locked" in str(result.error)


@needs_sdk
async def test_a_server_that_is_gone_is_told(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    async with connected() as session:
        await note(ctx, session)
    result = await MCPAdapter(True).execute_remote_tool(ctx, "add", {"one": 2, "other": 3})
    assert result.status == "failure"
    assert str(result.error).startswith("The remote tool 'add' could not be called: ")


@needs_sdk
async def test_an_agent_calls_it_like_its_own_tools(tmp_path: Path) -> None:
    replies = [
        call_tools(call("add", one=2, other=3), call("refuse")),
        say("5, and no."),
    ]
    transport = ScriptedTransport(replies)
    agent = Oturn(tmp_path, config(grace=LONG), transport=transport, remote_tools=MCPAdapter(True))
    run = Session(agent, resolve(None))
    async with connected() as client:
        await note(run.context, client)
        async with run:
            await run.ask("2 + 3?")
    assert [tool["function"]["name"] for tool in transport.requests[0].tools] == ["add", "refuse"]
    good, bad = tool_contents(run.context)
    assert good.data["structuredContent"] == {"result": 5}
    assert "the door is locked" in str(bad.error)


@needs_sdk
async def test_the_client_of_version_two_is_a_client_too(tmp_path: Path) -> None:
    mcp: Any = importlib.import_module("mcp")
    if not hasattr(mcp, "Client"):
        pytest.skip("version 1 of the SDK has only sessions")
    server = importlib.import_module("mcp_server").server()
    ctx = context(tmp_path)
    async with mcp.Client(server, read_timeout_seconds=PATIENCE) as client:
        await note(ctx, client)
        result = await MCPAdapter(True).execute_remote_tool(ctx, "add", {"one": 2, "other": 3})
    assert result.content["structuredContent"] == {"result": 5}
