"""What `Oturn` asks of tools that are elsewhere (an MCP server): a small protocol. No tool here."""

from __future__ import annotations

from typing import Any, Protocol

from oturn.tools.base import ToolResult


class RemoteTools(Protocol):
    """Knows the tools that a context's notebook lists, and how to call one."""

    def merge_tool_schemas(self, ctx: Any, local: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The schemas that the model is offered: the local ones, and those from elsewhere."""

    async def execute_remote_tool(self, ctx: Any, name: str, args: dict[str, Any]) -> ToolResult:
        """Call the tool. Problems are told in the result."""


def has_notebook(ctx: Any) -> bool:
    """Whether a context can say which remote tools there are."""
    return hasattr(ctx, "get_mcp_tool_definition")


def is_remote(ctx: Any, name: str) -> bool:
    return has_notebook(ctx) and bool(ctx.get_mcp_tool_definition(name))
