"""Tools of an MCP server, for `Oturn`: what a context's notebook lists is offered and called.

The program connects the client itself, and notes it and the tools in the context
(`oturn.mcp_notebook`). Here nothing is connected, listed or retried. The official SDK (`mcp`,
version 1 or 2) is imported when a tool is called.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterator
from typing import Any

from oturn.tools.base import STATUS_FAILURE, STATUS_SUCCESS, ToolResult

#: The setting that turns it on where the program does not say.
ENABLE_VARIABLE = "ENABLE_MCP"
_YES = frozenset({"1", "true", "yes", "on"})


class MCPAdapter:
    """A `oturn.remote_tools.RemoteTools`. `enabled`: None for what the environment says."""

    def __init__(self, enabled: bool | None = None) -> None:
        asked_for = os.environ.get(ENABLE_VARIABLE, "").strip().lower() in _YES
        self.enabled = asked_for if enabled is None else enabled

    def merge_tool_schemas(self, ctx: Any, local: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The local schemas, and those of the remote tools that are available.

        A remote tool with the name of a local one is left out: the local one is called.
        """
        if not self.enabled:
            return local
        taken = {schema.get("function", {}).get("name") for schema in local}
        remote = [_function_tool(tool) for tool in _available(ctx) if tool["name"] not in taken]
        return [*local, *remote]

    async def execute_remote_tool(self, ctx: Any, name: str, args: dict[str, Any]) -> ToolResult:
        """Call the tool. Whatever goes wrong is told in the result.

        The content of a success is `{"tool", "content_blocks", "structuredContent", "isError"}`,
        with the blocks as objects.
        """
        client = ctx.get_mcp_client()
        if not self.enabled:
            return _failure(name, f"MCP is not enabled: set {ENABLE_VARIABLE}=1 for this program.")
        if client is None:
            return _failure(name, "No MCP client is connected.")
        if not ctx.get_mcp_tool_availability().get(name):
            return _failure(name, f"The remote tool {name!r} is not available at present.")
        try:
            types = importlib.import_module("mcp.types")
        except ImportError as problem:
            reason = (
                f"The MCP SDK is missing ({problem}): install oturn with its extra, oturn[mcp]."
            )
            return _failure(name, reason)
        try:
            answer = await _call(client, types, name, args)
        except Exception as problem:
            reason = str(problem) or type(problem).__name__
            return _failure(name, f"The remote tool {name!r} could not be called: {reason}")
        return _result(name, answer.model_dump(mode="json", by_alias=True, exclude_none=True))


async def _call(client: Any, types: Any, name: str, args: dict[str, Any]) -> Any:
    """By `send_request`, which sessions of both versions have; the `Client` of 2 has none."""
    if not hasattr(client, "send_request"):
        return await client.call_tool(name, args or None)
    params = types.CallToolRequestParams(name=name, arguments=args or None)
    return await client.send_request(types.CallToolRequest(params=params), types.CallToolResult)


def _result(name: str, answer: dict[str, Any]) -> ToolResult:
    blocks = answer.get("content") or []
    structured = answer.get("structuredContent")
    if answer.get("isError"):
        said = "\n".join(_text(block) for block in blocks) or json.dumps(structured)
        return _failure(name, said if blocks or structured else f"{name!r} gave no reason.")
    content = {
        "tool": name,
        "content_blocks": blocks,
        "structuredContent": structured,
        "isError": False,
    }
    return ToolResult(STATUS_SUCCESS, content, metadata=_metadata(name))


def _failure(name: str, error: str) -> ToolResult:
    return ToolResult(STATUS_FAILURE, error=error, metadata=_metadata(name))


def _metadata(name: str) -> dict[str, Any]:
    return {"tool": name, "remote": True}


def _available(ctx: Any) -> Iterator[dict[str, Any]]:
    stored = ctx.get_mcp_tool_schemas()
    availability = ctx.get_mcp_tool_availability()
    for tool in stored.values() if isinstance(stored, dict) else stored:
        if tool.get("name") and availability.get(tool["name"]):
            yield tool


def _function_tool(tool: dict[str, Any]) -> dict[str, Any]:
    """In the form of the API. The SDK's versions spell the schema's name in two ways."""
    parameters = tool.get("inputSchema") or tool.get("input_schema") or {"type": "object"}
    function = {
        "name": tool["name"],
        "description": tool.get("description") or "",
        "parameters": parameters,
    }
    return {"type": "function", "function": function}


def _text(block: dict[str, Any]) -> str:
    if block.get("type") == "text":
        return str(block.get("text") or "")
    return json.dumps(block, ensure_ascii=False)
