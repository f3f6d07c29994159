"""Timers of a node without Redis: through restarts, crashes, and clocks that are set."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from modelserver.plans import echo, last_user_text
from support.clocks import SetClock
from support.nodes import local_node
from turnstone.core.errors import StoreError
from turnstone.core.host import CreateWorkstream
from turnstone.core.local_host import LocalHost
from turnstone.core.store import SqliteStore
from turnstone.core.timekeeping import StoreTimers, fire_due
from turnstone.core.timers import NewTimer, Timer

PATIENCE = 60.0
HOUR = 3_600.0


class CutOff(SqliteStore):
    """The real store, of a process that ends before a timer is moved on."""

    async def swap_timer(self, timer: Timer, now: float) -> bool:
        if timer.revision == 1:
            return await super().swap_timer(timer, now)
        raise StoreError("This process is gone.")


async def asked(model: Any, count: int) -> list[str]:
    """What the model was asked, once that was so often."""
    async with asyncio.timeout(PATIENCE):
        while len(model.requests) < count:
            await asyncio.sleep(0.01)  # the requests are the state that is waited for
    return sorted(last_user_text(body) for body in model.requests)


async def rested(host: LocalHost) -> None:
    async with asyncio.timeout(PATIENCE):
        while host.at_work:
            await asyncio.sleep(0.01)  # the work is the state that is waited for


async def fire(host: LocalHost) -> None:
    """What the node's own task does next, now."""
    await fire_due(host.timekeeper._own)


async def test_what_was_sent_before_a_crash_is_not_sent_again_after_it(tmp_path: Path) -> None:
    clock = SetClock()
    async with local_node(tmp_path, echo, clock=clock, store=CutOff) as node:
        made = await node.host.set_timer(
            NewTimer(timer_id="t", message="once", not_before=clock.now() - 1)
        )
        assert await asked(node.model, 1) == ["once"]
        await rested(node.host)
        assert list(await node.host.timers()) == [made]
    async with local_node(tmp_path, echo, clock=clock) as node:
        async with asyncio.timeout(PATIENCE):
            while await node.host.timers():
                await asyncio.sleep(0.01)  # the timer's end is the state that is waited for
        assert node.model.requests == []
        assert len(await node.host.list()) == 1


async def test_a_crash_between_the_workstream_and_its_message_leaves_one_workstream(
    tmp_path: Path,
) -> None:
    clock = SetClock()
    async with local_node(tmp_path, echo, clock=clock) as node:
        made = await node.host.set_timer(
            NewTimer(timer_id="t", message="once", not_before=clock.now() + 5)
        )
        own = node.host.timekeeper._own
        assert isinstance(own, StoreTimers)
        ws_id = await own._made(made, f"t:{clock.now() + 5:.0f}")
        clock.advance(6)
        await fire(node.host)
        assert await asked(node.model, 1) == ["once"]
        assert [info.id for info in await node.host.list()] == [ws_id]


async def test_timers_survive_a_restart_and_make_up_for_what_was_missed(tmp_path: Path) -> None:
    clock = SetClock()
    async with local_node(tmp_path, echo, clock=clock) as node:
        for missed in ("skip", "once", "all"):
            await node.host.set_timer(
                NewTimer(timer_id=missed, message=missed, every="0 * * * *", missed=missed)
            )
    clock.advance(3 * HOUR + 600)
    async with local_node(tmp_path, echo, clock=clock) as node:
        assert await asked(node.model, 4) == ["all", "all", "all", "once"]
        await rested(node.host)
        async with asyncio.timeout(PATIENCE):
            while min(one.due for one in await node.host.timers()) < clock.now():
                await asyncio.sleep(0.01)  # the timers are the state that is waited for
        assert len(node.model.requests) == 4


async def test_a_clock_that_is_set_back_and_forth_runs_nothing_twice(tmp_path: Path) -> None:
    clock = SetClock()
    async with local_node(tmp_path, echo, clock=clock) as node:
        await node.host.set_timer(NewTimer(timer_id="t", message="m", every="0 * * * *"))
        for step in (HOUR, -2 * HOUR, HOUR, HOUR, -HOUR / 2, HOUR / 2, HOUR):
            clock.advance(step)
            await fire(node.host)
        await rested(node.host)
        [timer] = await node.host.timers()
        assert timer.runs == 2
        assert len(node.model.requests) == 2


async def test_two_processes_on_one_store_fire_once(tmp_path: Path) -> None:
    clock = SetClock()
    async with local_node(tmp_path, echo, clock=clock) as node:
        other = await SqliteStore.open(tmp_path / "turnstone.db")
        try:
            info = await node.host.create(CreateWorkstream())
            await node.host.set_timer(
                NewTimer(message="m", ws_id=info.id, not_before=clock.now() + 5)
            )
            clock.advance(6)
            second = StoreTimers(other, node.host, clock)
            await asyncio.gather(*(fire_due(second) for _ in range(4)), fire(node.host))
            await rested(node.host)
            assert len(node.model.requests) == 1
        finally:
            await other.aclose()


async def test_a_run_that_cannot_begin_is_told_and_the_next_ones_come(tmp_path: Path) -> None:
    clock = SetClock()
    async with local_node(tmp_path, echo, clock=clock) as node:
        info = await node.host.create(CreateWorkstream())
        await node.host.set_timer(NewTimer(message="m", every="0 * * * *", ws_id=info.id))
        await node.host.close(info.id)
        clock.advance(HOUR)
        await fire(node.host)
        [timer] = await node.host.timers()
        assert timer.problem.startswith(f"There is no workstream {info.id}")
        assert timer.runs == 1
        assert timer.due > clock.now()


async def test_a_full_node_runs_it_when_there_is_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = SetClock()
    async with local_node(tmp_path, echo, clock=clock, max_workstreams=0) as node:
        await node.host.set_timer(NewTimer(timer_id="t", message="m", not_before=5.0))
        await fire(node.host)
        assert [one.runs for one in await node.host.timers()] == [0]
        assert "timer t waits with its run" in caplog.text
    async with local_node(tmp_path, echo, clock=clock) as node:
        assert await asked(node.model, 1) == ["m"]
