"""Turns of any form, for a node that is killed: a message says itself which calls its turn makes.

The model holds to the newest message that it reads, and its tools have effects that can be
counted: each call writes its own id, once for each time that it ran.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from oturn.transport.base import ModelRequest
from oturn.transport.scripted import Reply, ScriptedCall, ScriptedTransport, call_tools, say
from support.crashing.turn import faults
from turnstone.core.events import EffectClass
from turnstone.core.tool import EmitOutput, Prepared, ToolContext, ToolResult, ToolSpec

#: `look` has no effect, `put` one that can be looked for, `mark` is asked about, and `hold`
#: runs after its effect until it is let go.
Kind: TypeAlias = Literal["look", "put", "mark", "hold"]
KINDS: Mapping[Kind, EffectClass] = {
    "look": "pure",
    "put": "idempotent",
    "mark": "effect",
    "hold": "effect",
}
ASKED: Kind = "mark"


class Plan(msgspec.Struct, frozen=True):
    """What the turn of the message `name` does: the calls of each of its steps."""

    name: str
    steps: list[list[Kind]]

    def text(self) -> str:
        return msgspec.json.encode(self).decode()


def planned_model(refused: Callable[[str], None]) -> ScriptedTransport:
    """`refused` is told what a strict provider would find wrong with a history."""

    def reply(request: ModelRequest) -> Reply:
        if wrong := faults(request.messages):
            refused("; ".join(wrong))
        plan, step = Plan("", []), 0
        for message in request.messages:
            if message["role"] == "user":
                plan, step = msgspec.json.decode(message["content"], type=Plan), 0
            step += message["role"] == "assistant"
        if step >= len(plan.steps):
            return say(f"{plan.name} is done")
        return call_tools(
            *(
                _call(kind, f"{plan.name}-{step}-{n}-{kind}")
                for n, kind in enumerate(plan.steps[step])
            )
        )

    return ScriptedTransport(reply)


def _call(kind: Kind, call_id: str) -> ScriptedCall:
    return ScriptedCall(kind, msgspec.json.encode({"key": call_id}).decode(), call_id)


class Counted:
    """A tool whose calls each leave a file with their id: a line for every time that it ran."""

    def __init__(self, kind: Kind, effects: Path) -> None:
        self.held: dict[str, asyncio.Event] = {}  # calls that run until they are let go
        self._kind = kind
        self._effects = effects
        self.spec = ToolSpec(
            name=kind,
            description="Is counted.",
            parameters={"type": "object", "properties": {"key": {"type": "string"}}},
            effect=KINDS[kind],
            auto_approve=kind != ASKED,
        )

    async def prepare(self, arguments: Mapping[str, Any], context: ToolContext) -> Prepared:
        return Prepared(
            tool=self.spec.name,
            arguments=dict(arguments),
            effect=self.spec.effect,
            header=f"{self.spec.name}: {arguments['key']}",
        )

    async def run(self, prepared: Prepared, context: ToolContext, emit: EmitOutput) -> ToolResult:
        key = str(prepared.arguments["key"])
        if self._kind != "look":
            with (self._effects / key).open("a") as file:
                file.write(f"{key}\n")
        emit(f"{key} runs")
        if self._kind == "hold":
            self.held[key] = asyncio.Event()
            try:
                await self.held[key].wait()
            finally:
                del self.held[key]
        return ToolResult("ok", f"result of {key}")

    async def happened(self, prepared: Prepared, context: ToolContext) -> bool | None:
        return (self._effects / str(prepared.arguments["key"])).exists()

    def let_go(self) -> None:
        for gate in self.held.values():
            gate.set()


def times(effects: Path) -> dict[str, int]:
    """How often each call ran that has an effect."""
    return {file.name: len(file.read_text().splitlines()) for file in effects.iterdir()}


def made(steps: Sequence[Sequence[Kind]], number: int) -> Plan:
    """The plan of the message with this number."""
    return Plan(f"m{number}", [list(step) for step in steps])
