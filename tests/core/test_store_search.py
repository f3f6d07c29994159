"""The index of a store's own files: made for what is there, wiped with what is erased."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

from support.clocks import SetClock
from support.postgres import PostgresServer
from turnstone.core.events import (
    Event,
    EventId,
    MessageAccepted,
    StepFinished,
    Titled,
    WsCreated,
    encode,
)
from turnstone.core.store import SqliteStore, Store, WorkstreamRow
from turnstone.core.store.postgres import PostgresStore
from turnstone.core.store.schema import MIGRATIONS, POSTGRES, SQLITE, statements

#: The version before anything could be found.
BEFORE = next(n for n, migration in enumerate(MIGRATIONS) if migration.search)


PLACE: dict[str, Any] = {"ws_id": "aaaa0001", "timestamp": 1.0}
RECORDS: list[Event] = [
    WsCreated(session_id="5e55", id=str(EventId(1)), **PLACE),
    MessageAccepted(message="where?", id=str(EventId(2)), **PLACE),
    StepFinished(text="a needle", id=str(EventId(3)), **PLACE),
    Titled(title="Needles", id=str(EventId(4)), **PLACE),
]


def older_store(path: Path, records: list[Event]) -> None:
    """A store as that version left it, with one workstream."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for migration in MIGRATIONS[:BEFORE]:
            for statement in statements(migration, SQLITE):
                connection.execute(statement)
        connection.execute(
            "INSERT INTO workstream (ws_id, session_id, created, owner, epoch, last_seq, "
            "open_turns, closed, summary, updated) VALUES ('aaaa0001', '5e55', 1.0, 'node', 1, ?, "
            "0, 0, ?, 1.0)",
            (len(records), b'{"name": "old"}'),
        )
        for seq, record in enumerate(records, 1):
            connection.execute(
                "INSERT INTO record (ws_id, seq, type, correlation_id, body) VALUES (?, ?, ?, ?, ?)",
                ("aaaa0001", seq, record.type, record.correlation_id, encode(record)),
            )
        connection.execute(f"PRAGMA user_version = {BEFORE}")


async def test_what_an_older_version_kept_is_found_once_its_store_was_opened(
    tmp_path: Path,
) -> None:
    older_store(tmp_path / "turnstone.db", RECORDS)

    store = await SqliteStore.open(tmp_path / "turnstone.db")

    await found_as_it_was(store)


async def test_so_is_what_an_older_version_kept_on_postgresql(postgres: PostgresServer) -> None:
    url = postgres.database()
    with psycopg.connect(url) as connection:
        for migration in MIGRATIONS[:BEFORE]:
            for statement in statements(migration, POSTGRES):
                connection.execute(statement.encode())
        connection.execute(
            "INSERT INTO workstream (ws_id, session_id, created, owner, epoch, last_seq, "
            "open_turns, closed, summary, updated) VALUES ('aaaa0001', '5e55', 1.0, 'node', 1, "
            "%s, 0, 0, %s, 1.0)",
            (len(RECORDS), b'{"name": "old"}'),
        )
        for seq, record in enumerate(RECORDS, 1):
            connection.execute(
                "INSERT INTO record (ws_id, seq, type, correlation_id, body) "
                "VALUES ('aaaa0001', %s, %s, '', %s)",
                (seq, record.type, encode(record)),
            )
        connection.execute("CREATE TABLE turnstone_schema (version BIGINT NOT NULL)")
        connection.execute("INSERT INTO turnstone_schema VALUES (%s)", (BEFORE,))

    await found_as_it_was(await PostgresStore.open(url))


async def found_as_it_was(store: Store) -> None:
    """Closes the store."""
    assert [(hit.seq, hit.session_id) for hit in await store.search("needle", 5)] == [(3, "5e55")]
    assert [row.ws_id for row in await store.resolve("5e55")] == ["aaaa0001"]
    [session] = await store.sessions(5)
    assert (session.name, session.message_count) == ("old", 2)
    await store.aclose()


async def test_no_word_of_what_was_erased_is_left_in_the_index(tmp_path: Path) -> None:
    """Words lie there by themselves, and in the parts that later writes were put into."""
    path = tmp_path / "turnstone.db"
    store = await SqliteStore.open(path)
    clock = SetClock()
    for n in range(40):
        ws_id = f"{n:08x}"
        row = WorkstreamRow(ws_id=ws_id, session_id=f"s{n}", created=1.0, owner="node", epoch=1)
        await store.create(row, WsCreated(session_id=f"s{n}", timestamp=clock.now()))
        clock.advance(1)
        secret = "xylophone" if n == 20 else f"plain{n}"
        said = [
            StepFinished(text=f"{secret} {n} {m} word", timestamp=clock.now()) for m in range(9)
        ]
        await store.append(ws_id, 1, said)
    await store.erase(f"{20:08x}", 1)
    assert await store.search("xylophone", 5) == []

    assert await store.scrub()

    await store.aclose()
    content = b"".join(
        file.read_bytes() for file in tmp_path.glob("turnstone.db*") if file.is_file()
    )
    assert b"plain19" in content
    assert b"xylophone" not in content
    assert b"xylo" not in content
    again = await SqliteStore.open(path)
    assert len(await again.search("plain19", 20)) == 9
    await again.aclose()
