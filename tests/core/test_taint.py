"""What a workstream that has read from outside may still do unasked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from turnstone.core import taint
from turnstone.core.policy import Ruling
from turnstone.core.sandbox import Level
from turnstone.core.tool import PathUse, Prepared, ToolSpec

WS = Path("/ws")
ALLOWED = Ruling("allow", "auto-approve")
SOURCE = "web_fetch: example.org"


def spec(name: str, **some: Any) -> ToolSpec:
    return ToolSpec(name=name, description="", parameters={}, **some)


def prepared(tool: str, effect: Any = "pure", **some: Any) -> Prepared:
    return Prepared(tool=tool, arguments={}, effect=effect, header=f"{tool}: x", **some)


def use(path: str, access: Any = "read", *, inside: bool = True) -> PathUse:
    return PathUse(Path(path), access, inside)


FREE = [
    (prepared("read_file", paths=(use("/ws/a"),)), spec("read_file")),
    (prepared("write_file", "idempotent", paths=(use("/ws/a", "write"),)), spec("write_file")),
    (prepared("bash", "effect", commands=("ls",)), spec("bash")),
    (prepared("recall"), spec("recall")),
    (prepared("bash", network=True, tends=True), spec("bash")),
    (prepared("bash", "effect", network=True, tends=True), spec("bash")),
]
HELD = [
    (prepared("web_fetch", "effect", network=True), spec("web_fetch", untrusted=True)),
    (prepared("web_search", "effect", network=True), spec("web_search", untrusted=True)),
    (prepared("remember", "idempotent"), spec("remember")),
    (prepared("bash", "effect", commands=("curl x",), network=True), spec("bash")),
    (
        prepared("write_file", "idempotent", paths=(use("/etc/x", "write", inside=False),)),
        spec("write_file"),
    ),
    (prepared("mcp_thing", "effect"), spec("mcp_thing", untrusted=True)),
    (prepared("anything", "effect"), spec("anything")),
]


@pytest.mark.parametrize(("call", "tool"), FREE + HELD, ids=lambda x: getattr(x, "tool", ""))
def test_nothing_is_held_back_where_nothing_was_read(call: Prepared, tool: ToolSpec) -> None:
    assert taint.held_back(ALLOWED, call, tool, "", Level.L3) == ALLOWED


@pytest.mark.parametrize(("call", "tool"), FREE, ids=lambda x: getattr(x, "tool", ""))
def test_what_stays_in_the_workspace_goes_on_unasked(call: Prepared, tool: ToolSpec) -> None:
    assert taint.held_back(ALLOWED, call, tool, SOURCE, Level.L3) == ALLOWED


@pytest.mark.parametrize(("call", "tool"), HELD, ids=lambda x: getattr(x, "tool", ""))
def test_what_can_carry_data_out_is_asked_and_the_reason_told(
    call: Prepared, tool: ToolSpec
) -> None:
    ruling = taint.held_back(ALLOWED, call, tool, SOURCE, Level.L3)
    assert ruling.verdict == "ask"
    assert SOURCE in ruling.rule
    assert not ruling.always  # no answer for later calls: each is looked at


@pytest.mark.parametrize("level", [Level.L0, Level.L2])
def test_a_command_that_is_not_kept_in_is_asked(level: Level) -> None:
    call, tool = FREE[2]
    assert taint.held_back(ALLOWED, call, tool, SOURCE, level).verdict == "ask"


@pytest.mark.parametrize("verdict", ["ask", "deny"])
def test_what_was_asked_or_denied_stays_so(verdict: Any) -> None:
    ruling = Ruling(verdict, "a rule")
    for call, tool in FREE + HELD:
        assert taint.held_back(ruling, call, tool, SOURCE, Level.L3) == ruling


@pytest.mark.parametrize(
    ("call", "tool", "marks"),
    [
        (*HELD[0], True),
        (*HELD[1], True),
        (*HELD[3], True),
        (prepared("read_file", paths=(use("/var/log/x", inside=False),)), spec("read_file"), True),
        (*FREE[0], False),
        (*FREE[2], False),
        (*FREE[3], False),
        (prepared("write_file", paths=(use("/x", "write", inside=False),)), spec("w"), False),
    ],
)
def test_what_reads_from_outside_marks(call: Prepared, tool: ToolSpec, marks: bool) -> None:
    assert bool(taint.source(call, tool, WS.parts)) is marks


def reads(*paths: PathUse) -> str:
    return taint.source(prepared("read_file", paths=paths), spec("read_file"), WS.parts)


def test_a_file_from_outside_marks_whatever_its_name_is() -> None:
    named = PathUse(Path("/mnt/share/.env-readme.md"), "read", False, sensitive=True)
    assert reads(named) == "read_file of /mnt/share/.env-readme.md"


def test_a_file_with_secrets_in_the_workspace_is_none_from_outside() -> None:
    assert not reads(PathUse(WS / ".env", "read", False, sensitive=True))


def test_what_is_read_marks_though_something_is_written_first() -> None:
    assert reads(use("/x", "write", inside=False), use("/y", inside=False)) == "read_file of /y"
