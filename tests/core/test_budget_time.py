"""The time of a budget: all who work out of it have it together, and each stops when it is over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from modelserver import Reply
from support.nodes import local_node
from support.teams import Touch, children, of_kind, team
from support.watching import ending, send, until
from turnstone.core import events as ev
from turnstone.core.budget import Ledger
from turnstone.core.host import CreateWorkstream, Host
from turnstone.tools.task import Task


def workers(body: dict[str, Any]) -> Reply:
    """What the team does, to whatever is left."""
    said = [m for m in body["messages"] if "[Left of the budget" not in str(m["content"])]
    return team({**body, "messages": said})


def looking() -> tuple[Touch, dict[str, Any]]:
    """A tool whose calls run until they are let go; and all tools."""
    touch = Touch("look", "pure", asked=False)
    return touch, {"look": touch, "task": Task()}


async def begun(host: Host, seconds: float) -> str:
    request = CreateWorkstream(auto_approve_tools=["task"], budget=ev.Budget(seconds=seconds))
    return (await host.create(request)).id


async def outcomes_below(node: Any, ws_id: str) -> list[str]:
    ends: list[ev.TurnEnded] = []
    for child in await children(node.host, ws_id):
        ends += of_kind(list(await node.host._store.records(child.id)), ev.TurnEnded)
    return [end.outcome for end in ends]


async def test_the_next_sub_agent_has_no_more_time_than_the_one_before_has_left(
    tmp_path: Path,
) -> None:
    touch, tools = looking()
    async with local_node(tmp_path, workers, tools=tools) as node:
        ws_id = await begun(node.host, 2.0)
        cid = await send(node.host, ws_id, "sub [look a]; sub [look b]; sub [look c]; say done")
        ended = await ending(node.host, ws_id, cid)
        usage = await node.host.usage(ws_id)

    assert ended.outcome == "over_budget"
    assert touch.log == [("began", "a"), ("stopped", "a")]
    assert usage.agents == 1
    assert usage.left.seconds is not None and usage.left.seconds <= 0.05


async def test_those_who_work_at_once_use_the_time_together(tmp_path: Path) -> None:
    _, tools = looking()
    async with local_node(tmp_path, workers, tools=tools) as node:
        ws_id = await begun(node.host, 4.0)
        every = " & ".join(f"sub [look {key}]" for key in "abcd")
        ended = await ending(node.host, ws_id, await send(node.host, ws_id, f"{every}; say done"))
        usage = await node.host.usage(ws_id)

    assert ended.outcome == "over_budget"
    assert usage.agents == 4
    assert 3.9 < usage.tree.seconds < 10  # and not four times the budget


async def test_the_work_of_a_sub_agent_that_was_cancelled_is_recorded_above(
    tmp_path: Path,
) -> None:
    touch, tools = looking()
    async with local_node(tmp_path, workers, tools=tools) as node:
        ws_id = await begun(node.host, 1000.0)
        cid = await send(node.host, ws_id, "sub [look a]; say done")
        await touch.runs("a")
        await node.host.cancel(ws_id)
        await ending(node.host, ws_id, cid)
        [child] = await children(node.host, ws_id)
        usage, below = await node.host.usage(ws_id), await node.host.usage(child.id)
        reserved = of_kind(list(await node.host._store.records(ws_id)), ev.BudgetReserved)

    told = reserved[-1]
    assert told.ended
    assert told.holder == child.id
    assert told.worked is not None and 0 < told.worked <= below.own.seconds + 0.001
    assert usage.left.seconds is not None
    assert usage.left.seconds <= 1000.0 - usage.own.seconds - told.worked + 0.5


async def test_a_budget_that_is_lowered_stops_the_turn_that_runs(tmp_path: Path) -> None:
    touch, tools = looking()
    async with local_node(tmp_path, workers, tools=tools) as node:
        ws_id = await begun(node.host, 1000.0)
        cid = await send(node.host, ws_id, "look a; say done")
        await touch.runs("a")
        await node.host.set_budget(ws_id, ev.Budget(seconds=0.2))
        ended = await ending(node.host, ws_id, cid)
    assert ended.outcome == "over_budget"


async def test_a_budget_that_is_set_stops_all_who_work_below(tmp_path: Path) -> None:
    touch, tools = looking()
    async with local_node(tmp_path, workers, tools=tools) as node:
        ws_id = await begun(node.host, 0.0)
        cid = await send(node.host, ws_id, "sub [look a] & sub [look b]; say done")
        await touch.runs("a", "b")
        await node.host.set_budget(ws_id, ev.Budget(seconds=0.4))
        ended = await ending(node.host, ws_id, cid)
        below = await outcomes_below(node, ws_id)
    assert ended.outcome == "over_budget"
    assert below == ["over_budget", "over_budget"]


async def test_a_budget_that_is_raised_lets_the_turn_go_on(tmp_path: Path) -> None:
    touch, tools = looking()
    async with local_node(tmp_path, workers, tools=tools) as node:
        ws_id = await begun(node.host, 2.0)
        cid = await send(node.host, ws_id, "look a; say done")
        await touch.runs("a")
        await node.host.set_budget(ws_id, ev.Budget(seconds=1000.0))
        later = await begun(node.host, 3.0)  # is over when the first would have been
        over = await ending(node.host, later, await send(node.host, later, "look b; say done"))
        touch.let_go("a")
        ended = await ending(node.host, ws_id, cid)
    assert (over.outcome, ended.outcome) == ("over_budget", "done")


async def test_a_sub_agent_that_goes_on_after_a_restart_knows_what_is_left(
    tmp_path: Path,
) -> None:
    touch, tools = looking()
    async with local_node(tmp_path, workers, tools=tools) as node:
        ws_id = await begun(node.host, 4.0)
        cid = await send(node.host, ws_id, "sub [look a]; say done")
        await touch.runs("a")
    touch, tools = looking()
    async with local_node(tmp_path, workers, tools=tools) as node:
        await touch.runs("a")
        ended, _ = await until(node.host, ws_id, ev.TurnEnded, cid)
        below = await outcomes_below(node, ws_id)
    assert ended.outcome == "over_budget"
    assert below == ["over_budget"]
    assert touch.log == [("began", "a"), ("stopped", "a")]


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 100), st.booleans()), max_size=60))
def test_of_those_below_that_are_over_nothing_but_the_sum_is_kept(
    told: list[tuple[int, float, bool]],
) -> None:
    """`told`: of whom, how much longer it has worked, whether it is over with that."""
    ledger = Ledger()
    ledger.apply(ev.BudgetSet(budget=ev.Budget(seconds=1e6)))
    worked, open_ = dict.fromkeys("0123456789", 0.0), set[str]()
    for number, more, over in told:
        holder = str(number)
        if holder not in open_:
            ledger.apply(ev.BudgetReserved(reservation="b", holder=holder, worked=worked[holder]))
        open_.add(holder)
        worked[holder] += more
        end = ev.BudgetReserved(reservation="e", holder=holder, worked=worked[holder], ended=over)
        ledger.apply(end)
        if over:
            open_.discard(holder)
    assert set(ledger.below) == open_
    left = ledger.left().seconds
    assert left is not None and abs(left - (1e6 - sum(worked.values()))) < 1e-6


def test_where_no_time_is_limited_nothing_is_kept_of_those_below() -> None:
    ledger = Ledger()
    ledger.apply(ev.BudgetSet(budget=ev.Budget(tokens=1000)))
    for n in range(10):
        ledger.apply(ev.BudgetReserved(reservation=f"{n}", holder=f"{n}", tokens=5, worked=1.0))
        ledger.apply(ev.BudgetSettled(reservation=f"{n}", tokens=5, worked=2.0))
    assert ledger.below == {}
    assert ledger.left() == ev.Left(tokens=950)
