"""Settings: one table, one loader, for every program.

The command-line options are in `turnstone.core.config.flags`, which alone imports click; the
tables of the documentation are made by `turnstone.core.config.docs`. Each name is loaded when it
is first asked for: who only wants the options of a command line reads no loader of files.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from turnstone.core.config.load import load_settings
    from turnstone.core.config.report import Described, describe
    from turnstone.core.config.rows import SETTINGS
    from turnstone.core.config.structs import (
        ApiSettings,
        AuthSettings,
        AuthToken,
        BridgeSettings,
        BudgetSettings,
        ConsoleSettings,
        LogLevel,
        LogSettings,
        MetricsSettings,
        ModelSettings,
        NamedModel,
        NodeSettings,
        QueueSettings,
        ReasoningEffort,
        RedisSettings,
        Role,
        RoleSettings,
        SandboxSettings,
        Secret,
        ServerSettings,
        SessionSettings,
        Settings,
        Source,
        SourceKind,
        StoreSettings,
        TerminalSettings,
        ToolSettings,
        TracesSettings,
        WebSettings,
    )
    from turnstone.core.config.table import PROGRAMS, Setting

__all__ = [
    "PROGRAMS",
    "SETTINGS",
    "ApiSettings",
    "AuthSettings",
    "AuthToken",
    "BridgeSettings",
    "BudgetSettings",
    "ConsoleSettings",
    "Described",
    "LogLevel",
    "LogSettings",
    "MetricsSettings",
    "ModelSettings",
    "NamedModel",
    "NodeSettings",
    "QueueSettings",
    "ReasoningEffort",
    "RedisSettings",
    "Role",
    "RoleSettings",
    "SandboxSettings",
    "Secret",
    "ServerSettings",
    "SessionSettings",
    "Setting",
    "Settings",
    "Source",
    "SourceKind",
    "StoreSettings",
    "TerminalSettings",
    "ToolSettings",
    "TracesSettings",
    "WebSettings",
    "describe",
    "load_settings",
]

_HOMES = {
    "load_settings": "load",
    "Described": "report",
    "describe": "report",
    "SETTINGS": "rows",
    "PROGRAMS": "table",
    "Setting": "table",
}
"""Where the names are that are not in `structs`."""


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = import_module(f"{__name__}.{_HOMES.get(name, 'structs')}")
    value: object = getattr(home, name)
    globals()[name] = value  # asked for once
    return value
