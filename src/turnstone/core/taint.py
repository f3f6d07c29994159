"""What a workstream may still do unasked once it has read something from outside. Pure.

Whoever can put text before the model can tell it what to do; so of private data, untrusted
text and a way out, the way out is taken: whatever can carry data away, or make others read
the text, is asked then, whatever was permitted. Only a person's answer to the exact call
lets it pass; a rule or a grant does not.

A known limit: it is a conversation that is marked, not what it writes. Another one in the same
workspace that reads a file which a marked one has written is not marked by that. Conversations
that must not be reached by what others read need workspaces of their own. Why it is so: decision 0038.
"""

from __future__ import annotations

from turnstone.core.policy import Ruling
from turnstone.core.policy_rules import Parts
from turnstone.core.sandbox import Level
from turnstone.core.tool import Prepared, ToolSpec

#: Tools whose effects others read later: other conversations, other people.
_REMEMBERED = frozenset({"remember"})

_WHY = "this conversation has read from outside ({source}), and {what}"


def source(prepared: Prepared, spec: ToolSpec, workspace: Parts) -> str:
    """How the result of this call marks a workstream: what it read from outside, in words.

    Empty for a call that reads nothing from there. A file in the workspace is none from outside,
    even where it is asked about since it may hold secrets.
    """
    if spec.untrusted:
        return prepared.header.partition("\n")[0]
    if prepared.network and (prepared.commands or prepared.tends):
        return f"{prepared.tool} with network"
    read = (use.path for use in prepared.paths if use.access == "read" and not use.inside)
    outside = next((path for path in read if path.parts[: len(workspace)] != workspace), None)
    return f"{prepared.tool} of {outside}" if outside is not None else ""


def held_back(
    ruling: Ruling, prepared: Prepared, spec: ToolSpec, tainted: str, level: Level
) -> Ruling:
    """The ruling for a workstream that has read `tainted`; empty: it has read nothing.

    What was denied stays denied and what is asked stays asked.
    """
    if not tainted or ruling.verdict != "allow":
        return ruling
    what = _way_out(prepared, spec, level)
    if not what:
        return ruling
    return Ruling("ask", _WHY.format(source=tainted, what=what))


def _way_out(prepared: Prepared, spec: ToolSpec, level: Level) -> str:
    """How data could leave by this call; empty if it cannot."""
    if prepared.tends:
        return ""  # what runs was asked about when it was started, and is told nothing new
    if prepared.tool in _REMEMBERED:
        return "what it remembers is read by other conversations"
    if prepared.commands:
        if prepared.network:
            return "a command with network can carry data out"
        if level < Level.L3:
            return "a command is not confined enough here to keep data in"
        return ""
    if prepared.network or spec.untrusted:
        return f"{prepared.tool} can carry data out in what it asks for"
    if any(use.access == "write" and not use.inside for use in prepared.paths):
        return "it writes outside the workspace"
    if prepared.effect == "effect":
        return f"nobody can say what {prepared.tool} does with data"
    return ""
