"""One call of a tool, the way the engine makes it."""

from __future__ import annotations

from typing import Any

from turnstone.core.tool import Prepared, Tool, ToolContext, ToolResult


async def prepare(tool: Tool, context: ToolContext, /, **arguments: Any) -> Prepared:
    return await tool.prepare(arguments, context)


async def call(tool: Tool, context: ToolContext, /, **arguments: Any) -> ToolResult:
    prepared = await tool.prepare(arguments, context)
    return await tool.run(prepared, context, lambda _: None)
