"""Copies of a SQLite store: made while it is in use, checked before they count, put back.

A copy is one file, of mode 0600, whole or not there at all. Nothing is ever overwritten: what
a restore replaces is moved aside, and its new name told.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from turnstone.core.errors import StoreError
from turnstone.core.store.mark import Mark, MarkFile, note_backup
from turnstone.core.store.schema import SQLITE
from turnstone.core.store.sqlite import forgotten, migrate
from turnstone.core.store.tables import Damage, Tables

#: What SQLite keeps beside the file, and belongs to it.
_BESIDE = ("-wal", "-shm", "-journal")


class Restored(NamedTuple):
    workstreams: int
    open_turns: int  # messages that the next server takes up
    aside: Path | None  # where the store that was there lies now


def back_up(store: Path, target: Path) -> int:
    """Copy the store, which may be in use, into a new file; how many open workstreams it has.

    Raises StoreError: no store, one that is damaged, a target that exists or cannot be written.
    """
    if not store.is_file():
        raise StoreError(f"There is no store {store}.", hint="Name it with --store.")
    if target.exists():
        raise StoreError(f"There is a file {target} already.", hint="Name another, or remove it.")
    mark = MarkFile.use(store)
    try:
        known = mark.read()  # before the copy: it is older than what is copied
        with _explained(target), _new_file(target) as draft:
            _copy(store, draft)
            found = _checked(draft, f"The copy of {store}", known)
        note_backup(store, target)
        return found.workstreams
    finally:
        mark.close()


def restore(backup: Path, store: Path, owner: str) -> Restored:
    """Put a copy of a backup into the place of the store, which nobody may be using. All its
    workstreams are given to the node `owner`, for those that had them have it no more.

    Raises StoreError: a backup that is none, or damaged; a store that is in use.
    """
    if not backup.is_file():
        raise StoreError(f"There is no backup {backup}.", hint="Name the file of one.")
    mark = MarkFile.alone(store)
    try:
        with _explained(store):
            aside: Path | None = None
            with _new_file(store, replaces=True) as draft:
                _copy(backup, draft)
                _hand_over(draft, owner)
                found = _checked(draft, f"The backup {backup}")
                aside = _move_aside(store)
            mark.clear()
            return Restored(found.workstreams, found.open_turns, aside)
    finally:
        mark.close()


class _Found(NamedTuple):
    workstreams: int
    open_turns: int


def _copy(source: Path, draft: Path) -> None:
    """In one step: SQLite's readers see one state, whatever is written meanwhile."""
    with _opened(source) as old, _opened(draft) as new:
        old.backup(new)
        new.execute("PRAGMA journal_mode = DELETE")  # one file, with nothing beside it


def _hand_over(draft: Path, owner: str) -> None:
    tables = Tables(SQLITE)
    with _opened(draft) as connection:
        migrate(_transaction(connection), str(draft))
        with _transaction(connection):
            rows = [*tables.rows(connection, None), *tables.older(connection, float("inf"))]
            for ws_id in {row.ws_id for row in rows}:  # the closed ones too
                tables.acquire(connection, ws_id, owner)


def _checked(draft: Path, name: str, mark: Mark | None = None) -> _Found:
    """What it holds, of which every record was read. Raises StoreError."""
    with _opened(draft) as connection:
        try:
            for (found,) in connection.execute("PRAGMA integrity_check(1)"):
                if found != "ok":
                    raise Damage(found)
            if lost := forgotten(connection, mark):
                raise Damage(lost)
            Tables(SQLITE).check_all(connection)
        except (Damage, sqlite3.DatabaseError) as error:
            raise StoreError(
                f"{name} is damaged ({error}); it was not taken.",
                hint="Use an older backup.",
            ) from error
        sql = "SELECT count(*), coalesce(sum(open_turns), 0) FROM workstream WHERE closed = 0"
        return _Found(*connection.execute(sql).fetchone())


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    connection.execute("BEGIN IMMEDIATE")
    yield connection  # whoever fails in it throws the file away
    connection.execute("COMMIT")


@contextlib.contextmanager
def _new_file(target: Path, *, replaces: bool = False) -> Iterator[Path]:
    """A file beside `target` which becomes it, all at once, when the block has ended well."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    try:
        yield draft
        _sync(draft)
        if replaces:
            draft.rename(target)
        else:
            os.link(draft, target)  # refuses where a file has come to be meanwhile
        _sync(target.parent)
    finally:
        for leftover in (draft, *(draft.with_name(draft.name + end) for end in _BESIDE)):
            leftover.unlink(missing_ok=True)


def _move_aside(store: Path) -> Path | None:
    """Give the store that is there another name. What was torn away from it by a crash in the
    middle is noticed by its mark at the next start."""
    if not store.exists():
        return None
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = store.with_name(f"{store.name}.before-restore-{now}-{secrets.token_hex(2)}.db")
    for end in (*_BESIDE, ""):
        part = store.with_name(store.name + end)
        if part.exists():
            part.rename(aside.with_name(aside.name + end))
    return aside


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _explained(target: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise StoreError(
            f"There is a file {target} already.", hint="Name another, or remove it."
        ) from error
    except OSError as error:
        raise StoreError(
            f"{target} cannot be written: {error.strerror}.",
            hint="Make room or change its permissions, or name another place.",
        ) from error
    except Damage as error:
        raise StoreError(
            f"What was to be copied is damaged ({error}).", hint="Take an older backup."
        ) from error
    except sqlite3.Error as error:
        raise StoreError(
            f"What was to be copied cannot be read, or {target} not be written: {error}.",
            hint="Make room, or take an older backup.",
        ) from error
