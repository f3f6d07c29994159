"""A call of `bash` as the policy is shown it, and rules about commands."""

from __future__ import annotations

from turnstone.core.policy import Grants, decide
from turnstone.core.policy_rules import Rules, parse
from turnstone.core.sandbox import Level
from turnstone.core.tool import Prepared, ToolSpec

BASH = ToolSpec(name="bash", description="", parameters={"properties": {"command": {}}})


def call_of(command: str) -> Prepared:
    return Prepared(
        tool="bash", arguments={"command": command}, effect="effect", header="", commands=(command,)
    )


def rules(**some: str) -> Rules:
    return Rules(
        **{key: (parse(f"bash({text})", {"bash": BASH}, None),) for key, text in some.items()}
    )


def verdict(command: str, found: Rules, grants: Grants = Grants()) -> str:  # noqa: B008 - frozen
    return decide(call_of(command), BASH, grants, Level.L3, found).verdict
