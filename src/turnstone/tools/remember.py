"""The tool `remember`: keeps a value under a key for later conversations.

Whoever has read from outside is asked before: what is remembered is read by others later.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from turnstone.core.tool import EmitOutput, Prepared, ToolContext, ToolResult
from turnstone.tools.arguments import parse_arguments
from turnstone.tools.memory_call import key_for, memory_of, scope_for, value_for
from turnstone.tools.spec import load_spec
from turnstone.tools.text import cut_middle, one_line, visible


class _Arguments(msgspec.Struct, frozen=True):
    key: str
    value: str
    scope: str = "user"


class Remember:
    def __init__(self) -> None:
        self.spec = load_spec("remember")

    async def prepare(self, arguments: Mapping[str, Any], context: ToolContext) -> Prepared:
        wanted = parse_arguments("remember", _Arguments, arguments)
        memory_of("remember", context)
        key, value = key_for("remember", wanted.key), value_for("remember", wanted.value)
        scope = scope_for("remember", wanted.scope)
        return Prepared(
            tool="remember",
            arguments={"key": key, "value": value, "scope": scope},
            effect="idempotent",
            header=one_line(f"remember: {key}"),
            preview=f"{visible(value)}\n\nscope: {scope}",
        )

    async def run(self, prepared: Prepared, context: ToolContext, emit: EmitOutput) -> ToolResult:
        key, value, scope = (str(prepared.arguments[name]) for name in ("key", "value", "scope"))
        memory = memory_of("remember", context)
        before = await memory.remember(key, value, scope_for("remember", scope))
        if before is None:
            return ToolResult("ok", f"Saved {key}.")
        if before.value == value:
            return ToolResult("ok", f"{key} was remembered as that already.")
        was = cut_middle(before.value, context.max_output // 2)
        return ToolResult("ok", f"Updated {key}. It was: {was}")

    async def happened(self, prepared: Prepared, context: ToolContext) -> bool | None:
        key, value, scope = (str(prepared.arguments[name]) for name in ("key", "value", "scope"))
        kept = await memory_of("remember", context).get(key, scope_for("remember", scope))
        return kept is not None and kept.value == value
