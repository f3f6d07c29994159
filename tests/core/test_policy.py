"""The policy, as a table: what runs unasked, and what is asked whatever was permitted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from turnstone.core.policy import Grants, decide, unhonoured
from turnstone.core.sandbox import Level
from turnstone.core.tool import PathUse, Prepared, ToolSpec

NOBODY = Grants()
ALL = Grants(auto_approve=True)
BASH = Grants(tools={"bash"})
WRITE = Grants(tools={"write_file"})
BOTH = Grants(auto_approve=True, tools={"bash", "write_file", "read_file"})


def prepared(tool: str, *, inside: bool = True) -> tuple[Prepared, ToolSpec]:
    spec = ToolSpec(
        name=tool, description="", parameters={}, auto_approve=tool in ("read_file", "search")
    )
    parts: dict[str, Any] = {"commands": ("ls",)} if tool == "bash" else {}
    if tool != "bash":
        parts["paths"] = (PathUse(Path("/somewhere"), "read", inside),)
    call = Prepared(tool=tool, arguments={}, effect="effect", header=tool, **parts)
    return call, spec


@pytest.mark.parametrize(
    ("tool", "inside", "grants", "level", "verdict"),
    [
        ("read_file", True, NOBODY, Level.L0, "allow"),
        ("read_file", False, NOBODY, Level.L3, "ask"),
        ("read_file", False, BOTH, Level.L3, "ask"),
        ("search", True, NOBODY, Level.L3, "allow"),
        ("write_file", True, NOBODY, Level.L3, "ask"),
        ("write_file", True, WRITE, Level.L0, "allow"),
        ("write_file", False, WRITE, Level.L3, "ask"),
        ("write_file", True, ALL, Level.L3, "allow"),
        ("write_file", True, ALL, Level.L2, "allow"),
        ("write_file", True, ALL, Level.L0, "ask"),
        ("write_file", False, ALL, Level.L3, "ask"),
        ("bash", True, NOBODY, Level.L3, "ask"),
        ("bash", True, BASH, Level.L3, "allow"),
        ("bash", True, BASH, Level.L2, "allow"),
        ("bash", True, BASH, Level.L0, "ask"),
        ("bash", True, ALL, Level.L3, "allow"),
        ("bash", True, ALL, Level.L0, "ask"),
        ("bash", True, BOTH, Level.L0, "ask"),
        ("bash", True, WRITE, Level.L3, "ask"),
    ],
)
def test_what_runs_unasked(
    tool: str, inside: bool, grants: Grants, level: Level, verdict: str
) -> None:
    ruling = decide(*prepared(tool, inside=inside), grants, level)

    assert ruling.verdict == verdict
    assert ruling.rule


@pytest.mark.parametrize(
    ("auto_approve", "tools", "level", "told"),
    [
        (True, set(), Level.L0, "Auto-approve is not honoured"),
        (True, {"bash"}, Level.L0, "Auto-approve is not honoured"),
        (False, {"bash", "write_file"}, Level.L0, "bash is not honoured"),
        (False, {"write_file"}, Level.L0, ""),
        (False, set(), Level.L0, ""),
        (True, {"bash"}, Level.L2, ""),
        (True, {"bash"}, Level.L3, ""),
    ],
)
def test_who_permits_what_does_not_hold_is_told(
    auto_approve: bool, tools: set[str], level: Level, told: str
) -> None:
    notice = unhonoured(auto_approve, tools, level)

    assert told in notice
    assert bool(notice) == bool(told)
