"""Purses of whole trees, on a real store: whatever races, is cancelled or dies, nobody overspends."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from support.crashing.harness import size
from support.crashing.stores import KillingSqlite
from support.watching import PATIENCE
from turnstone.core import events as ev
from turnstone.core.budget import Cost
from turnstone.core.clock import SystemClock
from turnstone.core.journal import Journal, folded
from turnstone.core.pocket import Pocket
from turnstone.core.purse import Above, OverBudget, Purse, Reservation
from turnstone.core.store import SqliteStore, WorkstreamRow

TREES = {"default": 4, "ci": 4, "long": 150}

#: Processes that a tree outlives, the last of which ends well.
LIVES = 4

_ids = count()


class Tree:
    """Workstreams below one another, some with budgets. `used`: what was truly used at and below
    each, by all processes."""

    def __init__(self, folder: Path, parents: Sequence[int], budgets: Sequence[int]) -> None:
        self.folder = folder
        self.parents = parents  # of workstream n + 1
        self.budgets = budgets  # tokens; 0: none
        self.used = [0] * len(budgets)

    def way_up(self, number: int) -> list[int]:
        way = [number]
        while way[-1]:
            way.append(self.parents[way[-1] - 1])
        return way

    async def lay_out(self) -> None:
        store = await SqliteStore.open(self.folder / "store.db")
        for number, tokens in enumerate(self.budgets):
            row = WorkstreamRow(
                ws_id=f"{number:08x}", session_id="s", created=1.0, owner="n1", epoch=1
            )
            await store.create(row, ev.WsCreated(name="w", budget=ev.Budget(tokens=tokens)))
        await store.aclose()

    @asynccontextmanager
    async def life(self) -> AsyncIterator[tuple[KillingSqlite, list[Purse]]]:
        """A process that finds what the last one has recorded."""
        store = await KillingSqlite.open(self.folder / "store.db")
        made: list[Purse] = []
        for number in range(len(self.budgets)):
            row = await store.row(f"{number:08x}")
            assert row is not None
            journal = Journal(store, row, await folded(store, row.ws_id), SystemClock())
            made.append(Purse(journal, lambda: f"r{next(_ids)}"))
        for number, purse in enumerate(made):
            purse.above = standing_above([made[one].pocket for one in self.way_up(number)[1:]])
        try:
            yield store, made
        finally:
            await store.aclose()


def standing_above(pockets: Sequence[Pocket]) -> Above:
    @asynccontextmanager
    async def above() -> AsyncIterator[Sequence[Pocket]]:
        yield pockets

    return above


async def work(tree: Tree, number: int, purse: Purse, chance: random.Random) -> None:
    """Requests, one after another; what each has used is counted when it is sent."""
    for _ in range(6):
        most = chance.randrange(50, 500)
        try:
            reservation = await purse.reserve(Cost(tokens=most))
        except OverBudget:
            continue
        cost = chance.randrange(most + 1)
        for one in tree.way_up(number):
            tree.used[one] += cost
        for _ in range(chance.randrange(20)):
            await asyncio.sleep(0)
        await reservation.settle(Cost(tokens=cost))


async def written(store: KillingSqlite, writes: int) -> None:
    """Wait until so many writes have begun from now on."""
    last = store.writes + writes
    while store.writes < last:
        await asyncio.sleep(0)


@pytest.mark.parametrize("tree", range(TREES[size()]))
async def test_no_workstream_of_a_tree_uses_more_than_it_has_whoever_dies(
    tmp_path: Path, tree: int
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    number = chance.randrange(2, 8)
    parents = [chance.randrange(n + 1) for n in range(number - 1)]
    budgets = [chance.choice([0, 600, 2_000, 5_000]) for _ in range(number)]
    made = Tree(tmp_path, parents, budgets)
    await made.lay_out()
    for life in range(LIVES):
        dies = life < LIVES - 1
        async with made.life() as (store, purses):
            before = [purse.pocket.left().tokens for purse in purses]
            used = list(made.used)
            working = asyncio.gather(
                *(work(made, n, purse, chance) for n, purse in enumerate(purses))
            )
            if dies:
                moment = asyncio.create_task(written(store, chance.randrange(1, 60)))
                both: set[asyncio.Future[Any]] = {working, moment}
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                moment.cancel()
                await store.aclose()  # from here on it records nothing
                working.cancel()
                await asyncio.gather(working, moment, return_exceptions=True)
            else:
                async with asyncio.timeout(PATIENCE):  # what nobody gives back is waited for
                    await working
                left = [purse.pocket.left().tokens for purse in purses]
        for n, tokens in enumerate(budgets):
            assert not tokens or made.used[n] <= tokens, (n, parents, budgets)
    for n, tokens in enumerate(budgets):
        if tokens:  # and of a process that ends well nothing is kept back
            assert left[n] == (before[n] or 0) - (made.used[n] - used[n]), (n, parents, budgets)


async def test_what_does_not_fit_above_is_given_back_below(tmp_path: Path) -> None:
    tree = Tree(tmp_path, [0, 1], [500, 1_000, 2_000])
    await tree.lay_out()
    async with tree.life() as (_, (_, middle, lowest)):
        with pytest.raises(OverBudget, match="Needed: 800 tokens. Left: 500 tokens"):
            await lowest.reserve(Cost(tokens=800))
        assert (lowest.pocket.left().tokens, middle.pocket.left().tokens) == (2_000, 1_000)
        assert (await lowest.left()).tokens == 500


async def test_who_is_cancelled_at_any_write_leaves_all_to_the_others(tmp_path: Path) -> None:
    tree = Tree(tmp_path, [0, 1], [1_000, 1_000, 1_000])
    await tree.lay_out()
    async with tree.life() as (store, (top, _, lowest)), asyncio.timeout(PATIENCE):
        for writes in range(4):
            moment = asyncio.create_task(written(store, writes))
            asking = asyncio.create_task(lowest.reserve(Cost(tokens=700)))
            await asyncio.wait({moment, asking}, return_when=asyncio.FIRST_COMPLETED)
            asking.cancel()
            moment.cancel()
            told = await asyncio.gather(asking, moment, return_exceptions=True)
            if isinstance(told[0], Reservation):
                await told[0].settle(Cost())
            held = await top.reserve(Cost(tokens=1_000))  # waits for what is on its way
            await held.settle(Cost())
        assert (await lowest.left()).tokens == 1_000
