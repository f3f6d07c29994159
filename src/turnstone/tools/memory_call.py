"""What the tools `remember`, `recall` and `forget` have in common."""

from __future__ import annotations

from turnstone.core.errors import InvalidRequest, ToolRefused
from turnstone.core.memory import MemoryStore, ScopeKind, checked_value, key_of
from turnstone.core.tool import ToolContext


def memory_of(tool: str, context: ToolContext) -> MemoryStore:
    """Raises ToolRefused."""
    if context.memory is None:
        raise ToolRefused(f"{tool}: nothing is remembered here.")
    return context.memory


def key_for(tool: str, key: str) -> str:
    """Raises ToolRefused for what is no key."""
    try:
        return key_of(key)
    except InvalidRequest as error:
        raise ToolRefused(f"{tool}: {error}") from error


def value_for(tool: str, value: str) -> str:
    """Raises ToolRefused for what cannot be remembered."""
    try:
        return checked_value(value)
    except InvalidRequest as error:
        raise ToolRefused(f"{tool}: {error}") from error


def scope_for(tool: str, scope: str) -> ScopeKind:
    """Raises ToolRefused."""
    if scope == "user":
        return "user"
    if scope == "workspace":
        return "workspace"
    raise ToolRefused(f"{tool}: the argument `scope` must be user or workspace, not {scope!r}.")
