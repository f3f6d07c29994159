"""What may run unasked, what must be asked, what may not run. Pure: rules in, verdict out.

The only place where that is decided, for every caller: terminal, HTTP, queue, sub-agents.
Whatever nothing permits is asked. A deny rule wins over everything, an ask rule over every
permission; after them the order of rules and permissions means nothing.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import Literal, TypeAlias

from turnstone.core.events import Grant
from turnstone.core.policy_rules import Rule, Rules
from turnstone.core.sandbox import Level
from turnstone.core.tool import PathUse, Prepared, ToolSpec

Judgement: TypeAlias = Literal["allow", "ask", "deny"]

NO_RULES = Rules()

_AUTO_UNCONFINED = "auto-approve holds only where commands are confined"
#: Why a command is asked, whatever its tool is permitted in general.
EXPOSES_HOOKS = (
    "its hooks and settings, which start by themselves later, are not kept from commands at L2"
)

#: Of a file or folder that is asked about whatever is permitted in general.
PLANTED = "which is started or obeyed by other programs later, with the person's own rights"

_COMMAND_UNCONFINED = "commands cannot be confined on this machine, so each one is asked"


@dataclass(frozen=True, slots=True)
class Grants:
    """What the person or sender of a workstream has permitted beforehand."""

    auto_approve: bool = False  # everything, as far as the one rule for it reaches
    tools: Set[str] = frozenset()  # these tools, for the node
    always: Set[Grant] = frozenset()  # for the workstream

    def permits(self, prepared: Prepared, use: PathUse | None, level: Level) -> bool:
        """Whether the tool was permitted: in the workspace, on exactly this path, or for
        exactly these commands, confined as they were when that was said."""
        tool = prepared.tool
        if use is not None and not use.inside:
            return Grant(tool, str(use.path)) in self.always
        if not prepared.exposes and (tool in self.tools or Grant(tool) in self.always):
            return True
        exactly = _grants(prepared, use, level)
        return bool(prepared.commands) and all(grant in self.always for grant in exactly)


@dataclass(frozen=True, slots=True)
class Ruling:
    verdict: Judgement
    rule: str  # the rule that said so, in words
    reason: str = ""  # for the model, when refused
    always: tuple[Grant, ...] = ()  # what would make this call run unasked: nothing, or all of it


def decide(
    prepared: Prepared, spec: ToolSpec, grants: Grants, level: Level, rules: Rules = NO_RULES
) -> Ruling:
    """Judge one prepared call. `rules` are those of the node, placed in its workspace.

    `auto_approve` is honoured where commands are confined (level L2 or better); elsewhere the
    call is asked, as if it had not been given.
    """
    for rule in rules.deny:
        if rule.touches(prepared):
            return Ruling("deny", f"deny {rule.text}", _forbidden(rule, prepared))
    for rule in rules.ask:
        if rule.touches(prepared):
            return Ruling("ask", f"ask {rule.text}, a rule that no permission overrides")
    for rule in rules.deny + rules.ask:
        if rule.may_touch(prepared):
            return Ruling("ask", f"the call may use what the rule {rule.text} is about")
    if prepared.tends:
        return Ruling("allow", f"{spec.name} may always look after what it has started")
    if prepared.commands and level < Level.L2:
        return Ruling("ask", _COMMAND_UNCONFINED)
    return _permitted(prepared, spec, grants, level, rules)


def _permitted(
    prepared: Prepared, spec: ToolSpec, grants: Grants, level: Level, rules: Rules
) -> Ruling:
    """What nothing forbids runs if each path it uses is permitted, or else the call itself."""
    by: list[str] = []
    missing: list[PathUse | None] = []
    for use in prepared.paths or (None,):
        rule = _allowing(prepared, use, spec, grants, level, rules)
        if rule:
            by.append(rule)
        else:
            missing.append(use)
    if not missing:
        return Ruling("allow", by[0])
    always = tuple(dict.fromkeys(g for use in missing for g in _grants(prepared, use, level)))
    outside = next((use for use in missing if use is not None and not use.inside), None)
    if outside is not None:
        why = f"{outside.path} {_place(outside)}"
    elif prepared.exposes:
        why = prepared.exposes
    elif grants.auto_approve:
        why = _AUTO_UNCONFINED
    else:
        why = f"{spec.name} is asked by default"
    return Ruling("ask", why, always=always)


def _place(use: PathUse) -> str:
    """Why a path counts as outside, in words."""
    if use.starts:
        return PLANTED.removeprefix("which ")
    return "may hold secrets" if use.sensitive else "is outside the workspace"


def _allowing(
    prepared: Prepared,
    use: PathUse | None,
    spec: ToolSpec,
    grants: Grants,
    level: Level,
    rules: Rules,
) -> str:
    """Why the tool may use this path (None: why it may run) unasked; empty if it may not."""
    for rule in rules.allow:
        if rule.covers(prepared, use) and (rule.command or not prepared.exposes):
            return f"allow {rule.text}"
    inside = use is None or use.inside
    if inside and spec.auto_approve:
        return f"{spec.name} runs unasked inside the workspace"
    if grants.permits(prepared, use, level):
        return f"{spec.name} was permitted for this workstream"
    if inside and grants.auto_approve and level >= Level.L2 and not prepared.exposes:
        return f"auto-approve, with commands confined at {level.name}"
    return ""


def _grants(prepared: Prepared, use: PathUse | None, level: Level) -> tuple[Grant, ...]:
    """What *always* is about: a path outside, the exact commands in their folder, as they are
    confined now and whether for hours in the background, or the tool."""
    if use is not None and not use.inside:
        return (Grant(prepared.tool, str(use.path)),)
    if prepared.commands:
        folder = str(prepared.directory or "")
        confined = f"{level.name} {'with' if prepared.network else 'without'} network"
        if prepared.background:
            confined += ", in the background"
        return tuple(Grant(prepared.tool, folder, text, confined) for text in prepared.commands)
    return (Grant(prepared.tool),)


def _forbidden(rule: Rule, prepared: Prepared) -> str:
    why = (
        f"Not run: a rule of this node forbids it ({rule.text}), whoever asks. Nobody was asked,"
        " and asking for it again gives the same answer."
    )
    if rule.path is None or not any(use.tree for use in prepared.paths):
        return why
    path = "/".join(rule.path).replace("//", "/", 1)
    return f"{why} It would look into {path}; folders without that may be searched."


def unhonoured(
    auto_approve: bool, tools: Set[str], level: Level, *, repository: bool = False
) -> str:
    """What of a permission given beforehand does not hold here, for whoever gave it; or empty.

    `repository`: the workspace has a .git, whose hooks only L3 keeps from commands.
    """
    if level >= Level.L3 or (level is Level.L2 and not repository):
        return ""
    if level is Level.L2:
        told = "Auto-approve is" if auto_approve else "The permission for bash is"
        about = " for commands" if auto_approve else ""
        return (
            f"{told} not honoured here{about}, since the workspace has a .git: {EXPOSES_HOOKS}."
            if auto_approve or "bash" in tools
            else ""
        )
    if auto_approve:
        return (
            "Auto-approve is not honoured here, since commands cannot be confined on this machine:"
            " what it would have let run is asked."
        )
    if "bash" in tools:
        return (
            "The permission for bash is not honoured here, since commands cannot be confined on"
            " this machine: each command is asked."
        )
    return ""
