"""Long journals: read beside the writes, folded by parts, and woken without holding others up."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from modelserver.plans import echo
from support.nodes import local_host
from turnstone.core import events as ev
from turnstone.core.errors import StoreError, UnknownWorkstream
from turnstone.core.host import CreateWorkstream, SendMessage
from turnstone.core.journal import folded
from turnstone.core.store import SqliteStore, WorkstreamRow
from turnstone.core.store.rows import record_checksum
from turnstone.core.transcript import Transcript

PATIENCE = 8.0  # less than a write waits for another process's

WS, OTHER = "aaaa0001", "aaaa0002"


async def opened(path: Path, turns: int = 0, node: str = "node") -> SqliteStore:
    """A store with two workstreams; the first has had so many turns, of four records each."""
    store = await SqliteStore.open(path)
    for n, ws_id in enumerate((WS, OTHER)):
        row = WorkstreamRow(ws_id=ws_id, session_id="s" * 12, created=float(n), owner=node, epoch=1)
        await store.create(row, ev.WsCreated(name=ws_id, session_id="s" * 12))
    if turns:
        await store.append(WS, 1, [record for n in range(turns) for record in turn(f"c{n}")])
    return store


def turn(cid: str) -> list[ev.Event]:
    return [
        ev.MessageAccepted(message=f"Question {cid}.", correlation_id=cid, timestamp=2.0),
        ev.StepStarted(step=1, correlation_id=cid, timestamp=3.0),
        ev.StepFinished(text=f"Answer {cid}.", correlation_id=cid, timestamp=4.0),
        ev.TurnEnded(outcome="done", text=f"Answer {cid}.", correlation_id=cid, timestamp=5.0),
    ]


async def test_reads_are_answered_while_a_write_waits_for_another_process(tmp_path: Path) -> None:
    store = await opened(tmp_path / "turnstone.db", turns=3)
    with closing(sqlite3.connect(tmp_path / "turnstone.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        writing = asyncio.ensure_future(store.append(OTHER, 1, turn("late")))
        async with asyncio.timeout(PATIENCE):
            assert len(await store.records(WS)) == 13
            assert await store.ending(WS, "c2") is not None
            assert [row.ws_id for row in await store.rows()] == [WS, OTHER]
        assert not writing.done()
        other.execute("ROLLBACK")
    await writing
    assert len(await store.records(OTHER)) == 5
    await store.aclose()


async def test_a_write_does_not_wait_for_a_long_read(tmp_path: Path) -> None:
    store = await opened(tmp_path / "turnstone.db", turns=10_000)
    reading = asyncio.ensure_future(store.records(WS))
    await asyncio.sleep(0)

    await store.append(OTHER, 1, turn("meanwhile"))

    assert not reading.done()
    assert len(await reading) == 40_001
    await store.aclose()


async def test_an_ending_is_found_in_its_own_workstream_only(tmp_path: Path) -> None:
    store = await opened(tmp_path / "turnstone.db", turns=3)
    await store.append(OTHER, 1, turn("other"))

    found = await store.ending(OTHER, "other")

    assert found is not None
    assert found.text == "Answer other."
    assert await store.ending(WS, "other") is None
    assert await store.ending(OTHER, "c1") is None
    await store.aclose()


async def test_all_records_and_any_number_of_them_come_whole_and_in_order(tmp_path: Path) -> None:
    store = await opened(tmp_path / "turnstone.db", turns=200)
    every = await store.records(WS)

    assert [ev.EventId.parse(record.id).seq for record in every] == list(range(1, 802))
    for limit in (0, 1, 249, 250, 251, 500, 801, 900):
        assert await store.records(WS, 0, limit) == every[:limit]
    await store.aclose()


@pytest.mark.parametrize("turns", [0, 1, 62, 63, 200])  # around a part, and several
async def test_the_fold_by_parts_is_the_fold_of_all(tmp_path: Path, turns: int) -> None:
    store = await opened(tmp_path / "turnstone.db", turns=turns)
    await store.append(WS, 1, [*turn("last")[:3], ev.MessageAccepted(correlation_id="waits")])
    whole = Transcript()
    for record in await store.records(WS):
        whole.apply(record)

    by_parts = await folded(store, WS)

    assert msgspec.json.encode(by_parts.messages) == msgspec.json.encode(whole.messages)
    assert by_parts.history == whole.history
    assert by_parts.summary == whole.summary
    assert by_parts.accepted == whole.accepted
    assert [message.correlation_id for message in by_parts.waiting] == ["waits"]
    assert by_parts.open_turn().records == whole.open_turn().records
    await store.aclose()


async def test_records_come_by_parts_and_a_gap_in_one_is_told(tmp_path: Path) -> None:
    path = tmp_path / "turnstone.db"
    store = await opened(path, turns=3)
    every = await store.records(WS)
    assert await store.records(WS, 0, 5) == every[:5]
    assert await store.records(WS, 10, 5) == every[10:]
    assert await store.records(WS, 13, 5) == []
    with pytest.raises(UnknownWorkstream):
        await store.records("ffffffff", 13, 5)

    with closing(sqlite3.connect(path)) as other, other:
        other.execute("DELETE FROM record WHERE ws_id = ? AND seq = 13", (WS,))

    assert await store.records(WS, 0, 5) == every[:5]
    with pytest.raises(StoreError, match="has gaps"):
        await store.records(WS, 10, 5)
    await store.aclose()


async def test_a_workstream_wakes_while_a_long_one_is_still_being_read(tmp_path: Path) -> None:
    async with local_host(tmp_path, echo) as host:
        node = host.node_id
    await (await opened(tmp_path / "turnstone.db", turns=10_000, node=node)).aclose()
    async with local_host(tmp_path, echo) as host:
        long = asyncio.ensure_future(host.send(SendMessage(ws_id=WS, message="to the long one")))
        await asyncio.sleep(0)

        await host.send(SendMessage(ws_id=OTHER, message="to the short one"))

        assert not long.done()
        assert not (await long).duplicate


async def test_two_who_need_a_sleeper_at_once_wake_it_once(tmp_path: Path) -> None:
    async with local_host(tmp_path, echo) as host:
        ws = await host.create(CreateWorkstream())
    async with local_host(tmp_path, echo) as host:
        await asyncio.gather(
            *(host.send(SendMessage(ws_id=ws.id, message=f"{n}")) for n in range(5))
        )
    store = await SqliteStore.open(tmp_path / "turnstone.db")
    row = await store.row(ws.id)
    assert row is not None
    assert row.epoch == 2  # each waking raises it
    await store.aclose()


async def test_a_record_of_a_newer_version_is_told_as_that_and_not_as_damage(
    tmp_path: Path,
) -> None:
    path = tmp_path / "turnstone.db"
    store = await opened(path, turns=1)
    body = b'{"type":"from_the_future","id":"3-0"}'
    change = "UPDATE record SET type = ?, body = ?, checksum = ? WHERE ws_id = ? AND seq = 3"
    with closing(sqlite3.connect(path)) as other, other:
        checksum = record_checksum(WS, 3, "from_the_future", "c0", body)
        other.execute(change, ("from_the_future", body, checksum, WS))

    with pytest.raises(StoreError, match="newer turnstone: its record 3, from_the_future") as told:
        await store.records(WS)

    assert told.value.hint == "Use that version."
    with closing(sqlite3.connect(path)) as other, other:
        other.execute(change, ("from_the_future", body, checksum + 1, WS))
    with pytest.raises(StoreError, match="damaged"):
        await store.records(WS)
    await store.aclose()
