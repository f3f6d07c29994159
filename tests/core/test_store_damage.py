"""A SQLite store whose files were damaged: refused, or whole; never short of what was kept."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from turnstone.core.errors import StoreError
from turnstone.core.events import AnyEvent, MessageAccepted, StepFinished, WsClosed, WsCreated
from turnstone.core.store import SqliteStore, WorkstreamRow
from turnstone.core.store.backup import back_up
from turnstone.core.store.mark import mark_path

LONG = os.environ.get("TURNSTONE_TEST_SIZE") == "long"

WORKSTREAMS = [f"aaaa000{n}" for n in range(4)]

#: What a store holds, by workstream: its records, and its row.
Held = dict[str, tuple[list[AnyEvent], WorkstreamRow | None]]


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Held]:
    """The files of a store as a killed process leaves them, and what had been kept in it."""
    import asyncio

    folder = tmp_path_factory.mktemp("crashed")
    return folder, asyncio.run(_make(folder))


async def _make(folder: Path) -> Held:
    path = folder / "work" / "turnstone.db"
    for half in range(2):  # the first half is in the database when it closes, the rest in its log
        store = await SqliteStore.open(path)
        for n, ws_id in enumerate(WORKSTREAMS):
            if half == 0:
                row = WorkstreamRow(
                    ws_id=ws_id, session_id="s" * 12, created=float(n), owner="node", epoch=1
                )
                await store.create(row, WsCreated(name=ws_id))
            for m in range(8):
                cid = f"c{half}-{n}-{m}"
                message = MessageAccepted(message=f"{cid} " * 50, correlation_id=cid)
                await store.append(ws_id, 1, [message], {"name": cid})
                await store.append(ws_id, 1, [StepFinished(text="x" * 600, correlation_id=cid)])
        if half == 0:
            await store.aclose()
    await store.append(WORKSTREAMS[-1], 1, [WsClosed()])
    held = await _held(store)
    shutil.copytree(path.parent, folder / "image")
    await store.aclose()
    return held


async def _held(store: SqliteStore) -> Held:
    """Everything, as it is read; and each message is known."""
    held: Held = {}
    for ws_id in WORKSTREAMS:
        held[ws_id] = await store.records(ws_id), await store.row(ws_id)
        for record in held[ws_id][0]:
            if isinstance(record, MessageAccepted) and ws_id != WORKSTREAMS[-1]:
                again = await store.append(WORKSTREAMS[0], 1, [record])
                assert again.duplicate, record.correlation_id
    assert [row.ws_id for row in await store.rows("node")] == WORKSTREAMS[:-1]
    return held


async def _read(path: Path) -> Held | StoreError:
    try:
        store = await SqliteStore.open(path)
    except StoreError as error:
        return error
    try:
        return await _held(store)
    except StoreError as error:
        return error
    finally:
        await store.aclose()


def image(crashed: tuple[Path, Held], tmp_path: Path) -> Path:
    shutil.copytree(crashed[0] / "image", tmp_path / "copy")
    return tmp_path / "copy" / "turnstone.db"


def flip(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    place = chance.randrange(len(content))
    content[place] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def cut(path: Path, chance: random.Random) -> None:
    os.truncate(path, chance.randrange(path.stat().st_size))


async def test_what_a_killed_process_has_kept_is_all_there(
    crashed: tuple[Path, Held], tmp_path: Path
) -> None:
    path = image(crashed, tmp_path)

    assert path.with_name("turnstone.db-wal").stat().st_size > 50_000
    assert await _read(path) == crashed[1]


@pytest.mark.parametrize("damage", [flip, cut])
@pytest.mark.parametrize("end", ["", "-wal"])
@pytest.mark.parametrize("number", range(200 if LONG else 8))
async def test_a_damaged_store_is_refused_or_holds_all_that_was_kept(
    crashed: tuple[Path, Held],
    tmp_path: Path,
    damage: Callable[[Path, random.Random], None],
    end: str,
    number: int,
    seed: int,
) -> None:
    path = image(crashed, tmp_path)
    damage(path.with_name(path.name + end), random.Random(seed))

    found = await _read(path)

    if isinstance(found, StoreError):
        assert str(path) in str(found)
        assert "restore a backup" in str(found) or "Check its permissions" in str(found)
    else:
        assert found == crashed[1]


async def test_a_log_that_lost_its_end_is_refused_and_left_as_it_was(
    crashed: tuple[Path, Held], tmp_path: Path
) -> None:
    path = image(crashed, tmp_path)
    log = path.with_name("turnstone.db-wal")
    content = bytearray(log.read_bytes())
    content[-100] ^= 1
    log.write_bytes(content)

    for _ in range(2):
        with pytest.raises(StoreError, match="has lost what was committed to it: record"):
            await SqliteStore.open(path)

    assert log.read_bytes() == content


async def test_a_young_store_that_lost_its_log_is_told_and_not_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "work" / "turnstone.db"
    store = await SqliteStore.open(path)
    row = WorkstreamRow(ws_id="aaaa0000", session_id="s" * 12, created=1.0, owner="n", epoch=1)
    await store.create(row, WsCreated())
    shutil.copytree(path.parent, tmp_path / "image")  # as a process leaves it that is killed now
    await store.aclose()
    path = tmp_path / "image" / "turnstone.db"
    path.with_name("turnstone.db-wal").unlink()
    assert path.stat().st_size

    with pytest.raises(StoreError, match="has lost what was committed to it: all but its begin"):
        await SqliteStore.open(path)


@pytest.mark.parametrize("how", ["gone", "empty"])
async def test_a_store_that_is_gone_is_told_and_not_made_anew(
    crashed: tuple[Path, Held], tmp_path: Path, how: str
) -> None:
    path = image(crashed, tmp_path)
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(b"")

    with pytest.raises(StoreError, match="it is empty, or gone") as told:
        await SqliteStore.open(path)

    assert str(mark_path(path)) in told.value.hint
    mark_path(path).unlink()
    path.with_name("turnstone.db-wal").unlink()
    store = await SqliteStore.open(path)
    assert await store.rows() == []
    await store.aclose()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE workstream SET open_turns = 0 WHERE ws_id = 'aaaa0001'",
        "UPDATE workstream SET owner = 'nodf' WHERE ws_id = 'aaaa0001'",
        "UPDATE record SET body = replace(CAST(body AS TEXT), 'c0', 'c1') WHERE seq = 2",
        "DELETE FROM record WHERE ws_id = 'aaaa0001' AND seq = 3",
        "DELETE FROM record WHERE ws_id = 'aaaa0001' AND seq > 30",
        "UPDATE accepted SET correlation_id = 'd0-1-1' WHERE correlation_id = 'c0-1-1'",
    ],
)
async def test_what_was_changed_behind_our_back_is_noticed(
    crashed: tuple[Path, Held], tmp_path: Path, change: str
) -> None:
    path = image(crashed, tmp_path)
    with sqlite3.connect(path) as connection:
        assert connection.execute(change).rowcount > 0
    connection.close()

    found = await _read(path)

    assert isinstance(found, StoreError)
    assert "damaged" in str(found)


async def test_an_unreadable_mark_is_no_reason_to_refuse_a_good_store(
    crashed: tuple[Path, Held], tmp_path: Path
) -> None:
    path = image(crashed, tmp_path)
    mark_path(path).write_bytes(b"\xff" * 300)

    assert await _read(path) == crashed[1]


async def made(path: Path, *ws_ids: str) -> SqliteStore:
    """Opens the store, and makes workstreams with a message each in it."""
    store = await SqliteStore.open(path)
    for n, ws_id in enumerate(ws_ids):
        row = WorkstreamRow(
            ws_id=ws_id, session_id="s" * 12, created=float(n), owner="node", epoch=1
        )
        await store.create(row, WsCreated(name=ws_id))
        await store.append(ws_id, 1, [StepFinished(text=ws_id)])
    return store


async def test_an_erasure_after_the_mark_was_read_is_no_loss(tmp_path: Path) -> None:
    path = tmp_path / "turnstone.db"
    store = await made(path, "aaaa0001", "aaaa0002")
    before = mark_path(path).read_bytes()
    await store.erase("aaaa0002", 1)
    await store.aclose()

    mark_path(path).write_bytes(before)
    assert back_up(path, tmp_path / "backup.db") == 1
    store = await SqliteStore.open(path)

    assert [row.ws_id for row in await store.rows()] == ["aaaa0001"]
    await store.aclose()


async def test_an_id_that_was_erased_may_be_used_again_whenever_the_process_dies(
    tmp_path: Path,
) -> None:
    path = tmp_path / "turnstone.db"
    store = await made(path, "aaaa0001")
    await store.erase("aaaa0001", 1)
    before = mark_path(path).read_bytes()
    await store.create(
        WorkstreamRow(ws_id="aaaa0001", session_id="s" * 12, created=9.0, owner="node", epoch=1),
        WsCreated(name="again"),
    )
    await store.aclose()

    mark_path(path).write_bytes(before)  # killed before it noted what it had made
    store = await SqliteStore.open(path)

    assert [row.created for row in await store.rows()] == [9.0]
    await store.aclose()


async def test_an_erasure_that_the_store_has_forgotten_is_told(tmp_path: Path) -> None:
    path = tmp_path / "turnstone.db"
    store = await made(path, "aaaa0001", "aaaa0002")
    await store.aclose()
    old = path.read_bytes()
    store = await SqliteStore.open(path)
    await store.erase("aaaa0002", 1)
    await store.append("aaaa0001", 1, [WsClosed()])
    await store.aclose()

    path.write_bytes(old)

    with pytest.raises(StoreError, match="an erasure .* is not in it"):
        await SqliteStore.open(path)
    with pytest.raises(StoreError, match="an erasure .* is not in it"):
        back_up(path, tmp_path / "backup.db")


async def test_what_came_after_an_erasure_and_is_forgotten_is_told(tmp_path: Path) -> None:
    path = tmp_path / "turnstone.db"
    store = await made(path, "aaaa0001", "aaaa0002")
    await store.erase("aaaa0002", 1)
    await store.aclose()
    old = path.read_bytes()
    store = await made(path, "aaaa0002")
    await store.aclose()

    path.write_bytes(old)

    with pytest.raises(StoreError, match="record 2 of workstream aaaa0002 is not in it"):
        await SqliteStore.open(path)
