"""The contract of a store, over every implementation there is."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from pathlib import Path

import msgspec
import psycopg
import pytest

from support.postgres import PostgresServer
from turnstone.core.errors import Erased, NameTaken, NotOwner, StoreError, UnknownWorkstream
from turnstone.core.events import (
    ConversationSet,
    Event,
    EventId,
    HistoryMessage,
    MessageAccepted,
    StepFinished,
    StepStarted,
    ToolCallRecord,
    TurnEnded,
    WsClosed,
    WsCreated,
    WsRename,
    encode,
)
from turnstone.core.store import SqliteStore, Store, WorkstreamRow
from turnstone.core.store.base import Place
from turnstone.core.store.schema import MIGRATIONS, POSTGRES, SQLITE, statements

#: What a row's summary was before states were counted; the name has what looks like a state.
OLD_SUMMARY = msgspec.json.encode({"name": '"state":"idle"', "state": "attention"})

#: The version from which on states are counted.
STATES = 4

#: The last version whose rows did not name what they are below of.
PARENTLESS = 7

#: What rows of it held: ids, summaries and states.
OLD_FAMILY = [
    ("aaaa0001", {"name": '"parent":"aaaa0003"', "agents": 1}, ""),
    ("aaaa0002", {"state": "idle", "parent": "aaaa0001", "agent": "task"}, "sub-agent"),
    ("aaaa0003", {}, ""),
]

#: Opens the same store once more, as another process would.
Opener = Callable[[], Awaitable[Store]]


@pytest.fixture(params=["sqlite", "postgres"])
async def another(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opener]:
    opened: list[Store] = []
    url = request.getfixturevalue("postgres").database() if request.param == "postgres" else ""

    async def opener() -> Store:
        if url:
            from turnstone.core.store.postgres import PostgresStore

            opened.append(await PostgresStore.open(url))
        else:
            opened.append(await SqliteStore.open(tmp_path / "turnstone.db"))
        return opened[-1]

    yield opener
    for store in opened:
        await store.aclose()


@pytest.fixture
async def store(another: Opener) -> Store:
    return await another()


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


async def test_a_workstream_and_its_first_records_are_one_write(store: Store) -> None:
    named = WsRename(name="one", alias="mine")
    said = ConversationSet(why="imported", history=[HistoryMessage(role="user", content="pears")])

    first = await store.create(row(), WsCreated(timestamp=4.0), [said, named, WsClosed()])

    assert [r.type for r in await store.records("aaaa0001")] == [
        "ws_created",
        "conversation_set",
        "ws_rename",
        "ws_closed",
    ]
    found = await store.row("aaaa0001")
    assert found is not None
    assert (first.id, found.last_seq, found.closed, found.updated) == ("1-0", 4, True, 4.0)
    assert [hit.ws_id for hit in await store.search("pears", 5)] == ["aaaa0001"]
    with pytest.raises(NameTaken):
        await store.create(row("aaaa0002"), WsCreated(), [said, named])
    assert await store.row("aaaa0002") is None
    assert await store.records("aaaa0002") == []
    assert len(await store.search("pears", 5)) == 1


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
    assert [r.ws_id for r in await store.working()] == ["aaaa0001"]
    closed = await store.row("aaaa0002")
    assert closed is not None
    assert closed.closed


async def test_the_sub_agents_of_one_are_told_by_creation_and_no_others(store: Store) -> None:
    def agent(ws_id: str, parent: str, created: float, owner: str = "node") -> WorkstreamRow:
        found = row(ws_id, owner, created)
        return msgspec.structs.replace(found, summary={"parent": parent})

    await store.create(row(), WsCreated())
    for made in (
        agent("aaaa0004", "aaaa0001", 4.0),
        agent("aaaa0003", "aaaa0001", 3.0, owner="other"),
        agent("aaaa0005", "aaaa0003", 5.0),
        row("aaaa0006", created=6.0),
    ):
        await store.create(made, WsCreated())
    await store.append("aaaa0004", 1, [WsClosed()])

    below = await store.below("aaaa0001")
    assert [(r.ws_id, r.owner, r.closed) for r in below] == [
        ("aaaa0003", "other", False),
        ("aaaa0004", "node", True),
    ]
    assert [r.ws_id for r in await store.below("aaaa0003")] == ["aaaa0005"]
    assert await store.below("") == []
    await store.erase("aaaa0004", 1)
    assert [r.ws_id for r in await store.below("aaaa0001")] == ["aaaa0003"]


async def test_of_two_that_take_over_what_they_have_looked_at_one_is_refused(store: Store) -> None:
    await store.create(row(), WsCreated())

    taken = await store.acquire("aaaa0001", "one", 1)

    assert taken.epoch == 2
    with pytest.raises(NotOwner, match="aaaa0001"):
        await store.acquire("aaaa0001", "two", 1)
    found = await store.row("aaaa0001")
    assert found is not None
    assert (found.owner, found.epoch) == ("one", 2)


async def test_settling_tells_what_is_there_and_only_to_the_owner(store: Store) -> None:
    await store.create(row(), WsCreated())
    told = await store.append("aaaa0001", 1, [accepted("c1"), StepStarted()])

    assert await store.settle("aaaa0001", 1, 1) == told.events
    assert await store.settle("aaaa0001", 1, 3) == []
    await store.acquire("aaaa0001", "other")
    with pytest.raises(NotOwner):
        await store.settle("aaaa0001", 1, 1)


async def test_rows_come_by_pages_that_join_without_a_gap_whatever_closes(store: Store) -> None:
    names = [f"aaaa000{n}" for n in range(7)]
    for n, ws_id in enumerate(names):
        await store.create(row(ws_id, created=float(n // 3)), WsCreated())
    await store.create(row("bbbb0000", owner="other", created=0.0), WsCreated())
    pages: list[list[str]] = []
    place: Place | None = None
    while page := await store.rows("node", after=place, limit=3):
        pages.append([r.ws_id for r in page])
        place = page[-1].place
        await store.append(page[-1].ws_id, 1, [WsClosed()])

    assert pages == [names[:3], names[3:6], names[6:]]
    assert [r.ws_id for r in await store.rows("node", limit=2)] == names[:2]
    everybody = await store.rows(after=Place(0.0, names[1]))
    assert [r.ws_id for r in everybody] == ["bbbb0000", "aaaa0003", "aaaa0004"]


async def test_states_are_counted_as_the_last_summary_has_them(store: Store) -> None:
    for n, state in enumerate(("idle", "idle", "thinking", None)):
        made = row(f"aaaa000{n}")
        if state:
            made = msgspec.structs.replace(made, summary={"state": state, "name": '"state":"x"'})
        await store.create(made, WsCreated())
    await store.create(row("bbbb0000", owner="other"), WsCreated())
    before = await store.states("node")
    await store.append("aaaa0000", 1, [accepted("c1")], {"state": "error"})
    await store.append("aaaa0001", 1, [accepted("c2")])
    await store.append("aaaa0002", 1, [WsClosed()])
    after = await store.states("node")
    await store.acquire("aaaa0001", "other")

    assert before == {"idle": 2, "thinking": 1, "": 1}
    assert after == {"idle": 1, "error": 1, "": 1}
    assert await store.states("node") == {"error": 1, "": 1}
    assert await store.states("other") == {"idle": 1, "": 1}
    assert await store.states("nobody") == {}


async def test_a_row_knows_when_its_last_record_was_written(store: Store) -> None:
    await store.create(row(created=5.0), WsCreated(timestamp=5.0))
    await store.append("aaaa0001", 1, [msgspec.structs.replace(accepted("c1"), timestamp=9.0)])
    found = await store.row("aaaa0001")
    assert found is not None
    assert found.updated == 9.0


async def test_the_older_ones_have_nothing_open_and_may_be_closed(store: Store) -> None:
    for n, created in enumerate((4.0, 3.0, 2.0, 9.0), 1):
        await store.create(row(f"aaaa000{n}", created=created), WsCreated(timestamp=created))
    await store.append("aaaa0002", 1, [WsClosed(timestamp=3.5)])
    await store.append("aaaa0003", 1, [accepted("c1")])

    assert [r.ws_id for r in await store.older(5.0)] == ["aaaa0002", "aaaa0001"]
    assert [r.ws_id for r in await store.older(4.0)] == ["aaaa0002"]


async def test_an_erased_workstream_leaves_nothing_but_a_hash_of_its_messages(
    store: Store,
) -> None:
    await store.create(row(), WsCreated())
    await store.create(row("aaaa0002", created=2.0), WsCreated())
    await store.append("aaaa0001", 1, [accepted("c1"), TurnEnded(correlation_id="c1")])

    with pytest.raises(NotOwner):
        await store.erase("aaaa0001", 2)
    await store.erase("aaaa0001", 1)

    assert await store.scrub()
    assert await store.row("aaaa0001") is None
    assert await store.records("aaaa0001") == []
    assert await store.ending("aaaa0001", "c1") is None
    with pytest.raises(UnknownWorkstream):
        await store.erase("aaaa0001", 1)
    with pytest.raises(UnknownWorkstream):
        await store.append("aaaa0001", 1, [accepted("c2")])
    with pytest.raises(Erased, match="c1"):
        await store.append("aaaa0002", 1, [accepted("c1")])
    assert not (await store.append("aaaa0002", 1, [accepted("c2")])).duplicate


async def test_what_is_below_is_erased_with_it_or_nothing_is(store: Store) -> None:
    ids = ["aaaa0001", "aaaa0002", "aaaa0003"]
    for number, ws_id in enumerate(ids):
        await store.create(row(ws_id, created=float(number)), WsCreated())
        await store.append(ws_id, 1, [accepted(ws_id), TurnEnded(correlation_id=ws_id)])
    before = [await store.records(ws_id) for ws_id in ids]

    with pytest.raises(NotOwner):
        await store.erase("aaaa0001", 1, [("aaaa0002", 1), ("aaaa0003", 2)])
    with pytest.raises(NotOwner):
        await store.erase("aaaa0001", 2, [("aaaa0002", 1), ("aaaa0003", 1)])
    with pytest.raises(UnknownWorkstream):
        await store.erase("aaaa0001", 1, [("aaaa0002", 1), ("aaaa0004", 1)])
    assert [await store.records(ws_id) for ws_id in ids] == before
    await store.erase("aaaa0001", 1, [("aaaa0002", 1), ("aaaa0003", 1)])

    assert [await store.row(ws_id) for ws_id in ids] == [None] * 3
    await store.create(row("aaaa0005"), WsCreated())
    for ws_id in ids:
        with pytest.raises(Erased, match=ws_id):
            await store.append("aaaa0005", 1, [accepted(ws_id)])


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


async def test_everything_is_there_when_the_store_is_opened_again(another: Opener) -> None:
    first = await another()
    await first.create(row(), WsCreated(name="kept"))
    await first.append("aaaa0001", 1, [accepted("c1")], {"n": 2})
    before = await first.row("aaaa0001")
    await first.aclose()
    await first.aclose()

    second = await another()
    records: list[Event] = list(await second.records("aaaa0001"))

    assert [EventId.parse(r.id) for r in records] == [EventId(1), EventId(2)]
    assert await second.row("aaaa0001") == before
    assert (await second.append("aaaa0001", 1, [accepted("c1")])).duplicate


async def test_two_processes_that_accept_one_correlation_id_at_once_accept_it_once(
    another: Opener,
) -> None:
    stores = [await another() for _ in range(3)]
    for n, store in enumerate(stores):
        await store.create(row(f"aaaa000{n}", owner=f"node{n}", created=n), WsCreated())

    for round_ in range(20):
        tries = await asyncio.gather(
            *(
                store.append(f"aaaa000{n}", 1, [accepted(f"c{round_}", str(n))])
                for n, store in enumerate(stores)
            )
        )
        assert sorted(t.duplicate for t in tries) == [False, True, True]
        assert len({msgspec.json.encode(t.events[0]) for t in tries}) == 1


async def test_two_processes_that_acquire_at_once_are_given_epochs_of_their_own(
    another: Opener,
) -> None:
    stores = [await another() for _ in range(3)]
    await stores[0].create(row(), WsCreated())

    taken = await asyncio.gather(
        *(store.acquire("aaaa0001", f"node{n}") for n, store in enumerate(stores))
    )
    told = await asyncio.gather(
        *(
            store.append("aaaa0001", t.epoch, [accepted(t.owner)])
            for t, store in zip(taken, stores, strict=True)
        ),
        return_exceptions=True,
    )

    assert sorted(t.epoch for t in taken) == [2, 3, 4]
    assert [isinstance(t, NotOwner) for t in told] == [t.epoch != 4 for t in taken]


async def test_any_text_may_be_in_a_correlation_id(store: Store) -> None:
    await store.create(row(), WsCreated())
    for strange in ("", "ü 🙂", "'; DROP TABLE record; --", "100 % ?", "x" * 2_000):
        await store.append("aaaa0001", 1, [accepted(strange)])
        assert (await store.append("aaaa0001", 1, [accepted(strange)])).duplicate


async def test_a_closed_store_says_so(store: Store) -> None:
    await store.aclose()

    with pytest.raises(StoreError, match="is closed"):
        await store.rows()


async def test_a_new_store_can_be_read_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "turnstone.db"
    await (await SqliteStore.open(path)).aclose()

    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0


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
            store._connected().execute(f"PRAGMA {name}").fetchone()[0]
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


#: Columns of a workstream as the first version had them.
_FIRST = "ws_id, session_id, created, owner, epoch, last_seq, open_turns, closed, summary"


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
async def test_a_store_of_an_older_version_is_brought_up_to_date(
    tmp_path: Path, version: int
) -> None:
    path = tmp_path / "turnstone.db"
    first = WsCreated(name="old", ws_id="aaaa0001", id="1-0", timestamp=7.5)
    old = ("aaaa0001", "s" * 12, 1.0, "node", 1, 1, 0, 0, OLD_SUMMARY)
    with sqlite3.connect(path) as connection:
        for migration in MIGRATIONS[:version]:
            for statement in statements(migration, SQLITE):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {version}")
        connection.execute(f"INSERT INTO workstream ({_FIRST}) VALUES (?,?,?,?,?,?,?,?,?)", old)
        record = ("aaaa0001", 1, first.type, "", encode(first))
        names = "ws_id, seq, type, correlation_id, body"
        connection.execute(f"INSERT INTO record ({names}) VALUES (?,?,?,?,?)", record)
    connection.close()

    store = await SqliteStore.open(path)
    assert await store.states("node") == ({"attention": 1} if version < STATES else {"": 1})
    await store.append("aaaa0001", 1, [accepted("c1")], {"state": "idle"})
    assert [r.type for r in await store.records("aaaa0001")] == ["ws_created", "message_accepted"]
    [found] = await store.rows("node")
    assert found.updated == (7.5 if version == 1 else 0.0)
    assert found.open_turns == 1
    await store.aclose()
    await (await SqliteStore.open(path)).aclose()  # which checks it


async def test_the_states_of_an_older_store_on_postgres_are_counted_too(
    postgres: PostgresServer,
) -> None:
    from turnstone.core.store.postgres import PostgresStore

    url, old = postgres.database(), STATES - 1
    with psycopg.connect(url) as connection:
        for migration in MIGRATIONS[:old]:
            for statement in statements(migration, POSTGRES):
                connection.execute(statement.encode())
        connection.execute("CREATE TABLE turnstone_schema (version BIGINT NOT NULL)")
        connection.execute("INSERT INTO turnstone_schema VALUES (%s)", (old,))
        for n, summary in enumerate((OLD_SUMMARY, b"{}")):
            connection.execute(
                f"INSERT INTO workstream ({_FIRST}) VALUES (%s,%s,%s,%s,%s,%s,%s,%s,%s)",
                (f"aaaa000{n}", "s" * 12, 1.0, "node", 1, 0, 0, 0, summary),
            )

    store = await PostgresStore.open(url)
    assert await store.states("node") == {"attention": 1, "": 1}
    await store.aclose()


async def test_the_sub_agents_of_an_older_store_are_found(tmp_path: Path) -> None:
    path = tmp_path / "turnstone.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        for migration in MIGRATIONS[:PARENTLESS]:
            for statement in statements(migration, SQLITE):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {PARENTLESS}")
        for ws_id, summary, state in OLD_FAMILY:
            values = (ws_id, "s" * 12, 1.0, "n", 1, 0, 0, 0, msgspec.json.encode(summary), state)
            connection.execute(
                f"INSERT INTO workstream ({_FIRST}, state) VALUES (?,?,?,?,?,?,?,?,?,?)", values
            )

    store = await SqliteStore.open(path)
    assert [r.ws_id for r in await store.below("aaaa0001")] == ["aaaa0002"]
    assert await store.below("aaaa0003") == []
    await store.aclose()
    await (await SqliteStore.open(path)).aclose()  # which checks it


async def test_the_sub_agents_of_an_older_store_on_postgres_are_found(
    postgres: PostgresServer,
) -> None:
    from turnstone.core.store.postgres import PostgresStore

    url = postgres.database()
    with psycopg.connect(url) as connection:
        for migration in MIGRATIONS[:PARENTLESS]:
            for statement in statements(migration, POSTGRES):
                connection.execute(statement.encode())
        connection.execute("CREATE TABLE turnstone_schema (version BIGINT NOT NULL)")
        connection.execute("INSERT INTO turnstone_schema VALUES (%s)", (PARENTLESS,))
        for ws_id, summary, state in OLD_FAMILY:
            values = (ws_id, "s" * 12, 1.0, "n", 1, 0, 0, 0, msgspec.json.encode(summary), state)
            connection.execute(
                f"INSERT INTO workstream ({_FIRST}, state) VALUES (%s,%s,%s,%s,%s,%s,%s,%s,%s,%s)",
                values,
            )

    store = await PostgresStore.open(url)
    assert [r.ws_id for r in await store.below("aaaa0001")] == ["aaaa0002"]
    assert await store.below("aaaa0003") == []
    await store.aclose()


async def test_a_row_below_another_than_its_summary_says_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "turnstone.db"
    store = await SqliteStore.open(path)
    await store.create(row(), WsCreated())
    await store.aclose()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE workstream SET parent = 'aaaa0002'")

    with pytest.raises(StoreError, match="the row of workstream aaaa0001: its parent is wrong"):
        await SqliteStore.open(path)


async def test_a_state_that_is_not_its_summarys_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "turnstone.db"
    store = await SqliteStore.open(path)
    await store.create(row(), WsCreated())
    await store.aclose()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE workstream SET state = 'error'")

    with pytest.raises(StoreError, match="the row of workstream aaaa0001: its state is wrong"):
        await SqliteStore.open(path)
