"""A small async runtime for turn-based agents: a reducer that decides, drivers that act.

Importing this imports nothing heavy: each name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oturn.context import Context
    from oturn.llm_transport import (
        get_global_litellm_prewarm_error,
        start_global_litellm_prewarm,
    )
    from oturn.model import (
        ROLE_ASSISTANT,
        ROLE_SYSTEM,
        ROLE_TOOL,
        ROLE_USER,
        FunctionInfo,
        Message,
        MessageTextRenderable,
        Role,
        ToolCallInfo,
        ToolMessageContent,
        UserContent,
    )
    from oturn.nucleus import AsyncPubSub, OTurnNucleus, Reducer, Transition
    from oturn.runtime import Oturn
    from oturn.runtime_config import (
        OturnAgentConfig,
        OturnConfig,
        OturnModelConfig,
        OturnProviderConfig,
    )
    from oturn.tools.base import BaseTool, BaseToolRegistry, ToolResult
    from oturn.tools.examples import EXAMPLE_TOOLS, HostConfigTool, WeatherTool

__all__ = [
    "EXAMPLE_TOOLS",
    "ROLE_ASSISTANT",
    "ROLE_SYSTEM",
    "ROLE_TOOL",
    "ROLE_USER",
    "AsyncPubSub",
    "BaseTool",
    "BaseToolRegistry",
    "Context",
    "FunctionInfo",
    "HostConfigTool",
    "Message",
    "MessageTextRenderable",
    "OTurnNucleus",
    "Oturn",
    "OturnAgentConfig",
    "OturnConfig",
    "OturnModelConfig",
    "OturnProviderConfig",
    "Reducer",
    "Role",
    "ToolCallInfo",
    "ToolMessageContent",
    "ToolResult",
    "Transition",
    "UserContent",
    "WeatherTool",
    "get_global_litellm_prewarm_error",
    "start_global_litellm_prewarm",
]

_HOMES = {
    "oturn.context": ("Context",),
    "oturn.llm_transport": ("get_global_litellm_prewarm_error", "start_global_litellm_prewarm"),
    "oturn.model": (
        "ROLE_ASSISTANT",
        "ROLE_SYSTEM",
        "ROLE_TOOL",
        "ROLE_USER",
        "FunctionInfo",
        "Message",
        "MessageTextRenderable",
        "Role",
        "ToolCallInfo",
        "ToolMessageContent",
        "UserContent",
    ),
    "oturn.nucleus": ("AsyncPubSub", "OTurnNucleus", "Reducer", "Transition"),
    "oturn.runtime": ("Oturn",),
    "oturn.runtime_config": (
        "OturnAgentConfig",
        "OturnConfig",
        "OturnModelConfig",
        "OturnProviderConfig",
    ),
    "oturn.tools.base": ("BaseTool", "BaseToolRegistry", "ToolResult"),
    "oturn.tools.examples": ("EXAMPLE_TOOLS", "HostConfigTool", "WeatherTool"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
