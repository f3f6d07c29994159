"""Questions of sub-agents and plans at the terminal, and where there is none."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from modelserver.plans import tool_results
from support.nodes import local_node
from support.person import ENTER, at_terminal
from support.teams import Touch, team
from turnstone.cli.script import run_script
from turnstone.core.host import CreateWorkstream
from turnstone.core.model_setup import window_unknown
from turnstone.tools.plan import Plan
from turnstone.tools.task import Task

PERMITTED = CreateWorkstream(auto_approve_tools=["task", "plan"])


async def test_two_sub_agents_ask_and_both_are_answered_one_after_the_other(
    tmp_path: Path,
) -> None:
    touch = Touch()
    tools = {"task": Task(), "touch": touch}
    async with (
        local_node(tmp_path, team, tools=tools) as node,
        at_terminal(node.host, create=PERMITTED) as person,
    ):
        await person.says("sub [ask one; say 1] & sub [ask two; say 2]; say all done")
        for _ in range(2):
            await person.sees("from the sub-agent task: ask")
            await person.answers("y")
        await touch.runs("one", "two")
        touch.let_go("one")
        touch.let_go("two")
        await person.sees("all done")


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("", "The person accepted this plan."),
        ("n", "The person rejected this plan."),
        ("mind the gap", "heeded:\nmind the gap"),
    ],
)
async def test_a_plan_is_shown_whole_and_what_is_typed_is_said_of_it(
    tmp_path: Path, typed: str, told: str
) -> None:
    async with (
        local_node(tmp_path, team, tools={"plan": Plan()}) as node,
        at_terminal(node.host, create=PERMITTED) as person,
    ):
        await person.says("plan [say first this, then that]; say all done")
        await person.sees("a plan to be reviewed, in .plan.md")
        await person.sees("first this, then that")
        await person.sees("plan? ")
        person.types(typed + ENTER)
        await person.sees("all done")
        read = tool_results(node.model.requests[-1])[-1][1]

    assert told in read


@pytest.mark.parametrize("resume", [None, "nosuch"])
async def test_what_is_to_be_known_is_told_once_and_not_before_another_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], resume: str | None
) -> None:
    banner = f"warning: {window_unknown('--context-window')}"
    async with local_node(tmp_path, team) as node:
        await run_script(node.host, "say done", banner=banner, resume=resume)
    _, told = capsys.readouterr()

    assert told.count("context window unknown") == (1 if resume is None else 0)
    assert ("error: " in told) is (resume is not None)
    assert len(banner) <= 100


async def test_where_nobody_can_be_asked_a_plan_is_accepted_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))  # a script has no terminal
    async with local_node(tmp_path, team, tools={"plan": Plan()}) as node:
        prompt = "plan [say first this]; say all done"
        code = await run_script(node.host, prompt, create=PERMITTED)
        read = tool_results(node.model.requests[-1])[-1][1]
    out, told = capsys.readouterr()

    assert (code, out) == (0, "all done\n")
    assert "the plan is accepted" in told
    assert "Nobody reviewed this plan: it was taken as accepted" in read
    assert "The person" not in read
