"""What people do with a store's files by mistake: told in a sentence, and nothing is made of it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from support.processes import run
from turnstone.core.errors import StoreError
from turnstone.core.events import WsCreated
from turnstone.core.store import SqliteStore, WorkstreamRow
from turnstone.core.store.backup import back_up, restore
from turnstone.core.store.mark import last_backup, mark_path


async def filled(path: Path) -> None:
    store = await SqliteStore.open(path)
    row = WorkstreamRow(ws_id="aaaa0000", session_id="s" * 12, created=1.0, owner="n", epoch=1)
    await store.create(row, WsCreated())
    await store.aclose()


def foreign(path: Path) -> bytes:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
        connection.execute("CREATE TABLE visits (url TEXT)")
    connection.close()
    return path.read_bytes()


async def test_the_database_of_another_program_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    before = foreign(tmp_path / "browser.db")

    with pytest.raises(StoreError, match=r"browser\.db is no store of .*: bookmarks, visits"):
        await SqliteStore.open(tmp_path / "browser.db")

    assert (tmp_path / "browser.db").read_bytes() == before


async def test_a_restored_store_that_is_removed_is_missed(tmp_path: Path) -> None:
    path = tmp_path / "turnstone.db"
    await filled(path)
    back_up(path, tmp_path / "backup.db")
    restore(tmp_path / "backup.db", path, "node")
    path.unlink()

    with pytest.raises(StoreError, match="it is empty, or gone"):
        await SqliteStore.open(path)


async def test_a_backup_counts_where_it_cannot_be_noted_and_no_older_one_is_called_the_newest(
    tmp_path: Path,
) -> None:
    path = tmp_path / "turnstone.db"
    await filled(path)
    mark_path(path).with_name("backup").mkdir()  # what a full disk does to the note, without one

    assert back_up(path, tmp_path / "backup.db") == 1

    assert (tmp_path / "backup.db").exists()
    assert last_backup(path) == ""


async def test_a_store_that_is_there_is_not_said_to_be_impossible_to_make(tmp_path: Path) -> None:
    path = tmp_path / "turnstone.db"
    await filled(path)
    mark_path(path).unlink()
    mark_path(path).mkdir()  # as good as a file system that may not be written

    with pytest.raises(StoreError, match="cannot be opened"):
        await SqliteStore.open(path)
    with pytest.raises(StoreError, match="cannot be made"):
        mark_path(tmp_path / "other.db").mkdir(parents=True)
        await SqliteStore.open(tmp_path / "other.db")


async def test_a_backup_into_a_folder_that_is_not_there_makes_none(tmp_path: Path) -> None:
    await filled(tmp_path / "turnstone.db")

    with pytest.raises(StoreError, match="There is no folder .*nowhere for the backup"):
        back_up(tmp_path / "turnstone.db", tmp_path / "nowhere" / "backup.db")

    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("content", ["text", "foreign", "empty", "newer", "missing"])
async def test_what_is_no_backup_is_named_as_the_culprit_and_nothing_is_made(
    tmp_path: Path, content: str
) -> None:
    backup, new = tmp_path / "given", tmp_path / "new" / "turnstone.db"
    if content == "text":
        backup.write_text("no database " * 1_000)
    elif content == "foreign":
        foreign(backup)
    elif content == "empty":
        backup.touch()
    elif content == "newer":
        await filled(tmp_path / "turnstone.db")
        back_up(tmp_path / "turnstone.db", backup)
        with sqlite3.connect(backup) as connection:
            connection.execute("PRAGMA user_version = 999")
        connection.close()

    code, _, err = await run(tmp_path, "turnstone restore", "--store", str(new), str(backup))

    assert code == 1
    assert str(backup) in err
    assert ".part" not in err
    assert "Traceback" not in err
    assert not new.parent.exists()


async def test_a_truncated_store_is_called_damaged_by_its_backup_and_its_last_one_named(
    tmp_path: Path,
) -> None:
    path = tmp_path / "turnstone.db"
    await filled(path)
    back_up(path, tmp_path / "good.db")
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)

    with pytest.raises(StoreError, match=r"The store .* is damaged .*the newest is .*good\.db"):
        back_up(path, tmp_path / "bad.db")

    assert not (tmp_path / "bad.db").exists()


@pytest.mark.parametrize("program", ["turnstone", "turnstone-server"])
@pytest.mark.parametrize("spelled", ["folder", "folder/", "/", "."])
async def test_a_folder_given_as_the_store_is_called_one(
    tmp_path: Path, program: str, spelled: str
) -> None:
    (tmp_path / "folder").mkdir()
    store = spelled if spelled == "/" else str(tmp_path / spelled) if spelled != "." else "."
    arguments = ["-p", "hello"] if program == "turnstone" else ["--port", "0"]

    code, _, err = await run(tmp_path, program, "--model", "practice", "--store", store, *arguments)

    assert code == 1
    assert "is a directory" in err
    assert "Name a file with --store" in err


async def test_a_workspace_in_the_folder_of_the_store_is_told_as_that(tmp_path: Path) -> None:
    (tmp_path / "workspace").mkdir()
    where = ["--store", str(tmp_path / "x.db"), "--workspace", str(tmp_path / "workspace")]

    code, _, err = await run(tmp_path, "turnstone", "--model", "practice", *where, "-p", "hello")

    assert code == 1
    assert f"The workspace {tmp_path / 'workspace'} lies in the folder of the store" in err
    assert "token" in err


async def test_erasing_says_in_which_store_it_looked(tmp_path: Path) -> None:
    await filled(tmp_path / "turnstone.db")
    where = ["--store", str(tmp_path / "turnstone.db"), "--port", "1", "--auth-token", "T"]

    code, _, err = await run(tmp_path, "turnstone erase", "ffffffff", *where)

    assert code == 1
    assert (
        f"There is no session or workstream ffffffff in the store {tmp_path / 'turnstone.db'}."
        in err
    )
    assert "--port and --auth-token are for the server of that store" in err


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [
        (["--store", "x.db", "erase", "ffffffff"], "--store stands before `erase`"),
        (["-p", "hello", "up"], "-p stands before `up`"),
        (["erase", "--compact", "--port", "1"], "--port is for a workstream"),
        (["erase", "--compact", "--force"], "--force is for a workstream"),
    ],
)
async def test_a_flag_that_would_do_nothing_is_refused(
    tmp_path: Path, arguments: list[str], flag: str
) -> None:
    code, _, err = await run(tmp_path, "turnstone", *arguments)

    assert code == 2
    assert flag in err
