"""The numbers of docs/security.md are those of the tables of attacks."""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest


def table(module: str, name: str) -> Sequence[Any]:
    found: Sequence[Any] = getattr(importlib.import_module(module), name)
    return found


def rows(module: str, test: str) -> Sequence[Any]:
    """What a test is run with."""
    [mark] = [
        mark
        for mark in getattr(importlib.import_module(module), test).pytestmark
        if mark.name == "parametrize"
    ]
    found: Sequence[Any] = mark.args[1]
    return found


def counted() -> dict[str, int]:
    """By the first column of the page."""
    escapes = table("sandbox.test_escapes", "ATTACKS")
    web = {
        name: len(table("support.web_attacks", name))
        for name in ("ADDRESSES", "WAYS", "SPELLINGS", "TRICKS", "BAD_REDIRECTS")
    }
    paths = ("ESCAPES", "THINGS", "NO_PATHS", "SECRETS")
    outside = "test_no_command_makes_the_next_one_start_outside"
    return {
        "a command breaks out of the sandbox, at L3": len(escapes),
        "the same at L2": sum(attack.l2 for attack in escapes),
        "a command passes rules that permit others": len(
            table("support.command_attacks", "ATTACKS")
        ),
        "a command hides from rules that forbid": sum(
            match != "NO"
            for _, _, match in rows("core.test_commands_forbidden", "test_what_a_pattern_is_about")
        ),
        "an option, a setting, a variable or what is read makes a program run another": len(
            table("support.option_attacks", "OPTION_ATTACKS")
        ),
        "a file tool writes what other programs start later, with a broad permission": len(
            table("tools.test_planting", "STARTERS")
        ),
        "a command names such a file, to write it": len(table("tools.test_planting", "PLANTING")),
        "a command looks like another in the question": len(table("tools.test_display", "ATTACKS")),
        "a command makes the next one start outside": len(rows("tools.test_bash_folder", outside)),
        "a path leads a file tool out, or to what is no file": sum(
            len(table("tools.path_attacks", name)) for name in paths
        ),
        "a calculation reads, writes, connects, kills, or takes without end": len(
            table("tools.math_attacks", "ATTACKS")
        ),
        "a power that the Python of the sandbox would have had left": len(
            table("tools.test_math_attacks", "POWERS")
        ),
        "a fetch reaches a forbidden address, by each way to it": web["ADDRESSES"] * web["WAYS"],
        "a URL is spelled so that it leads inside": web["SPELLINGS"] + web["TRICKS"],
        "a redirect leads inside": web["BAD_REDIRECTS"],
    }


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "docs" / "security.md").read_text(encoding="utf-8")


def test_each_number_of_attacks_is_that_of_its_table(page: str, root: Path) -> None:
    told = re.findall(r"^\| ([^|]+) \| (\d+) \| `([^`|]+)` \| [^|]+ \|$", page, re.MULTILINE)

    assert {name: int(number) for name, number, _ in told} == counted()
    for _, _, file in told:
        assert (root / file).is_file()


def test_the_numbers_beside_the_table_are_true(page: str) -> None:
    words = page.replace("\n", " ")
    rules, innocent = (table("support.command_attacks", name) for name in ("RULES", "INNOCENT"))
    escapes = table("sandbox.test_escapes", "ATTACKS")

    assert f"{len(rules)} rules that permit, and {len(innocent)} innocent commands" in words
    free = table("support.option_attacks", "INNOCENT_OPTIONS")
    assert f"{len(free)} that no rule about another program may stop" in words
    assert f"{len(table('tools.edit_cases', 'CASES'))} edits, each" in words
    assert sum(not attack.l2 for attack in escapes) == 8
    assert "The eight that L2 does not hold" in words
