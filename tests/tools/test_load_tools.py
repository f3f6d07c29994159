"""Which tools there are, and what their JSON files promise."""

from __future__ import annotations

import pytest

from turnstone.sandbox import Unconfined
from turnstone.tools import load_tools

#: Name: required arguments, other arguments, effect, unasked, read-only agents, task agents.
TABLE = {
    "bash": (["command"], [], "effect", False, False, True),
    "read_file": (["path"], ["limit", "offset"], "pure", True, True, True),
    "search": (["query"], ["path"], "pure", True, True, True),
    "write_file": (["content", "path"], [], "idempotent", False, False, True),
}


def test_the_tools_come_in_alphabetical_order() -> None:
    assert list(load_tools(Unconfined())) == sorted(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_a_tool_keeps_the_promises_of_the_table(name: str) -> None:
    required, optional, effect, unasked, agent, task_agent = TABLE[name]
    spec = load_tools(Unconfined())[name].spec

    assert spec.name == name
    assert sorted(spec.parameters["required"]) == required
    assert sorted(spec.parameters["properties"]) == sorted([*required, *optional])
    assert (spec.effect, spec.auto_approve) == (effect, unasked)
    assert (spec.agent, spec.task_agent) == (agent, task_agent)
    assert spec.primary_key in required


@pytest.mark.parametrize("name", TABLE)
def test_nothing_of_ours_is_sent_to_the_model(name: str) -> None:
    function = load_tools(Unconfined())[name].spec.function()

    assert set(function["function"]) == {"name", "description", "parameters"}
    assert set(function["function"]["parameters"]) == {"type", "properties", "required"}
