"""A tool whose calls run until a test lets each of them go, and that keeps what happened to it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from turnstone.core.events import EffectClass
from turnstone.core.tool import EmitOutput, Prepared, ToolContext, ToolResult, ToolSpec


class HeldTool:
    """Called with a `key`; answers with the key's own words. Runs unasked.

    `going` are the calls that run now, `log` is what began and ended, in that order.
    """

    def __init__(self, name: str = "wait", effect: EffectClass = "effect") -> None:
        self.spec = ToolSpec(
            name=name,
            description="Waits.",
            parameters={"type": "object", "properties": {"key": {"type": "string"}}},
            effect=effect,
            auto_approve=True,
        )
        self.going: dict[str, EmitOutput] = {}
        self.log: list[tuple[str, str]] = []
        self._gates: dict[str, asyncio.Future[ToolResult]] = {}
        self._changed = asyncio.Event()

    async def prepare(self, arguments: Mapping[str, Any], context: ToolContext) -> Prepared:
        return Prepared(
            tool=self.spec.name,
            arguments=dict(arguments),
            effect=self.spec.effect,
            header=f"{self.spec.name}: {arguments['key']}",
        )

    async def run(self, prepared: Prepared, context: ToolContext, emit: EmitOutput) -> ToolResult:
        key = str(prepared.arguments["key"])
        self.log.append(("began", key))
        self._gates[key] = asyncio.get_running_loop().create_future()
        self.going[key] = emit
        self._tell()
        how = "stopped"
        try:
            result = await self._gates[key]
            how = "ended"
            return result
        finally:
            self.log.append((how, key))
            del self.going[key]
            self._tell()

    async def happened(self, prepared: Prepared, context: ToolContext) -> bool | None:
        return None

    def let_go(self, key: str) -> None:
        """Let this call end."""
        self.end(key, ToolResult("ok", f"result of {key}"))

    def end(self, key: str, result: ToolResult) -> None:
        """Let this call end with this result."""
        self._gates[key].set_result(result)

    def break_down(self, key: str) -> None:
        """Let this call raise, as a tool with a fault does."""
        self._gates[key].set_exception(RuntimeError("a fault in the tool"))

    async def runs(self, *keys: str) -> None:
        """Wait until these run at the same time, and no other does."""
        async with asyncio.timeout(20):
            while set(self.going) != set(keys):
                await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
