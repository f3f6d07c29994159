"""The tools that start sub-agents: what is shown of a call, and what its end is told as."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from turnstone.core.errors import ToolRefused
from turnstone.core.events import Outcome, PlanAnswered, PlanAsked
from turnstone.core.sub_agents import AgentEnd, AgentKind, AgentOrder, Inherited, Offer
from turnstone.core.tool import Tool, ToolContext
from turnstone.tools.agent_call import told
from turnstone.tools.plan import Plan
from turnstone.tools.task import Task


@dataclass
class OneAgent:
    """Sub-agents that all end so."""

    end: AgentEnd
    offered: Offer | None
    session_id: str = "0123456789ab"

    def offer(self, agent: AgentKind) -> Offer | None:
        return self.offered

    def earlier_plan(self) -> str:
        return ""

    async def run(self, order: AgentOrder, call_id: str) -> AgentEnd:
        return self.end

    def asked(self, call_id: str) -> PlanAsked | None:
        return None

    async def review(self, plan: str, path: str, call_id: str) -> PlanAnswered:
        return PlanAnswered(feedback=f"{plan} in {path or 'no file'}")

    async def stop(self, call_id: str) -> None: ...

    def inherited(self) -> Inherited:
        return Inherited()

    def passed_on(self) -> Inherited:
        return Inherited()

    def reviewed(self, answer: PlanAnswered) -> None: ...

    def carries(self, call_id: str) -> bool:
        return True


OFFER = Offer(("bash", "look"), ("look",))


def placed(folder: Path, offer: Offer | None = OFFER, text: str = "the plan") -> ToolContext:
    agents: Any = OneAgent(AgentEnd("done", text), offer)
    return ToolContext("ws", folder.resolve(), 5.0, 1000, call_id="c1", agents=agents)


@pytest.mark.parametrize("tool", [Task(), Plan()], ids=["task", "plan"])
async def test_the_question_says_what_runs_unasked_and_an_answer_holds_for_that(
    tool: Tool, tmp_path: Path
) -> None:
    one = await tool.prepare({"prompt": "do it"}, placed(tmp_path))
    wider = Offer(OFFER.tools, OFFER.tools)
    other = await tool.prepare({"prompt": "do it"}, placed(tmp_path, wider))

    assert "works with: bash, look\nruns without asking: look" in one.preview
    assert one.effect == "agent"
    assert one.hash != other.hash


@pytest.mark.parametrize("tool", [Task(), Plan()], ids=["task", "plan"])
async def test_a_call_without_a_prompt_or_where_none_may_be_started_is_refused(
    tool: Tool, tmp_path: Path
) -> None:
    context = placed(tmp_path)
    with pytest.raises(ToolRefused, match="prompt"):
        await tool.prepare({"prompt": "  "}, context)
    with pytest.raises(ToolRefused, match="agent_depth"):
        await tool.prepare({"prompt": "do it"}, placed(tmp_path, None))
    with pytest.raises(ToolRefused, match="no sub-agents"):
        await tool.prepare({"prompt": "do it"}, replace(context, agents=None))


@pytest.mark.parametrize(
    ("outcome", "text", "status", "words"),
    [
        ("done", "the answer", "ok", "the answer"),
        ("max_steps", "so far", "ok", "so far"),
        ("max_steps", "", "error", "without an answer (max_steps: a reason)"),
        ("failed", "half of it", "error", "The last it said was:\nhalf of it"),
        ("over_budget", "", "error", "without an answer (over_budget: a reason)"),
        ("cancelled", "", "cancelled", "The sub-agent was stopped: a reason."),
    ],
)
def test_each_end_of_a_sub_agent_is_told_as_what_it_is(
    outcome: Outcome, text: str, status: str, words: str
) -> None:
    result = told(AgentEnd(outcome, text, "a reason", ("fetch: x",)))
    assert result.status == status
    assert words in result.output
    assert result.tainted == ("fetch: x",)


async def test_a_plan_that_cannot_be_written_is_reviewed_all_the_same(tmp_path: Path) -> None:
    context, tool = placed(tmp_path), Plan()
    prepared = await tool.prepare({"prompt": "do it"}, context)
    for use in prepared.paths:
        use.path.mkdir()
    result = await tool.run(prepared, context, lambda _: None)

    assert result.status == "ok"
    own = prepared.paths[-1].path.name
    assert f"It could not be written to {own}: it is a directory." in result.output
    assert "the plan in no file" in result.output
