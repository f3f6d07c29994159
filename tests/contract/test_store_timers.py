"""The contract of timers in a store, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from turnstone.core.store import SqliteStore, Store
from turnstone.core.store.timers import KEPT
from turnstone.core.timers import NewTimer, altered, set_up

NOW = 1_800_000_000.0


@pytest.fixture(params=["sqlite", "postgres"])
async def opener(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Callable[[], Awaitable[Store]]]:
    opened: list[Store] = []
    url = request.getfixturevalue("postgres").database() if request.param == "postgres" else ""

    async def another() -> Store:
        if url:
            from turnstone.core.store.postgres import PostgresStore

            opened.append(await PostgresStore.open(url))
        else:
            opened.append(await SqliteStore.open(tmp_path / "turnstone.db"))
        return opened[-1]

    yield another
    for store in opened:
        await store.aclose()


async def test_a_timer_goes_from_revision_to_revision(
    opener: Callable[[], Awaitable[Store]],
) -> None:
    store = await opener()
    made = [
        set_up(NewTimer(timer_id=name, message="m", not_before=NOW + at), NOW)
        for name, at in (("late", 9.125), ("b", 5), ("a", 5))
    ]
    assert [await store.swap_timer(one, NOW) for one in made] == [True] * 3
    assert not await store.swap_timer(made[0], NOW)
    assert await store.due_timers(NOW, 10) == ([], NOW + 5)
    assert await store.due_timers(NOW + 5, 10) == ([made[2], made[1]], NOW + 9.125)
    assert (await store.due_timers(NOW + 20, 2))[0] == [made[2], made[1]]
    assert await store.timers() == [made[2], made[1], made[0]]
    paused = altered(made[1], "pause", NOW)
    assert await store.swap_timer(paused, NOW)
    assert not await store.swap_timer(msgspec.structs.replace(paused, state="active"), NOW)
    assert await store.timers() == [made[2], made[0], paused]
    assert (await store.due_timers(NOW + 20, 9)) == ([made[2], made[0]], 0.0)
    assert await (await opener()).timer("b") == paused


async def test_of_two_processes_that_change_one_timer_at_once_one_does(
    opener: Callable[[], Awaitable[Store]],
) -> None:
    stores = [await opener(), await opener()]
    made = set_up(NewTimer(timer_id="t", message="m", not_before=NOW), NOW)
    assert sorted(await asyncio.gather(*(s.swap_timer(made, NOW) for s in stores))) == [False, True]
    after = altered(made, "pause", NOW)
    told = await asyncio.gather(*(s.swap_timer(after, NOW) for s in stores * 3))
    assert told.count(True) == 1


async def test_a_timer_that_is_over_is_remembered_for_a_while(
    opener: Callable[[], Awaitable[Store]],
) -> None:
    store = await opener()
    made = set_up(NewTimer(timer_id="t", message="m", not_before=NOW), NOW)
    await store.swap_timer(made, NOW)
    over = altered(made, "cancel", NOW)
    await store.swap_timer(over, NOW)
    assert (await store.timers(), await store.timer("t")) == ([], over)
    other = set_up(NewTimer(timer_id="u", message="m", not_before=NOW), NOW)
    await store.swap_timer(other, NOW + KEPT)
    assert await store.timer("t") == over
    await store.swap_timer(altered(other, "pause", NOW), NOW + KEPT + 1)
    assert await store.timer("t") is None
