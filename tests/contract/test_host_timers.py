"""The contract of messages that are sent later, over every way to a node."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest

from support.hosts import PATIENCE, read
from turnstone.core import events as ev
from turnstone.core.errors import InvalidRequest, UnknownTimer, UnknownWorkstream
from turnstone.core.host import CreateWorkstream, Host, WorkstreamInfo
from turnstone.core.timers import NewTimer, Timer


async def all_of(host: Host, count: int) -> Sequence[WorkstreamInfo]:
    """The workstreams of the node, once there are so many."""
    async with asyncio.timeout(PATIENCE):
        while len(found := await host.list()) < count:
            await asyncio.sleep(0.01)  # the list is the state that is waited for
    return found


async def ran(host: Host, ws_id: str) -> list[str]:
    """The messages of a workstream, once a turn has ended there."""
    events = await read(host, ws_id, ev.TurnEnded, ev.EventId(1))
    return [e.message for e in events if isinstance(e, ev.MessageAccepted)]


async def test_a_time_in_the_past_is_run_at_once_in_a_workstream_of_its_own(host: Host) -> None:
    made = await host.set_timer(NewTimer(message="wake up", not_before=5.0, name="morning"))
    [info] = await all_of(host, 1)
    assert (await ran(host, info.id), info.name) == (["wake up"], "morning")
    assert await host.knows(info.id, f"{made.timer_id}:5")
    async with asyncio.timeout(PATIENCE):
        while await host.timers():
            await asyncio.sleep(0.01)  # the timer's end is the state that is waited for


async def test_a_timer_runs_in_its_workstream(host: Host) -> None:
    info = await host.create(CreateWorkstream())
    await host.set_timer(NewTimer(message="wake up", not_before=5.0, ws_id=info.id))
    assert await ran(host, info.id) == ["wake up"]
    assert len(await host.list()) == 1


async def test_timers_are_listed_paused_and_cancelled(host: Host) -> None:
    at = time.time() + 5_000
    made = [
        await host.set_timer(
            NewTimer(timer_id=name, message=name, not_before=at + n, auto_approve_tools=["bash"])
        )
        for n, name in enumerate(("one", "two"))
    ]
    assert list(await host.timers()) == made
    assert isinstance(made[0], Timer)
    assert (
        await host.set_timer(
            NewTimer(timer_id="one", message="one", not_before=at, auto_approve_tools=["bash"])
        )
        == made[0]
    )
    assert (await host.alter_timer("one", "pause")).state == "paused"
    assert [one.timer_id for one in await host.timers()] == ["two", "one"]
    assert (await host.alter_timer("one", "resume")).due == made[0].due
    assert (await host.alter_timer("two", "cancel")).state == "cancelled"
    assert [one.timer_id for one in await host.timers()] == ["one"]


async def test_what_is_wrong_with_a_timer_is_said(host: Host) -> None:
    with pytest.raises(InvalidRequest, match="every: the hour of '0 25"):
        await host.set_timer(NewTimer(message="m", every="0 25 * * *"))
    with pytest.raises(InvalidRequest, match="timezone: 'Nowhere' is not known here"):
        await host.set_timer(NewTimer(message="m", every="0 5 * * *", timezone="Nowhere"))
    with pytest.raises(UnknownWorkstream, match="no workstream 0badc0de"):
        await host.set_timer(NewTimer(message="m", not_before=5.0, ws_id="0badc0de"))
    with pytest.raises(InvalidRequest, match="target_node: there is no node elsewhere"):
        await host.set_timer(NewTimer(message="m", not_before=5.0, target_node="elsewhere"))
    with pytest.raises(InvalidRequest, match="requires: only through Redis"):
        await host.set_timer(NewTimer(message="m", not_before=5.0, requires=["gpu"]))
    with pytest.raises(UnknownTimer, match="There is no timer nothing"):
        await host.alter_timer("nothing", "cancel")
    assert list(await host.timers()) == []


async def test_a_command_lists_pauses_and_cancels_timers(host: Host) -> None:
    info = await host.create(CreateWorkstream())
    assert (await host.command(info.id, "/timers")).text == "There are no timers."
    await host.set_timer(
        NewTimer(
            timer_id="daily", message="report\nplease", every="0 9 * * *", timezone="Europe/Berlin"
        )
    )
    [line] = (await host.command(info.id, "/timers")).text.splitlines()
    assert line.startswith("daily  every '0 9 * * *' (Europe/Berlin), next at ")
    assert line.endswith(" 09:00:00 Europe/Berlin: report please")
    assert (await host.command(info.id, "/timers pause daily")).text.endswith(", paused")
    assert ", next at " in (await host.command(info.id, "/timers resume daily")).text
    assert (await host.command(info.id, "/timers cancel daily")).text.endswith(", cancelled")
    assert (await host.command(info.id, "/timers cancel other")).error == "unknown_timer"
    assert (await host.command(info.id, "/timers stop daily")).error == "invalid_request"
    assert (await host.command(info.id, "/timers cancel")).error == "invalid_request"


async def test_an_erased_workstream_takes_its_timers_along(host: Host) -> None:
    info = await host.create(CreateWorkstream())
    await host.set_timer(NewTimer(message="m", every="0 5 * * *", ws_id=info.id))
    await host.erase(info.id)
    assert list(await host.timers()) == []
