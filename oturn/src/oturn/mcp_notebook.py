"""What a context remembers about an MCP server: its client, tools and state. Connects to nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

#: A tool as the server describes it: `name`, `description`, `inputSchema`.
Definition: TypeAlias = dict[str, Any]


class McpNotebook:
    """The program that connects a client notes it here; the adapter and the runtime read it."""

    def __init__(self) -> None:
        self._client: Any = None
        self._ready = False
        self._message = ""
        self._last_ping: Any = None
        self._schemas: list[Definition] | dict[str, Definition] = []
        self._availability: dict[str, Any] = {}

    def set_mcp_client(self, client: Any) -> None:
        self._client = client

    def get_mcp_client(self) -> Any:
        return self._client

    def mark_mcp_ready(self, ready: bool, message: str = "", last_ping: Any = None) -> None:
        """`last_ping` is kept as it is when None is given."""
        self._ready = ready
        self._message = message
        if last_ping is not None:
            self._last_ping = last_ping

    def is_mcp_ready(self) -> bool:
        return self._ready

    def get_mcp_status_message(self) -> str:
        return self._message

    def set_mcp_last_ping(self, last_ping: Any) -> None:
        self._last_ping = last_ping

    def get_mcp_last_ping(self) -> Any:
        return self._last_ping

    def update_mcp_tool_state(
        self,
        schemas: Iterable[Definition] | Mapping[str, Definition],
        availability: Mapping[str, Any],
    ) -> None:
        """The tools, as a list of definitions or by name, and which of them can be called."""
        self._schemas = dict(schemas) if isinstance(schemas, Mapping) else list(schemas)
        self._availability = dict(availability)

    def clear_mcp_tool_state(self) -> None:
        self._schemas = []
        self._availability = {}

    def get_mcp_tool_schemas(self) -> list[Definition] | dict[str, Definition]:
        """A copy, in the form in which they were given."""
        return self._schemas.copy()

    def get_mcp_tool_availability(self) -> dict[str, Any]:
        return self._availability.copy()

    def get_mcp_tool_definition(self, name: str) -> Definition | None:
        if isinstance(self._schemas, dict):
            return self._schemas.get(name)
        return next((tool for tool in self._schemas if tool.get("name") == name), None)
