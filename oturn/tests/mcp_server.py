"""An MCP server over stdio, for tests: `python mcp_server.py`. Works with both SDK versions."""

from __future__ import annotations

import importlib
from typing import Any


def server() -> Any:
    try:
        home, name = importlib.import_module("mcp.server.mcpserver"), "MCPServer"
    except ImportError:
        home, name = importlib.import_module("mcp.server.fastmcp"), "FastMCP"
    made = getattr(home, name)("tests")
    refusal = home.exceptions.ToolError

    def add(one: int, other: int) -> int:
        """Add two numbers."""
        return one + other

    def refuse() -> str:
        """Fail, with a reason."""
        raise refusal("the door is locked")

    made.add_tool(add)
    made.add_tool(refuse)
    return made


if __name__ == "__main__":
    server().run()
