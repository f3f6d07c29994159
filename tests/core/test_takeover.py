"""What a server takes over while it runs, and what it keeps when it is given another name."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from modelserver import ModelServer
from modelserver.plans import echo
from support.nodes import start_host
from turnstone.core import events as ev
from turnstone.core import local_host
from turnstone.core.host import CreateWorkstream
from turnstone.core.node import lock_process, lock_server
from turnstone.core.store import SqliteStore, WorkstreamRow

WS = "aaaa0001"

#: Seconds for a state that must come; more is a failure.
PATIENCE = 60.0


async def test_a_server_that_runs_takes_up_what_a_terminal_leaves_that_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_host, "_LOOK", 0.02)  # a time, not a behaviour
    terminal = lock_process(tmp_path / "turnstone.db")
    with ModelServer(echo) as model:
        host = await start_host(tmp_path, model.base_url)
        store = await SqliteStore.open(tmp_path / "turnstone.db")
        row = WorkstreamRow(
            ws_id=WS, session_id="s" * 12, created=1.0, owner=terminal.node_id, epoch=1
        )
        await store.create(row, ev.WsCreated(workspace=str(host.engine.workspace)))
        await store.append(WS, 1, [ev.MessageAccepted(message="left", correlation_id="c1")])
        await host.sweep()
        assert await host.list() == []

        terminal.release()
        async with asyncio.timeout(PATIENCE):
            while (ending := await store.ending(WS, "c1")) is None:
                await asyncio.sleep(0.01)
        assert ending.text == "left"
        assert [info.id for info in await host.list()] == [WS]
        await store.aclose()
        await host.aclose()


async def test_a_server_of_another_name_has_all_it_had_also_after_a_start_that_was_cut_off(
    tmp_path: Path,
) -> None:
    with ModelServer(echo) as model:
        host = await start_host(tmp_path, model.base_url, node_id="old")
        ws = await host.create(CreateWorkstream())
        await host.aclose()
        lock_server(tmp_path / "turnstone.db", "new").release()  # it ended before it went on

        host = await start_host(tmp_path, model.base_url, node_id="new")
        assert [info.id for info in await host.list()] == [ws.id]
        await host.aclose()

    lock = lock_server(tmp_path / "turnstone.db")
    assert (lock.node_id, lock.former) == ("new", ())
    lock.release()
