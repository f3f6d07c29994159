"""The contract of a store, over every implementation there is."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from turnstone.core.errors import NotOwner, StoreError, UnknownWorkstream
from turnstone.core.events import (
    Event,
    EventId,
    MessageAccepted,
    StepFinished,
    StepStarted,
    ToolCallRecord,
    TurnEnded,
    WsClosed,
    WsCreated,
)
from turnstone.core.store import SqliteStore, Store, WorkstreamRow


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await SqliteStore.open(tmp_path / "turnstone.db")
    yield opened
    await opened.aclose()


def row(ws_id: str = "aaaa0001", owner: str = "node", created: float = 1.0) -> WorkstreamRow:
    return WorkstreamRow(
        ws_id=ws_id, session_id="s" * 12, created=created, owner=owner, epoch=1, summary={"n": 1}
    )


def accepted(correlation_id: str, text: str = "hello") -> MessageAccepted:
    return MessageAccepted(message=text, correlation_id=correlation_id)


async def test_records_come_back_as_they_were_written_with_rising_ids(store: Store) -> None:
    first = await store.create(row(), WsCreated(name="one"))
    step = StepFinished(text="ü\n\x00", tool_calls=[ToolCallRecord("a", "bash", '{"x": 1}')])
    written = await store.append("aaaa0001", 1, [accepted("c1"), StepStarted(), step])

    back = await store.records("aaaa0001")

    assert back == [first, *written.events]
    assert [e.id for e in back] == ["1-0", "2-0", "3-0", "4-0"]
    assert {e.ws_id for e in back} == {"aaaa0001"}
    assert await store.records("aaaa0001", after=3) == back[3:]


async def test_a_correlation_id_is_accepted_once_and_answers_with_the_first(store: Store) -> None:
    await store.create(row(), WsCreated())
    await store.create(row("aaaa0002", created=2.0), WsCreated())
    once = await store.append("aaaa0001", 1, [accepted("c1", "first")])

    again = await store.append("aaaa0002", 1, [accepted("c1", "second")])

    assert again.duplicate
    assert again.events == once.events
    assert len(await store.records("aaaa0002")) == 1


async def test_five_senders_of_one_correlation_id_at_once_are_accepted_once(store: Store) -> None:
    await store.create(row(), WsCreated())

    tries = await asyncio.gather(
        *(store.append("aaaa0001", 1, [accepted("c1", str(n))]) for n in range(5))
    )

    assert sorted(t.duplicate for t in tries) == [False, True, True, True, True]
    assert len({msgspec.json.encode(t.events[0]) for t in tries}) == 1


async def test_an_owner_whose_epoch_is_over_cannot_write(store: Store) -> None:
    await store.create(row(), WsCreated())
    taken = await store.acquire("aaaa0001", "other")

    with pytest.raises(NotOwner, match="epoch 2, ours was 1"):
        await store.append("aaaa0001", 1, [accepted("c1")])

    assert taken.epoch == 2
    assert taken.owner == "other"
    assert not (await store.append("aaaa0001", 2, [accepted("c1")])).duplicate


async def test_rows_count_open_turns_and_leave_closed_workstreams_out(store: Store) -> None:
    await store.create(row("aaaa0002", created=2.0), WsCreated())
    await store.create(row("aaaa0001", created=1.0), WsCreated())
    await store.append("aaaa0001", 1, [accepted("c1"), accepted("c2")])
    await store.append("aaaa0001", 1, [TurnEnded(correlation_id="c1")], {"n": 2})

    both = await store.rows("node")
    await store.append("aaaa0002", 1, [WsClosed()])

    assert [r.ws_id for r in both] == ["aaaa0001", "aaaa0002"]
    assert both[0].open_turns == 1
    assert both[0].last_seq == 4
    assert both[0].summary == {"n": 2}
    assert [r.ws_id for r in await store.rows()] == ["aaaa0001"]
    assert await store.rows("somebody else") == []
    assert await store.count("node") == 1
    assert await store.count("somebody else") == 0
    closed = await store.row("aaaa0002")
    assert closed is not None
    assert closed.closed


async def test_a_refused_append_leaves_nothing_behind(store: Store) -> None:
    await store.create(row(), WsCreated())
    twice = [accepted("c1"), accepted("c1")]

    with pytest.raises(StoreError):
        await store.append("aaaa0001", 1, twice)

    assert len(await store.records("aaaa0001")) == 1
    assert not (await store.append("aaaa0001", 1, [accepted("c1")])).duplicate


async def test_unknown_workstreams_are_told(store: Store) -> None:
    with pytest.raises(UnknownWorkstream):
        await store.append("ffffffff", 1, [accepted("c1")])
    with pytest.raises(UnknownWorkstream):
        await store.acquire("ffffffff", "node")
    assert await store.row("ffffffff") is None
    assert await store.records("ffffffff") == []


async def test_everything_is_there_when_the_store_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "turnstone.db"
    first = await SqliteStore.open(path)
    await first.create(row(), WsCreated(name="kept"))
    await first.aclose()
    await first.aclose()

    second = await SqliteStore.open(path)
    records: list[Event] = list(await second.records("aaaa0001"))
    await second.aclose()

    assert [EventId.parse(r.id) for r in records] == [EventId(1)]
    assert path.stat().st_mode & 0o077 == 0


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "turnstone.db")
    await store.aclose()

    with pytest.raises(StoreError, match="is closed"):
        await store.rows()


async def test_a_file_that_is_no_database_is_named_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("my notes, not a database\n" * 100)

    with pytest.raises(StoreError, match=r"notes\.txt is damaged"):
        await SqliteStore.open(path)

    assert path.read_text().startswith("my notes")


async def test_a_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "turnstone.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()

    with pytest.raises(StoreError, match=r"newer turnstone \(schema 99"):
        await SqliteStore.open(path)


async def test_a_record_that_cannot_be_read_is_an_error_and_never_an_empty_journal(
    tmp_path: Path,
) -> None:
    path = tmp_path / "turnstone.db"
    store = await SqliteStore.open(path)
    await store.create(row(), WsCreated(name="kept"))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE record SET body = x'7b22'")
    connection.close()

    with pytest.raises(StoreError, match="record 1 of workstream aaaa0001"):
        await store.records("aaaa0001")
    await store.aclose()


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreError, match="cannot be made"):
        await SqliteStore.open(tmp_path / "file" / "turnstone.db")


async def test_what_was_committed_is_on_the_disk_and_not_only_on_its_way(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "turnstone.db")
    assert store._connection is not None
    settings = await store._call(
        lambda: [
            store._open_connection().execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous")
        ]
    )
    await store.aclose()

    assert settings == ["wal", 2]  # 2 is FULL


async def test_nothing_is_written_behind_the_closing(store: Store) -> None:
    await store.create(row(), WsCreated())
    await store.append("aaaa0001", 1, [WsClosed()])

    with pytest.raises(UnknownWorkstream, match="is closed"):
        await store.append("aaaa0001", 1, [accepted("c1")])
