"""The tool `forget`: deletes what is remembered under a key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from turnstone.core.errors import ToolRefused
from turnstone.core.memory import ScopeKind
from turnstone.core.tool import EmitOutput, Prepared, ToolContext, ToolResult
from turnstone.tools.arguments import parse_arguments
from turnstone.tools.memory_call import key_for, memory_of, scope_for
from turnstone.tools.spec import load_spec
from turnstone.tools.text import one_line, visible


class _Arguments(msgspec.Struct, frozen=True):
    key: str
    scope: str = ""


class Forget:
    def __init__(self) -> None:
        self.spec = load_spec("forget")

    async def prepare(self, arguments: Mapping[str, Any], context: ToolContext) -> Prepared:
        wanted = parse_arguments("forget", _Arguments, arguments)
        key = key_for("forget", wanted.key)
        scope = await _scope(key, wanted.scope, context)
        kept = await memory_of("forget", context).get(key, scope)
        return Prepared(
            tool="forget",
            arguments={"key": key, "scope": scope},
            effect="idempotent",
            header=one_line(f"forget: {key}"),
            preview=f"{visible(kept.value) if kept else 'nothing'}\n\nscope: {scope}",
        )

    async def run(self, prepared: Prepared, context: ToolContext, emit: EmitOutput) -> ToolResult:
        key, scope = str(prepared.arguments["key"]), str(prepared.arguments["scope"])
        if await memory_of("forget", context).forget(key, scope_for("forget", scope)):
            return ToolResult("ok", f"Forgot {key}.")
        return ToolResult("error", f"Nothing is remembered as {key}.")

    async def happened(self, prepared: Prepared, context: ToolContext) -> bool | None:
        key, scope = str(prepared.arguments["key"]), str(prepared.arguments["scope"])
        kept = await memory_of("forget", context).get(key, scope_for("forget", scope))
        return kept is None


async def _scope(key: str, named: str, context: ToolContext) -> ScopeKind:
    """The scope that is meant: the named one, or the only one that has the key."""
    if named:
        return scope_for("forget", named)
    memory = memory_of("forget", context)
    in_workspace = await memory.get(key, "workspace") is not None
    if in_workspace and await memory.get(key, "user") is not None:
        raise ToolRefused(
            f"forget: {key} is remembered for the user and for this workspace; say which with "
            "`scope`."
        )
    return "workspace" if in_workspace else "user"
