"""Backups: made while turns run, checked, restored into a node that goes on with them."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from modelserver import ModelServer, hold, text
from modelserver.plans import echo
from support.nodes import start_host
from turnstone.core import events as ev
from turnstone.core.errors import StoreError
from turnstone.core.events import MessageAccepted, WsClosed, WsCreated
from turnstone.core.host import CreateWorkstream, SendMessage
from turnstone.core.local_host import LocalHost
from turnstone.core.store import SqliteStore, WorkstreamRow
from turnstone.core.store.backup import back_up, restore
from turnstone.main import turnstone

PATIENCE = 60.0


async def filled(path: Path, *names: str) -> None:
    store = await SqliteStore.open(path)
    for n, name in enumerate(names):
        row = WorkstreamRow(
            ws_id=f"aaaa000{n}", session_id="s" * 12, created=float(n), owner="node", epoch=1
        )
        await store.create(row, WsCreated(name=name))
    await store.aclose()


async def names(path: Path) -> list[str]:
    store = await SqliteStore.open(path)
    try:
        found = [(await store.records(row.ws_id))[0] for row in await store.rows()]
        return [first.name for first in found if isinstance(first, WsCreated)]
    finally:
        await store.aclose()


async def test_a_backup_made_while_turns_run_is_restored_and_they_are_carried_on(
    tmp_path: Path,
) -> None:
    gate = threading.Event()
    backup = tmp_path / "backup.db"
    with ModelServer(lambda body: hold(text("late"), gate)) as model:
        host = await start_host(tmp_path / "one", model.base_url)
        first = await host.create(CreateWorkstream(name="at work"))
        other = await host.create(CreateWorkstream(name="idle"))
        await host.send(SendMessage(ws_id=first.id, message="hello", correlation_id="c1"))
        await host.send(SendMessage(ws_id=first.id, message="and then", correlation_id="c2"))
        async for event in host.follow(first.id, ev.EventId(1)):
            if isinstance(event, ev.StepStarted):
                break

        count = await asyncio.to_thread(back_up, tmp_path / "one" / "turnstone.db", backup)

        gate.set()
        await host.aclose()
    assert count == 2
    assert backup.stat().st_mode & 0o777 == 0o600
    assert sorted(p.name for p in tmp_path.iterdir()) == ["backup.db", "one"]

    done = restore(backup, tmp_path / "two" / "turnstone.db", "other_node")
    with ModelServer(echo) as model:
        again = await start_host(tmp_path / "two", model.base_url, node_id="other_node")
        assert [info.id for info in await again.list()] == [first.id, other.id]
        for cid, answer in (("c1", "hello"), ("c2", "and then")):
            assert await ended(again, first.id, cid) == answer
        await again.send(SendMessage(ws_id=other.id, message="here too", correlation_id="c3"))
        assert await ended(again, other.id, "c3") == "here too"
        await again.aclose()
    assert (done.workstreams, done.open_turns, done.aside) == (2, 2, None)


async def ended(host: LocalHost, ws_id: str, correlation_id: str) -> str:
    async with asyncio.timeout(PATIENCE):
        async for event in host.follow(ws_id, ev.EventId(1)):
            if isinstance(event, ev.TurnEnded) and event.correlation_id == correlation_id:
                return event.text
    raise AssertionError("it did not end")


async def test_every_backup_of_a_store_that_is_written_to_is_one_moment_of_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "turnstone.db"
    await filled(path, "one", "two")
    store = await SqliteStore.open(path)

    async def write() -> None:
        for n in range(150):
            for ws_id in ("aaaa0000", "aaaa0001"):
                message = MessageAccepted(message="x" * 5_000, correlation_id=f"{ws_id}{n}")
                await store.append(ws_id, 1, [message])

    writing = asyncio.create_task(write())
    copies: list[Path] = []
    while not writing.done():
        copies.append(tmp_path / f"copy{len(copies)}.db")
        await asyncio.to_thread(back_up, path, copies[-1])
    await writing
    await store.aclose()

    for copy in copies:
        with sqlite3.connect(copy) as connection:
            sql = "SELECT last_seq FROM workstream ORDER BY ws_id"
            one, two = (seq for (seq,) in connection.execute(sql))
        connection.close()
        assert one - two in (0, 1)


async def test_a_restore_moves_the_store_aside_with_all_that_was_in_it(tmp_path: Path) -> None:
    path = tmp_path / "turnstone.db"
    await filled(path, "old")
    back_up(path, tmp_path / "backup.db")
    store = await SqliteStore.open(path)
    await store.append("aaaa0000", 1, [WsClosed()])
    await store.aclose()

    done = restore(tmp_path / "backup.db", path, "node")

    assert await names(path) == ["old"]
    assert done.aside is not None
    assert await names(done.aside) == []  # it was closed there
    assert done.aside.stat().st_size > 0


async def test_a_store_in_use_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "turnstone.db"
    await filled(path, "one")
    back_up(path, tmp_path / "backup.db")
    store = await SqliteStore.open(path)

    with pytest.raises(StoreError, match="in use by another turnstone process"):
        restore(tmp_path / "backup.db", path, "node")

    await store.append("aaaa0000", 1, [MessageAccepted(message="x", correlation_id="c")])
    await store.aclose()
    assert await names(path) == ["one"]


async def test_a_damaged_backup_is_refused_and_the_store_stays(tmp_path: Path) -> None:
    path, backup = tmp_path / "turnstone.db", tmp_path / "backup.db"
    await filled(path, "one")
    back_up(path, backup)
    with sqlite3.connect(backup) as connection:
        connection.execute("UPDATE record SET body = replace(CAST(body AS TEXT), 'one', 'two')")
    connection.close()

    with pytest.raises(StoreError, match=r"backup\.db is damaged .* nothing was taken from it"):
        restore(backup, path, "node")
    backup.write_text("no database " * 1_000)
    with pytest.raises(StoreError, match="file is not a database"):
        restore(backup, path, "node")

    assert await names(path) == ["one"]
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


async def test_a_backup_overwrites_nothing(tmp_path: Path) -> None:
    path = tmp_path / "turnstone.db"
    await filled(path, "one")
    (tmp_path / "notes").write_text("mine")

    for target in (tmp_path / "notes", path):
        with pytest.raises(StoreError, match="There is a file"):
            back_up(path, target)

    assert (tmp_path / "notes").read_text() == "mine"


async def test_a_damaged_store_is_not_backed_up_and_its_last_backup_is_named(
    tmp_path: Path,
) -> None:
    path = tmp_path / "turnstone.db"
    await filled(path, "one")
    back_up(path, tmp_path / "good.db")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE workstream SET epoch = 7")
    connection.close()

    with pytest.raises(StoreError, match=r"The store .* is damaged .*good\.db"):
        back_up(path, tmp_path / "bad.db")
    with pytest.raises(StoreError, match=r"the newest is .*good\.db"):
        await SqliteStore.open(path)

    assert not (tmp_path / "bad.db").exists()


def test_the_commands_say_what_they_did(tmp_path: Path) -> None:
    path, backup = tmp_path / "turnstone.db", tmp_path / "backup.db"
    asyncio.run(filled(path, "one"))
    runner = CliRunner()

    made = runner.invoke(turnstone, ["backup", "--store", str(path), str(backup)])
    twice = runner.invoke(turnstone, ["backup", "--store", str(path), str(backup)])
    back = runner.invoke(turnstone, ["restore", "--store", str(path), str(backup)])

    assert (made.exit_code, twice.exit_code, back.exit_code) == (0, 1, 0), made.output + back.output
    assert f"1 workstream(s) of {path} are in {backup}, checked." in made.output
    assert "There is a file" in twice.output
    assert "What was there before is in" in back.output
    assert len(list(tmp_path.glob("turnstone.db.before-restore-*.db"))) == 1


@pytest.mark.parametrize(("command", "program"), [("backup", "pg_dump"), ("restore", "pg_restore")])
def test_for_postgres_its_own_programs_are_named(
    tmp_path: Path, command: str, program: str
) -> None:
    arguments = ["--store-url", "postgresql://u:s3cret@h/d", str(tmp_path / "x")]

    told = CliRunner().invoke(turnstone, [command, *arguments])

    assert told.exit_code == 1
    assert program in told.output
    assert "s3cret" not in told.output


def test_a_store_named_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[store]\nurl = "postgresql://h/d"\n')
    os.chmod(tmp_path / "config.toml", 0o600)
    config = ["--config", str(tmp_path / "config.toml"), "--store", str(tmp_path / "x.db")]

    told = CliRunner().invoke(turnstone, ["backup", *config, str(tmp_path / "x")])
    chosen = CliRunner().invoke(turnstone, ["backup", *config, "--store-url", "", "y"])

    assert "The store is named twice: command line: --store" in told.output
    assert "There is no store" in chosen.output


def test_a_url_given_as_a_file_is_told_where_it_belongs(tmp_path: Path) -> None:
    told = CliRunner().invoke(turnstone, ["backup", "--store", "postgresql://u:s3cret@h/d", "x"])

    assert told.exit_code == 2
    assert "named with --store-url" in told.output
    assert "s3cret" not in told.output
