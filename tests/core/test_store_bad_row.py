"""One row that was damaged while a node runs: it is named, and takes nothing else with it."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from modelserver.plans import echo
from support.nodes import local_host
from turnstone.core.errors import StoreError
from turnstone.core.events import MessageAccepted, WsCreated
from turnstone.core.host import CreateWorkstream, SendMessage
from turnstone.core.store import SqliteStore, WorkstreamRow
from turnstone.core.store.base import Place

IDS = [f"aaaa000{n}" for n in range(5)]

DAMAGE = {
    "checksum": "UPDATE workstream SET checksum = checksum + 1 WHERE ws_id = ?",
    "summary": "UPDATE workstream SET summary = x'7b' WHERE ws_id = ?",
}


def damage(path: Path, how: str, *ws_ids: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(DAMAGE[how], [(ws_id,) for ws_id in ws_ids])


@pytest.mark.parametrize("how", DAMAGE)
async def test_lists_leave_a_damaged_row_out_and_name_it_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    path = tmp_path / "turnstone.db"
    store = await SqliteStore.open(path)
    for n, ws_id in enumerate(IDS):
        row = WorkstreamRow(
            ws_id=ws_id, session_id="s" * 12, created=float(n // 2), owner="node", epoch=1
        )
        await store.create(row, WsCreated(name=ws_id))
    older = [row.ws_id for row in await store.older(100.0)]
    assert older == IDS
    damage(path, how, IDS[1], IDS[2])
    sound = [IDS[0], IDS[3], IDS[4]]

    with caplog.at_level(logging.ERROR):
        assert [row.ws_id for row in await store.rows()] == sound
        assert [row.ws_id for row in await store.older(100.0)] == sound
        for ws_id in sound:
            await store.append(ws_id, 1, [MessageAccepted(correlation_id=f"c-{ws_id}")])
        assert [row.ws_id for row in await store.working()] == sound
        pages: list[str] = []
        place: Place | None = None
        while page := await store.rows("node", after=place, limit=2):
            pages += [row.ws_id for row in page]
            assert len(page) == 2 or page[-1].ws_id == IDS[4]
            place = page[-1].place

    assert pages == sound
    told = [record.getMessage() for record in caplog.records]
    assert [next(ws_id for ws_id in IDS if ws_id in text) for text in told] == [IDS[1], IDS[2]]
    assert all(str(path) in text and "restore a backup" in text for text in told)
    with pytest.raises(StoreError, match=f"damaged .*{IDS[1]}"):
        await store.row(IDS[1])
    await store.aclose()


async def test_a_node_with_a_damaged_row_lists_and_serves_the_others(tmp_path: Path) -> None:
    async with local_host(tmp_path, echo, retention=1e9) as host:
        bad, good = [await host.create(CreateWorkstream()) for _ in range(2)]
        damage(tmp_path / "turnstone.db", "checksum", bad.id)

        assert [info.id for info in await host.list()] == [good.id]
        assert (await host.health()).status == "ok"
        assert await host.left_behind() == []
        await host.sweep()
        assert not (await host.send(SendMessage(ws_id=good.id, message="go on"))).duplicate
