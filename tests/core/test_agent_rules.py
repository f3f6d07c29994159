"""What a sub-agent may: never more than the workstream above it, by any grants and rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from support.long_talk import Prints
from turnstone.core import agent_rules, taint
from turnstone.core import events as ev
from turnstone.core.erasure import parents_first
from turnstone.core.events import Grant
from turnstone.core.policy import Grants, decide
from turnstone.core.policy_rules import Rule, Rules, parse
from turnstone.core.sandbox import Level
from turnstone.core.store import WorkstreamRow
from turnstone.core.sub_agents import Inherited, Offer
from turnstone.core.tool import PathUse, Prepared, Tool, ToolSpec
from turnstone.core.transcript import Transcript

NAMES = ("bash", "look", "fetch")


def spec(name: str, **fields: Any) -> ToolSpec:
    return ToolSpec(name=name, description="", parameters={}, **fields)


SPECS = {
    "bash": spec("bash"),
    "look": spec("look", effect="pure", auto_approve=True, agent=True),
    "fetch": spec("fetch", effect="pure", agent_auto_approve=True, untrusted=True, agent=True),
}

paths = st.sampled_from(
    [
        (),
        (PathUse(Path("/w/in"), "read", inside=True),),
        (PathUse(Path("/w/in"), "write", inside=True),),
        (PathUse(Path("/etc/out"), "read", inside=False),),
    ]
)
names = st.sampled_from(NAMES)
grants = st.frozensets(st.builds(Grant, names, st.sampled_from(["", "/etc/out"])))
rules = st.builds(
    Rules,
    *(
        st.lists(names.map(lambda n: parse(n, SPECS, None)), max_size=2).map(tuple[Rule, ...])
        for _ in range(3)
    ),
)


@st.composite
def prepared(draw: st.DrawFn) -> Prepared:
    name = draw(names)
    commands = ("ls",) if name == "bash" else ()
    return Prepared(name, {}, SPECS[name].effect, name, paths=draw(paths), commands=commands)


def transcript_of(unasked: list[str], *, tainted: bool = False, agent: bool = True) -> Transcript:
    transcript = Transcript()
    transcript.apply(ev.WsCreated(agent="task" if agent else "", unasked=unasked))
    if tainted:
        transcript.apply(ev.Tainted(source="outside"))
    return transcript


@given(
    call=prepared(),
    own=grants,
    above=grants,
    auto=st.booleans(),
    unasked=st.lists(names, unique=True),
    tainted=st.booleans(),
    level=st.sampled_from(Level),
    given_rules=rules,
)
def test_what_runs_unasked_below_runs_unasked_above_or_was_said_to(
    call: Prepared,
    own: frozenset[Grant],
    above: frozenset[Grant],
    auto: bool,
    unasked: list[str],
    tainted: bool,
    level: Level,
    given_rules: Rules,
) -> None:
    """Of what a person has permitted above and in it, of a person's yes to what is said to run
    unasked, and of nothing else."""
    tool = SPECS[call.tool]
    below = transcript_of(unasked, tainted=tainted)
    inherited = Inherited(auto_approve=auto, granted=above)
    ruling = agent_rules.judge(call, tool, below, Grants(always=own), inherited, level, given_rules)
    at_most = decide(call, tool, Grants(auto, frozenset(), own | above), level, given_rules)
    if at_most.verdict == "deny":
        assert ruling.verdict == "deny"
    elif ruling.verdict == "allow" and at_most.verdict != "allow":
        assert call.tool in unasked
        assert not tainted
        assert all(use.inside for use in call.paths)
        assert not any(rule.touches(call) for rule in given_rules.ask)


@given(call=prepared(), own=grants, level=st.sampled_from(Level), given_rules=rules)
def test_without_anything_above_a_call_is_judged_as_it_always_was(
    call: Prepared, own: frozenset[Grant], level: Level, given_rules: Rules
) -> None:
    tool, mine = SPECS[call.tool], Grants(always=own)
    ruling = agent_rules.judge(
        call, tool, transcript_of([], agent=False), mine, Inherited(), level, given_rules
    )
    assert ruling == decide(call, tool, mine, level, given_rules)


def test_what_was_read_from_outside_above_takes_the_ways_out_below() -> None:
    call = Prepared("fetch", {}, "pure", "fetch")
    tool, below = SPECS["fetch"], transcript_of(["fetch"])
    for tainted, verdict in (((), "allow"), (("outside",), "ask")):
        inherited = Inherited(tainted=tainted)
        ruling = agent_rules.judge(call, tool, below, Grants(), inherited, Level.L3, Rules())
        read = tainted[0] if tainted else ""
        assert taint.held_back(ruling, call, tool, read, Level.L3).verdict == verdict


def called(call_id: str, prompt: str, result: str, status: str = "ok") -> list[ev.HistoryMessage]:
    made = ev.ToolCallRecord(call_id, "plan", f'{{"prompt": "{prompt}"}}')
    return [
        ev.HistoryMessage(role="assistant", content="", tool_calls=[made]),
        ev.HistoryMessage(role="tool", content=result, tool_call_id=call_id, status=status),
    ]


def test_the_earlier_plan_is_the_last_that_was_made() -> None:
    first, second = called("c1", "ask one", "plan one"), called("c1", "ask two", "plan two")
    failed = called("c3", "ask three", "no", "error")
    assert agent_rules.earlier_plan([]) == ""
    assert agent_rules.earlier_plan(failed) == ""
    assert agent_rules.earlier_plan([*first, *second, *failed]) == "ask two\n\nplan two"


def test_a_later_call_of_another_tool_under_the_id_of_a_plan_is_no_plan() -> None:
    made = called("c1", "ask one", "plan one")
    asked = ev.ToolCallRecord("c1", "bash", "{}")
    other = [
        ev.HistoryMessage(role="assistant", content="", tool_calls=[asked]),
        ev.HistoryMessage(role="tool", content="a list", tool_call_id="c1", status="ok"),
    ]
    assert agent_rules.earlier_plan([*made, *other]) == "ask one\n\nplan one"


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(-1, 30)), unique_by=lambda pair: pair[0]))
def test_rows_are_sorted_with_each_sub_agent_behind_the_one_above_it(
    pairs: list[tuple[int, int]],
) -> None:
    rows = [
        WorkstreamRow(
            ws_id=str(one),
            session_id="",
            created=0,
            owner="",
            epoch=1,
            summary={"parent": str(above)} if 0 <= above < one else {},
        )
        for one, above in pairs
    ]
    found = [row.ws_id for row in parents_first(rows)]
    assert sorted(found) == sorted(row.ws_id for row in rows)
    for row in rows:
        parent = row.summary.get("parent")
        if parent in found:
            assert found.index(parent) < found.index(row.ws_id)


def test_a_sub_agent_is_offered_no_tool_that_the_one_above_it_is_not() -> None:
    made: dict[str, Tool] = {}
    for one in (
        spec("read_file", agent=True, auto_approve=True),
        spec("bash", task_agent=True),
        spec("fetch", agent=True, agent_auto_approve=True),
        spec("task", effect="agent"),
        spec("plan", effect="agent"),
    ):
        made[one.name] = tool = Prints(one.name, "")
        tool.spec = one
    above = Transcript()
    above.apply(ev.WsCreated(agent="task", depth=1, parent="p", tools=["read_file", "task"]))

    assert agent_rules.offer(made, "task", above, 3) == Offer(("read_file", "task"), ("read_file",))
    assert agent_rules.offer(made, "task", above, 2) == Offer(("read_file",), ("read_file",))
    assert agent_rules.offer(made, "plan", above, 3) == Offer(("read_file",), ("read_file",))
    assert agent_rules.offer(made, "task", above, 1) is None
