"""Programs that others name in options, settings, variables, or what they read: never unasked."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from support import needs
from support.command_attacks import RULES, Attack, make_workspace
from support.command_calls import BASH, rules, verdict
from support.option_attacks import INNOCENT_OPTIONS, OPTION_ATTACKS
from turnstone.core.policy import Grants
from turnstone.core.policy_rules import Rules, parse
from turnstone.core.sandbox import Command, Level
from turnstone.sandbox import find_sandbox

FAMILIES = sorted({name.rpartition(" ")[0] for name in OPTION_ATTACKS})
EVERYTHING = Grants(auto_approve=True, tools={"bash"})


@pytest.mark.parametrize("attack", OPTION_ATTACKS.values(), ids=OPTION_ATTACKS)
def test_what_is_forbidden_is_not_run_by_another_program_unasked(attack: Attack) -> None:
    # `pwned` is made by touch, or by a script, of which nobody knows what it runs.
    assert verdict(attack.command, rules(), EVERYTHING) == "allow"
    assert verdict(attack.command, rules(deny="touch *"), EVERYTHING) != "allow"
    assert verdict(attack.command, rules(ask="touch *"), EVERYTHING) == "ask"


@pytest.mark.parametrize("attack", OPTION_ATTACKS.values(), ids=OPTION_ATTACKS)
def test_a_rule_for_the_program_with_any_arguments_permits_none_of_it(attack: Attack) -> None:
    [program] = re.findall(r"(?<![\w.])[a-z][\w+.-]+(?= )", attack.command)[:1]
    patterns = [*RULES, f"{program} *"]
    allowed = Rules(allow=tuple(parse(f"bash({text})", {"bash": BASH}, None) for text in patterns))

    assert verdict(attack.command, allowed) == "ask"


@pytest.mark.parametrize("command", INNOCENT_OPTIONS)
def test_what_runs_nothing_else_is_not_asked_for_a_rule_about_others(command: str) -> None:
    assert verdict(command, rules(deny="touch *"), EVERYTHING) == "allow"


@pytest.mark.parametrize("family", FAMILIES)
async def test_each_of_them_works_where_it_is_run(family: str, tmp_path: Path) -> None:
    """Without this, the tests above would prove nothing."""
    needs.require("git")
    sandbox = await find_sandbox()
    if sandbox.confinement.level < Level.L2:
        needs.give_up("commands that attack run only where they are confined")
    make_workspace(tmp_path / "template")
    failed = []
    for name, attack in OPTION_ATTACKS.items():
        if name.rpartition(" ")[0] != family or not attack.seen:
            continue
        if attack.needs and shutil.which(attack.needs) is None:
            continue
        workspace = tmp_path / name.replace(" ", "-")
        shutil.copytree(tmp_path / "template", workspace)
        result = await sandbox.run(Command(attack.command, workspace, 60.0), lambda _: None)
        if not (workspace / "pwned").exists():
            failed.append((attack.command, result.output[:300]))
    assert failed == []
