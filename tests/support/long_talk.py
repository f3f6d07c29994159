"""A conversation that grows without end: its model, which is strict, and its tools.

The model reads files until it has read as many as the newest message says (`read 3`), and then
answers. It refuses what a provider would refuse: a conversation with faults, and one that is
longer than its window. What it is asked to sum up, it sums up.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelserver import Reply, call, calls, error, text
from support.strict import faults
from turnstone.core.tool import EmitOutput, Prepared, ToolContext, ToolResult, ToolSpec

SUMMARY = "account number {}: the files were read."
REFUSAL = "This model's maximum context length is {window} tokens. However, you requested {asked}."

_READ = re.compile(r"read (\d+)")


class Prints:
    """A tool that prints something of a given length, and has no effect. Runs unasked."""

    def __init__(self, name: str, output: str) -> None:
        self._output = output
        self.spec = ToolSpec(
            name=name,
            description="Prints.",
            parameters={"type": "object", "properties": {"path": {"type": "string"}}},
            effect="pure",
            auto_approve=True,
        )

    async def prepare(self, arguments: Mapping[str, Any], context: ToolContext) -> Prepared:
        return Prepared(self.spec.name, dict(arguments), "pure", self.spec.name)

    async def run(self, prepared: Prepared, context: ToolContext, emit: EmitOutput) -> ToolResult:
        return ToolResult("ok", self._output)

    async def happened(self, prepared: Prepared, context: ToolContext) -> bool | None:
        return None


@dataclass
class LongTalk:
    """A plan for a model server. `window` in tokens, counted as the server counts; 0: without
    end. `refused`: what was wrong with what it was sent."""

    window: int = 0
    says_window: bool = True
    summaries: int = 0
    answer_summary: Reply | None = None  # instead of an account
    refused: list[str] = field(default_factory=list)
    too_long: int = 0

    def __call__(self, body: dict[str, Any]) -> Reply:
        messages = body["messages"]
        asked = len(json.dumps(messages)) // 4 + int(body.get("max_tokens") or 0)
        if self.window and asked > self.window:
            self.too_long += 1
            told = REFUSAL.format(window=self.window, asked=asked)
            return error(400, told if self.says_window else "context_length_exceeded")
        if is_summary(body):
            self.summaries += 1
            return self.answer_summary or text(SUMMARY.format(self.summaries))
        self.refused += faults(messages)
        return self._step(messages)

    def _step(self, messages: list[dict[str, Any]]) -> Reply:
        asked = [str(m["content"]) for m in messages if m["role"] == "user"]
        wanted = [int(found) for said in asked for found in _READ.findall(said)]
        if "make a plan" in asked[-1] and messages[-1]["role"] == "user":
            return calls(call("plan", goal="it"))
        done = self._steps_of_turn(messages)
        if wanted and done < wanted[-1]:
            return calls(*(call("read_file", path=f"notes/{done}-{n}.txt") for n in range(2)))
        self._steps = 0
        return text("It is done.")

    _steps: int = 0

    def _steps_of_turn(self, messages: list[dict[str, Any]]) -> int:
        """Counted here: the conversation may have been compacted since."""
        if messages[-1]["role"] == "tool":
            self._steps += 1
        return self._steps


def is_summary(body: Mapping[str, Any]) -> bool:
    return "Write the account" in str(body["messages"][0]["content"])


def sent(body: Mapping[str, Any]) -> str:
    """All that a request says, but for its system prompt."""
    return "\n".join(str(message["content"]) for message in body["messages"][1:])
