"""What is permitted in a workstream, as people are told of it and as they may name it.

Words and lists only: what may run is decided in `core.policy`, and who has permitted what is
in the journal.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from turnstone.core import events as ev
from turnstone.core import policy
from turnstone.core.engine import Engine
from turnstone.core.errors import InvalidRequest
from turnstone.core.host import Granted, PolicyView
from turnstone.core.policy_rules import takes_path
from turnstone.core.tool import SEED_TOOLS
from turnstone.core.transcript import EVERY_TOOL, Transcript

#: Characters of a command where a permission is told in words; its hash stands for the rest.
_MAX_QUOTED = 400


def check_tools(names: Sequence[str], engine: Engine) -> None:
    """A misspelt name would leave a person waiting for what they thought was permitted.

    Raises InvalidRequest.
    """
    known = engine.tools.keys() | SEED_TOOLS
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InvalidRequest(
            f"auto_approve_tools: there is no tool {unknown[0]!r}.",
            hint=f"The tools are {', '.join(sorted(engine.tools))}.",
        )


def notice(transcript: Transcript, engine: Engine) -> str:
    """What of the workstream's permissions does not hold on this machine, or nothing."""
    tools = {grant.tool for grant in transcript.granted} | engine.auto_approve_tools
    auto = transcript.auto_approve or engine.auto_approve
    workspace = Path(transcript.created.workspace or engine.workspace)
    return notice_of(auto, tools, engine, workspace)


def notice_of(auto_approve: bool, tools: Iterable[str], engine: Engine, workspace: Path) -> str:
    """What of these permissions does not hold on this machine in a workspace, or nothing."""
    repository = has_repository(workspace)
    level = engine.confinement.level
    return policy.unhonoured(auto_approve, frozenset(tools), level, repository=repository)


def notice_of_node(engine: Engine) -> str:
    """What of the node's own permissions does not hold in its workspace, or nothing."""
    return notice_of(engine.auto_approve, engine.auto_approve_tools, engine, engine.workspace)


def has_repository(workspace: Path) -> bool:
    """Whether it holds a repository of git, whose hooks and settings start programs later."""
    return os.path.lexists(workspace / ".git")


def in_words(grants: Iterable[ev.Grant], engine: Engine, workspace: Path) -> str:
    """Exactly what these permit, on one line; empty for nothing."""
    return " and ".join(_in_words(grant, engine, workspace) for grant in grants)


def _in_words(grant: ev.Grant, engine: Engine, workspace: Path) -> str:
    if grant == EVERY_TOOL:
        return f"every tool inside {workspace}, where commands are confined"
    if grant.command:
        place = f" in {grant.path}" if grant.path else ""
        confined = f", confined at {grant.confined}" if grant.confined else ""
        return f"{grant.tool} for exactly {_command_in_words(grant.command)}{place}{confined}"
    if grant.path:
        return f"{grant.tool} of {grant.path}"
    tool = engine.tools.get(grant.tool)
    if tool is not None and takes_path(tool.spec):
        return f"{grant.tool} inside {workspace}"
    return f"every call of {grant.tool}"


def _command_in_words(command: str) -> str:
    """The command on one line, every other character than printable ASCII by its code."""
    quoted = ascii(command)
    if len(quoted) <= _MAX_QUOTED:
        return quoted
    digest = hashlib.sha256(command.encode()).hexdigest()
    return f"{quoted[:_MAX_QUOTED]} … ({len(command):,} characters, SHA-256 {digest})"


def question_hash(items: Iterable[ev.ToolItem]) -> str:
    """What an answer is bound to: the hash of the one call asked, or one over those of several."""
    hashes = [item.args_hash for item in items if item.needs_approval]
    if len(hashes) == 1:
        return hashes[0]
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def view(ws_id: str, transcript: Transcript, engine: Engine, workspace: Path) -> PolicyView:
    """All that decides what runs unasked in this workstream (`Host.policy`)."""
    grants = sorted(transcript.granted, key=msgspec.structs.astuple)
    if transcript.auto_approve:
        grants.insert(0, EVERY_TOOL)
    return PolicyView(
        ws_id=ws_id,
        allow=[rule.text for rule in engine.rules.allow],
        ask=[rule.text for rule in engine.rules.ask],
        deny=[rule.text for rule in engine.rules.deny],
        unasked=sorted(
            name
            for name, tool in engine.tools.items()
            if tool.spec.auto_approve or name in transcript.created.unasked
        ),
        auto_approve=engine.auto_approve,
        auto_approve_tools=sorted(engine.auto_approve_tools),
        grants=[
            Granted(
                tool=grant.tool,
                path=grant.path,
                command=grant.command,
                confined=grant.confined,
                text=_in_words(grant, engine, workspace),
            )
            for grant in grants
        ],
        notice=notice(transcript, engine),
    )
