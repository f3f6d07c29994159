"""What is open in a workstream is worked on as soon as anybody comes near it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from modelserver.plans import echo
from support.clocks import SetClock
from support.nodes import local_host
from support.watching import ending
from turnstone.core import events as ev
from turnstone.core.host import CreateWorkstream, SendMessage
from turnstone.core.local_host import LocalHost
from turnstone.core.store import SqliteStore

#: Seconds: less than pass before a node looks for such turns by itself.
SOON = 10.0

#: Seconds after which a workstream is put to sleep; the node looks four times as often.
IDLE = 120.0


async def asleep_with_a_message(host: LocalHost, clock: SetClock, folder: Path) -> str:
    """A workstream that sleeps, into whose journal a commit came late that nobody was told of."""
    ws = await host.create(CreateWorkstream())
    clock.advance(IDLE + 1.0)
    await host.sweep()
    assert (await host.health()).awake == 0
    store = await SqliteStore.open(folder / "turnstone.db")
    row = await store.row(ws.id)
    assert row is not None
    await store.append(ws.id, row.epoch, [ev.MessageAccepted(message="late", correlation_id="c1")])
    await store.aclose()
    return ws.id


@pytest.mark.parametrize("how", ["use", "again"])
async def test_a_message_that_nobody_runs_is_run_when_its_workstream_wakes_or_it_comes_again(
    tmp_path: Path, how: str
) -> None:
    clock = SetClock()
    async with local_host(tmp_path, echo, clock=clock, idle_timeout=IDLE) as host:
        ws_id = await asleep_with_a_message(host, clock, tmp_path)
        other = await host.create(CreateWorkstream())

        async with asyncio.timeout(SOON):
            if how == "use":
                await host.policy(ws_id)
            else:  # named elsewhere this time
                again = SendMessage(ws_id=other.id, message="late", correlation_id="c1")
                assert (await host.send(again)).ws_id == ws_id
            while (ended := await host.ending(ws_id, "c1")) is None:
                await asyncio.sleep(0.02)  # not followed: a reader would wake it

        assert ended.outcome == "done"
        assert (await ending(host, ws_id, "c1")).text == ended.text
