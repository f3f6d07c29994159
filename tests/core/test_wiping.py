"""How erased text leaves the files of a SQLite store, in small stores and in large ones."""

from __future__ import annotations

import asyncio
import random
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from turnstone.core import events as ev
from turnstone.core.store import SqliteStore, WorkstreamRow
from turnstone.main import turnstone

SECRET = re.compile(rb"secret-([0-9a-f]{8})")

#: Together more than the size up to which a file is written anew with each erasure.
LARGE = "x" * 1_000_000


async def opened(path: Path, *ws_ids: str) -> SqliteStore:
    store = await SqliteStore.open(path)
    for ws_id in ws_ids:
        row = WorkstreamRow(ws_id=ws_id, session_id="s" * 12, created=1.0, owner="n", epoch=1)
        await store.create(row, ev.WsCreated(name=f"secret-{ws_id}"))
    return store


def secrets_in(path: Path) -> set[str]:
    """Of which workstreams any text is in any file of the store."""
    content = b"".join(p.read_bytes() for p in path.parent.glob(f"{path.name}*") if p.is_file())
    return {found.decode() for found in SECRET.findall(content)}


def free_pages(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        number: int = connection.execute("PRAGMA freelist_count").fetchone()[0]
        return number


async def large(path: Path) -> SqliteStore:
    store = await opened(path, "aaaa0001", "aaaa0002", "aaaa0003")
    for n in range(20):
        await store.append("aaaa0001", 1, [ev.StepFinished(text=LARGE)])
        await store.append("aaaa0002", 1, [ev.StepFinished(text=f"secret-aaaa0002 {n} " * 2000)])
    return store


@pytest.mark.parametrize("number", range(6))
async def test_no_piece_of_an_erased_workstream_is_left_between_those_of_others(
    tmp_path: Path, number: int, seed: int
) -> None:
    chance, path = random.Random(seed), tmp_path / "turnstone.db"
    ws_ids = [f"{chance.randrange(16**8):08x}" for _ in range(12)]
    store = await opened(path, *ws_ids)
    for n in range(300):
        ws_id = chance.choice(ws_ids)
        text = f"secret-{ws_id}" + "x" * chance.choice([5, 50, 300, 900, 4000])
        cid = f"secret-{ws_id}-{n}"
        record = chance.choice(
            [ev.StepFinished(text=text), ev.MessageAccepted(message=text, correlation_id=cid)]
        )
        await store.append(ws_id, 1, [record], {"name": f"secret-{ws_id}" * chance.choice([1, 9])})
    assert secrets_in(path) == set(ws_ids)

    for ws_id in ws_ids[:6]:
        await store.erase(ws_id, 1)
    assert await store.scrub()

    assert secrets_in(path) == set(ws_ids[6:])
    await store.aclose()


async def test_an_erasure_from_a_large_store_does_not_write_it_anew_and_compacting_does(
    tmp_path: Path,
) -> None:
    path = tmp_path / "turnstone.db"
    store = await large(path)

    await store.erase("aaaa0002", 1)
    assert await store.scrub()

    assert secrets_in(path) == {"aaaa0001", "aaaa0003"}
    assert free_pages(path) > 100  # what is gone leaves its place
    assert await store.scrub(anew=True)
    assert free_pages(path) == 0
    assert secrets_in(path) == {"aaaa0001", "aaaa0003"}
    await store.aclose()


async def test_a_large_file_that_is_mostly_free_is_written_anew_when_it_is_closed(
    tmp_path: Path,
) -> None:
    path = tmp_path / "turnstone.db"
    store = await large(path)
    await store.erase("aaaa0001", 1)
    assert await store.scrub()
    assert path.stat().st_size > 20_000_000

    await store.aclose()

    assert path.stat().st_size < 5_000_000
    assert secrets_in(path) == {"aaaa0002", "aaaa0003"}


async def test_the_command_compacts_beside_a_process_that_uses_the_store(tmp_path: Path) -> None:
    path = tmp_path / "turnstone.db"
    store = await large(path)
    await store.erase("aaaa0002", 1)

    done = await run("--compact", "--store", str(path))

    assert done[0] == 0
    assert done[1].startswith(f"The store {path} was written anew: 2")
    assert free_pages(path) == 0
    assert secrets_in(path) == {"aaaa0001", "aaaa0003"}
    await store.append("aaaa0003", 1, [ev.StepFinished(text="goes on")])
    await store.aclose()


async def test_what_cannot_be_compacted_is_told(tmp_path: Path) -> None:
    nowhere = tmp_path / "nothing.db"

    assert await run("--compact", "--store", str(nowhere)) == (
        1,
        f"error: There is no store {nowhere}.\n  Name it with --store.\n",
    )
    code, told = await run("--compact", "--store-url", "postgresql://u:s3cret@h/d")
    assert code == 1
    assert "VACUUM FULL" in told
    assert "s3cret" not in told
    code, told = await run()
    assert code == 2
    assert "Name a session, or give --compact." in told
    assert not nowhere.exists()


async def run(*arguments: str) -> tuple[int, str]:
    """`turnstone erase`, in a thread: it runs a loop of its own."""
    done = await asyncio.to_thread(CliRunner().invoke, turnstone, ["erase", *arguments])
    return done.exit_code, done.output
