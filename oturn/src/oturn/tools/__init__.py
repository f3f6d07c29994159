"""Tools for `Oturn`: the base class, the registry, and two examples."""

from __future__ import annotations

from oturn.tools.base import BaseTool, BaseToolRegistry, ToolResult, ToolType
from oturn.tools.examples import EXAMPLE_TOOLS, HostConfigTool, WeatherTool

__all__ = [
    "EXAMPLE_TOOLS",
    "BaseTool",
    "BaseToolRegistry",
    "HostConfigTool",
    "ToolResult",
    "ToolType",
    "WeatherTool",
]
