"""What may run unasked, what must be asked, what may not run. Pure: rules in, verdict out.

The only place where that is decided, for every caller: terminal, HTTP, queue, sub-agents.
Whatever no rule covers is asked. No rule of this version refuses: `deny` is there for the
rules that people will write, and wins over every permission.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import Literal, TypeAlias

from turnstone.core.sandbox import Level
from turnstone.core.tool import Prepared, ToolSpec

Judgement: TypeAlias = Literal["allow", "ask", "deny"]


@dataclass(frozen=True, slots=True)
class Grants:
    """What the person or sender of a workstream has permitted beforehand."""

    auto_approve: bool = False  # everything, as far as the one rule for it reaches
    tools: Set[str] = frozenset()  # these tools


@dataclass(frozen=True, slots=True)
class Ruling:
    verdict: Judgement
    rule: str  # the rule that said so, in words
    reason: str = ""  # for the model, when refused


def decide(prepared: Prepared, spec: ToolSpec, grants: Grants, level: Level) -> Ruling:
    """Judge one prepared call.

    `auto_approve` is honoured where commands are confined (level L2 or better); elsewhere the
    call is asked, as if it had not been given.
    """
    outside = next((p.path for p in prepared.paths if not p.inside), None)
    if outside is not None:
        return Ruling("ask", f"{outside} is outside the workspace, or holds secrets")
    if spec.auto_approve:
        return Ruling("allow", f"{spec.name} runs unasked inside the workspace")
    if prepared.commands and level < Level.L2:
        return Ruling("ask", "commands cannot be confined on this machine, so each one is asked")
    if spec.name in grants.tools:
        return Ruling("allow", f"{spec.name} was permitted for this workstream")
    if grants.auto_approve and level >= Level.L2:
        return Ruling("allow", f"auto-approve, with commands confined at {level.name}")
    if grants.auto_approve:
        return Ruling("ask", "auto-approve holds only where commands are confined")
    return Ruling("ask", f"{spec.name} is asked by default")
