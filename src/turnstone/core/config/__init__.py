"""Settings: one table, one loader, for every program.

The command-line options are in `turnstone.core.config.flags`, which alone imports click; the
tables of the documentation are made by `turnstone.core.config.docs`.
"""

from __future__ import annotations

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
    "ToolSettings",
    "TracesSettings",
    "WebSettings",
    "describe",
    "load_settings",
]
