"""Budgets: what is used never passes them by more than one request may turn out dearer."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelserver import Reply, call, calls, text
from support.nodes import local_node
from support.watching import ending, send
from turnstone.core import events as ev
from turnstone.core.budget import Cost, Ledger, Left, Price, answer_within
from turnstone.core.clock import SystemClock
from turnstone.core.host import CreateWorkstream
from turnstone.core.journal import Journal
from turnstone.core.pocket import Pocket
from turnstone.core.purse import OverBudget, Purse
from turnstone.core.store import SqliteStore, WorkstreamRow
from turnstone.core.transcript import Transcript

costs = st.builds(
    Cost, tokens=st.integers(0, 400), money=st.floats(0, 2), tool_calls=st.integers(0, 2)
)
budgets = st.builds(
    ev.Budget,
    tokens=st.sampled_from([0, 500, 1000]),
    money=st.sampled_from([0.0, 3.0]),
    tool_calls=st.sampled_from([0, 4]),
)


class Tree:
    """Ledgers of workstreams, each below another; a request is one reservation in each of them
    on the way up. What a driver, a crash and a provider do to them, without either."""

    def __init__(self, parents: Sequence[int], limits: Sequence[ev.Budget]) -> None:
        self.above = parents  # of workstream n + 1: the number of the one above it
        self.ledgers = [Ledger() for _ in range(len(parents) + 1)]
        for ledger, budget in zip(self.ledgers, limits, strict=False):
            ledger.apply(ev.BudgetSet(budget=budget))
        self.used = [Cost()] * len(self.ledgers)  # what was truly used, at and below each
        self.flying: list[tuple[str, list[int], Cost]] = []
        self._count = 0

    def way_up(self, number: int) -> list[int]:
        way = [number]
        while way[-1]:
            way.append(self.above[way[-1] - 1])
        return way

    def ask(self, number: int, cost: Cost) -> bool:
        self._count += 1
        name = f"r{self._count}"
        taken: list[int] = []
        for one in self.way_up(number):
            ledger = self.ledgers[one]
            if not ledger.concerns(cost):
                continue
            if not ledger.fits(cost):
                for done in taken:
                    self.ledgers[done].apply(ev.BudgetSettled(reservation=name))
                return False
            ledger.apply(
                ev.BudgetReserved(
                    reservation=name,
                    tokens=cost.tokens,
                    money=cost.money,
                    tool_calls=cost.tool_calls,
                )
            )
            taken.append(one)
        self.flying.append((name, self.way_up(number), cost))
        return True

    def answered(self, at: int, share: float) -> None:
        """A request came back, and used this share of what was set aside; then it is settled."""
        name, way, cost = self.flying.pop(at)
        used = Cost(int(cost.tokens * share), cost.money * share, cost.tool_calls)
        for one in way:
            self.used[one] += used
            settled = ev.BudgetSettled(
                reservation=name,
                tokens=used.tokens,
                money=used.money,
                tool_calls=used.tool_calls,
            )
            self.ledgers[one].apply(settled)

    def crash(self) -> None:
        """What was in flight was used in full, and nobody can settle it."""
        for _, way, cost in self.flying:
            for one in way:
                self.used[one] += cost
        self.flying.clear()


@given(
    st.lists(st.integers(0, 3), max_size=6),
    st.lists(budgets, min_size=7, max_size=7),
    st.lists(st.tuples(st.integers(0, 6), costs, st.sampled_from("aaabbc"), st.floats(0, 1))),
)
def test_no_budget_of_a_tree_is_ever_passed_whatever_crashes(
    parents: list[int], limits: list[ev.Budget], steps: list[tuple[int, Cost, str, float]]
) -> None:
    tree = Tree([min(parent, n) for n, parent in enumerate(parents)], limits)
    for number, cost, what, share in steps:
        if what == "a":
            tree.ask(number % len(tree.ledgers), cost)
        elif what == "b" and tree.flying:
            tree.answered(number % len(tree.flying), share)
        else:
            tree.crash()
        for ledger, used in zip(tree.ledgers, tree.used, strict=True):
            budget = ledger.budget
            assert not budget.tokens or used.tokens <= budget.tokens
            assert not budget.money or used.money <= budget.money + 1e-9
            assert not budget.tool_calls or used.tool_calls <= budget.tool_calls


def test_what_a_crash_kept_from_being_settled_counts_as_spent() -> None:
    ledger = Ledger()
    ledger.apply(ev.BudgetSet(budget=ev.Budget(tokens=1000)))
    ledger.apply(ev.BudgetReserved(reservation="r1", tokens=700))
    assert ledger.left().tokens == 300
    assert not ledger.fits(Cost(tokens=301))
    ledger.apply(ev.BudgetSettled(reservation="r1", tokens=200))
    assert ledger.left().tokens == 800


def test_time_counts_from_when_the_budget_was_set() -> None:
    ledger = Ledger()
    ledger.apply(ev.BudgetSet(budget=ev.Budget(seconds=60)), worked=100.0)
    assert ledger.left(worked=130.0).seconds == 30
    assert not ledger.fits(Cost(tokens=1), worked=160.0)


def test_the_work_of_all_below_is_added_up_from_where_it_was_when_the_budget_was_set() -> None:
    ledger = Ledger()
    ledger.apply(ev.BudgetSet(budget=ev.Budget(seconds=60)), worked=10.0)
    for holder, worked in (("a", 100.0), ("b", 0.0), ("a", 120.0)):
        ledger.apply(ev.BudgetReserved(reservation=holder, holder=holder, tokens=1, worked=worked))
    ledger.apply(ev.BudgetSettled(reservation="b", worked=15.0))
    assert ledger.left(worked=15.0).seconds == 60 - 5 - 20 - 15


@given(
    st.one_of(st.none(), st.integers(-100, 100_000)),
    st.one_of(st.none(), st.floats(-1, 100)),
    st.floats(0, 50_000),
    st.integers(0, 40_000),
)
def test_an_answer_is_held_to_what_its_prompt_leaves(
    tokens: int | None, money: float | None, estimate: float, most: int
) -> None:
    price = Price(prompt=3.0, completion=15.0)
    held = answer_within(Left(tokens=tokens, money=money), estimate, most, 256, price)
    assert not most or held <= most
    if tokens is None and money is None:
        assert held == most
    elif not most or held < most:
        rest_tokens = tokens - estimate if tokens is not None else math.inf
        rest_money = (money - price.of(estimate, 0)) / 15e-6 if money is not None else math.inf
        assert held >= min(256, most or 256)
        assert held == 256 or held <= min(rest_tokens, rest_money) + 1


def test_each_threshold_is_crossed_once() -> None:
    ledger = Ledger()
    ledger.apply(ev.BudgetSet(budget=ev.Budget(tokens=1000)))
    told, seen = 1.0, []
    for n in range(20):
        ledger.apply(ev.BudgetReserved(reservation=str(n), tokens=48))
        now = ledger.crossed(told)
        if now < told:
            seen.append(now)
        told = now
    assert seen == [0.5, 0.25, 0.1, 0.05]


def test_a_price_is_per_million_tokens() -> None:
    assert Price(prompt=2.0, completion=8.0).of(500_000, 250_000) == 3.0


def test_what_is_left_is_the_least_of_all_that_hold() -> None:
    assert Left(tokens=5).least(Left(tokens=3, tool_calls=2)) == Left(tokens=3, tool_calls=2)
    assert Left(tokens=1, seconds=1.2, tool_calls=1).in_words() == (
        "1 token, 1 second of work, 1 tool call"
    )
    assert Left(tokens=1200, tool_calls=-1).in_words() == "1,200 tokens, 0 tool calls"


def _numbered(name: str) -> Callable[[], str]:
    count = iter(range(10_000))
    return lambda: f"{name}-{next(count)}"


@asynccontextmanager
async def purses(folder: Path, agents: int, budget: ev.Budget) -> AsyncIterator[list[Purse]]:
    """Purses of agents below one workstream that has a budget, on a real store."""
    store = await SqliteStore.open(folder / "store.db")
    journals: list[Journal] = []
    for n in range(agents + 1):
        row = WorkstreamRow(ws_id=f"{n:08x}", session_id="s", created=1.0, owner="n1", epoch=1)
        first = await store.create(row, ev.WsCreated(name=f"ws {n}"))
        transcript = Transcript()
        transcript.apply(first)
        begun = msgspec.structs.replace(row, last_seq=1)
        journals.append(Journal(store, begun, transcript, SystemClock()))
    await journals[0].append(ev.BudgetSet(budget=budget))

    top = Purse(journals[0], _numbered("top"))

    @asynccontextmanager
    async def above() -> AsyncIterator[Sequence[Pocket]]:
        yield [top.pocket]

    made = []
    for n, journal in enumerate(journals[1:]):
        purse = Purse(journal, _numbered(str(n)))
        purse.above = above
        made.append(purse)
    try:
        yield made
    finally:
        await store.aclose()


async def test_of_ten_agents_that_ask_for_the_last_thousand_tokens_one_gets_them(
    tmp_path: Path,
) -> None:
    async with purses(tmp_path, 10, ev.Budget(tokens=1000)) as racing:
        asking = {asyncio.create_task(purse.reserve(Cost(tokens=1000))) for purse in racing}
        done, waiting = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        [got] = done
        assert len(waiting) == 9  # for what may come back of it
        await got.result().settle(Cost(tokens=400))
        told = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(one, OverBudget) for one in told)
        assert "ws 0 does not suffice" in str(told[0])
        assert (await racing[0].left()).tokens == 600


async def test_what_comes_back_of_one_request_is_there_for_those_who_wait(tmp_path: Path) -> None:
    async with purses(tmp_path, 2, ev.Budget(tokens=1000)) as (one, other):
        first = await one.reserve(Cost(tokens=900))
        waiting = asyncio.create_task(other.reserve(Cost(tokens=500)))
        room = asyncio.create_task(other.room(Cost(tokens=800)))
        await first.settle(Cost(tokens=100))
        second = await waiting
        assert (await one.left()).tokens == 400
        await second.settle(Cost(tokens=100))
        await room
        assert (await one.left()).tokens == 800


async def test_what_could_never_fit_is_refused_at_once(tmp_path: Path) -> None:
    async with purses(tmp_path, 2, ev.Budget(tokens=1000, tool_calls=1)) as (one, other):
        await one.reserve(Cost(tool_calls=1))
        held = await one.reserve(Cost(tokens=900))
        more = r"Needed: 1,001 tokens. Left: 100 tokens, 0 tool calls. A person gives more with /b"
        with pytest.raises(OverBudget, match=more):
            await other.reserve(Cost(tokens=1001))
        with pytest.raises(OverBudget, match="Needed: 1 tool call. Left"):
            await other.reserve(Cost(tool_calls=1))
        await held.settle(Cost())


async def test_whoever_is_cancelled_while_it_asks_keeps_nothing(tmp_path: Path) -> None:
    async with purses(tmp_path, 8, ev.Budget(tokens=1000)) as racing:
        for steps in range(40):  # at another point each time
            asking = [asyncio.create_task(p.reserve(Cost(tokens=100))) for p in racing]
            for _ in range(steps):
                await asyncio.sleep(0)
            for task in asking:
                task.cancel()
            for told in await asyncio.gather(*asking, return_exceptions=True):
                if not isinstance(told, BaseException):
                    await told.settle(Cost())
        assert (await racing[0].left()).tokens == 1000


async def test_a_new_budget_is_told_to_the_model_and_forgets_what_was_before(
    tmp_path: Path,
) -> None:
    async with purses(tmp_path, 1, ev.Budget(tokens=1000)) as (purse,):
        assert await purse.note() == "1,000 tokens"
        await purse.reserve(Cost(tokens=950))
        assert await purse.note() == "50 tokens"
        assert await purse.note() == ""
        async with purse.above() as (top,):
            await top.journal.append(ev.BudgetSet(budget=ev.Budget(tokens=1000)))
        assert await purse.note() == "1,000 tokens"


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_agents_that_race_never_use_more_than_there_is(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    used = 0

    async def work(purse: Purse) -> None:
        nonlocal used
        for _ in range(8):
            asked = chance.randrange(50, 400)
            try:
                reservation = await purse.reserve(Cost(tokens=asked))
            except OverBudget:
                continue
            await asyncio.sleep(0)
            cost = chance.randrange(asked + 1)
            used += cost
            await reservation.settle(Cost(tokens=cost))

    async with purses(tmp_path, 6, ev.Budget(tokens=3000)) as racing:
        await asyncio.gather(*map(work, racing))
        left = await racing[0].left()
    assert 0 <= used <= 3000
    assert left.tokens == 3000 - used


USED = {"prompt_tokens": 400, "completion_tokens": 100, "total_tokens": 500}


def for_ever(body: dict[str, Any]) -> Reply:
    return calls(call("read_file", path="notes.txt"), usage=USED)


def returned(body: dict[str, Any]) -> list[str]:
    """The results of all tool calls of a request."""
    return [m["content"] for m in body["messages"] if m["role"] == "tool"]


async def budgeted(folder: Path, plan: Any, budget: ev.Budget, **engine: Any) -> Any:
    """How a turn ends in a workstream with this budget; its records, and what was asked."""
    (folder / "workspace").mkdir()
    (folder / "workspace/notes.txt").write_text("a line\n")
    async with local_node(folder, plan, **engine) as node:
        ws = await node.host.create(CreateWorkstream(budget=budget))
        await send(node.host, ws.id, "go", "c1")
        ended = await ending(node.host, ws.id, "c1")
        return ended, await node.host._store.records(ws.id), node.model.requests


async def test_a_turn_ends_when_the_next_request_could_pass_the_budget(tmp_path: Path) -> None:
    ended, records, requests = await budgeted(
        tmp_path, for_ever, ev.Budget(tokens=6000), params={"max_tokens": 2000}
    )
    assert ended.outcome == "over_budget"
    assert "does not suffice" in ended.reason
    assert ended.usage.total_tokens <= 6000
    assert len(requests) > 5
    assert requests[-1]["max_tokens"] < 2000  # the last ones were held to what was left
    settled = [r for r in records if isinstance(r, ev.BudgetSettled)]
    assert len(settled) == len([r for r in records if isinstance(r, ev.BudgetReserved)])


async def test_the_model_is_told_what_is_left_and_the_next_steps_begin_with_it(
    tmp_path: Path,
) -> None:
    ended, records, requests = await budgeted(
        tmp_path, for_ever, ev.Budget(tokens=20_000), params={"max_tokens": 500}
    )
    assert ended.outcome == "over_budget"
    notes = [note for r in records if isinstance(r, ev.StepStarted) for note in r.notes]
    assert 4 <= len(notes) <= 5
    last = [m["content"] for m in requests[-1]["messages"] if m["role"] == "user"]
    told = [one for one in last if "Left of the budget" in one]
    assert told == notes[: len(told)]
    assert len(notes) - len(told) <= 1  # the last may come with a request that was not made


async def test_tool_calls_are_counted_and_the_model_may_still_answer(tmp_path: Path) -> None:
    def plan(body: dict[str, Any]) -> Reply:
        if len(returned(body)) < 5:
            return calls(call("read_file", path="notes.txt"))
        return text("could not read it all")

    ended, _, requests = await budgeted(tmp_path, plan, ev.Budget(tool_calls=3))
    assert ended.outcome == "done"
    assert ["Not run" in one for one in returned(requests[-1])] == [False, False, False, True, True]


async def test_money_is_counted_by_the_price_of_the_model(tmp_path: Path) -> None:
    ended, _, requests = await budgeted(
        tmp_path,
        for_ever,
        ev.Budget(money=0.01),
        params={"max_tokens": 100},
        price=Price(prompt=2.0, completion=8.0),
    )
    assert ended.outcome == "over_budget"
    used = len(requests) * (400 * 2.0 + 100 * 8.0) / 1e6
    assert 0 < used <= 0.01


async def test_where_no_budget_is_set_nothing_is_recorded(tmp_path: Path) -> None:
    _, records, _ = await budgeted(tmp_path, lambda body: text("hi"), ev.Budget())
    assert not [r for r in records if isinstance(r, ev.BudgetReserved | ev.BudgetSet)]
