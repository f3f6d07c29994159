"""Copies of a SQLite store: made while it is in use, checked before they count, put back.

A copy is one file, of mode 0600, whole or not there at all. Nothing is ever overwritten: what
a restore replaces is moved aside, and its new name told.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from turnstone.core.errors import StoreError
from turnstone.core.store.foreign import foreign
from turnstone.core.store.mark import Mark, MarkFile, last_backup, note_backup
from turnstone.core.store.replace import BESIDE, cut_off, finish, replace, sync, used
from turnstone.core.store.rows import Damage
from turnstone.core.store.schema import MIGRATIONS, SQLITE, upgrade
from turnstone.core.store.sqlite import forgotten, migrate
from turnstone.core.store.tables import Tables

#: How the name of a file ends that is not whole yet.
_PART = ".part"

_OLDER = "Use an older backup."
_NAME = "Name a file that `turnstone backup` has made."

_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")


class Restored(NamedTuple):
    workstreams: int
    open_turns: int  # messages that the next server takes up
    aside: Path | None  # where the store that was there lies now


def back_up(store: Path, target: Path) -> int:
    """Copy the store, which may be in use, into a new file; how many open workstreams it has.

    Raises StoreError: no store, one that is damaged, a target that exists or cannot be written.
    """
    if not store.is_file() and not cut_off(store):
        raise StoreError(f"There is no store {store}.", hint="Name it with --store.")
    if target.exists():
        raise StoreError(f"There is a file {target} already.", hint="Name another, or remove it.")
    if not target.parent.is_dir():
        raise StoreError(
            f"There is no folder {target.parent} for the backup.", hint="Make it, or name another."
        )
    mark = used(store)
    try:
        known = mark.read()  # before the copy: it is older than what is copied
        remedy = _remedy(store)
        with _explained(target, f"the store {store}", remedy), _draft(target) as draft:
            _copy(store, draft)
            found = _checked(draft, f"The store {store}", remedy, known)
            sync(draft)
            os.link(draft, target)  # refuses where a file has come to be meanwhile
            sync(target.parent)
        note_backup(store, target)
        return found.workstreams
    finally:
        mark.close()


def restore(backup: Path, store: Path, owner: str) -> Restored:
    """Put a copy of a backup into the place of the store, which nobody may be using. All its
    workstreams are given to the node `owner`, for those that had them have it no more.

    Raises StoreError: a backup that is none, or damaged; a store that is in use.
    """
    check_backup(backup)
    mark = MarkFile.alone(store)
    try:
        with _explained(store, f"the backup {backup}", _OLDER):
            if cut_off(store):
                finish(store, mark)
            _sweep(store)
            with _draft(store) as draft:
                _copy(backup, draft)
                _hand_over(draft, owner, f"The backup {backup}")
                found = _checked(draft, f"The backup {backup}", _OLDER)
                aside = replace(store, mark, draft, found.last)
            return Restored(found.workstreams, found.open_turns, aside)
    finally:
        mark.close()


def check_backup(backup: Path) -> None:
    """Whether this can be restored, before anything is made for it. Raises StoreError."""
    if not backup.is_file():
        raise StoreError(f"There is no backup {backup}.", hint="Name the file of one.")
    try:
        with contextlib.closing(_read_only(backup)) as connection:
            what = foreign(connection)
            version = connection.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.Error as error:
        raise StoreError(f"{backup} is no backup: {error}.", hint=_NAME) from error
    if what or version == 0:
        raise StoreError(f"{backup} is no backup of a store: {what or 'it is empty'}.", hint=_NAME)
    upgrade(version, SQLITE, f"The backup {backup}", "FILE")


class _Found(NamedTuple):
    workstreams: int
    open_turns: int
    last: Mark


def _remedy(store: Path) -> str:
    newest = last_backup(store)
    return f"Restore a backup (the newest is {newest})." if newest else "Restore a backup."


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)


def _copy(source: Path, draft: Path) -> None:
    """In one step: SQLite's readers see one state, whatever is written meanwhile."""
    with _opened(source) as old, _opened(draft) as new:
        old.backup(new)
        new.execute("PRAGMA journal_mode = DELETE")  # one file, with nothing beside it


def _hand_over(draft: Path, owner: str, name: str) -> None:
    tables = Tables(SQLITE)
    with _opened(draft) as connection:
        migrate(_transaction(connection), name)
        with _transaction(connection):
            rows = [*tables.rows(connection, None), *tables.older(connection, float("inf"))]
            for ws_id in {row.ws_id for row in rows}:  # the closed ones too
                tables.acquire(connection, ws_id, owner)


def _checked(draft: Path, name: str, remedy: str, mark: Mark | None = None) -> _Found:
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
                f"{name} is damaged ({error}); nothing was taken from it.", hint=remedy
            ) from error
        sql = "SELECT count(*), coalesce(sum(open_turns), 0) FROM workstream WHERE closed = 0"
        workstreams, open_turns = connection.execute(sql).fetchone()
        return _Found(workstreams, open_turns, _last(connection))


def _last(connection: sqlite3.Connection) -> Mark:
    """A mark for what is there."""
    tables = Tables(SQLITE)
    [version] = connection.execute("PRAGMA user_version").fetchone()
    sql = "SELECT ws_id, last_seq, epoch FROM workstream ORDER BY updated DESC LIMIT 1"
    found = connection.execute(sql).fetchone() if version == len(MIGRATIONS) else None
    ws_id, seq, epoch = found or ("", 0, 0)
    erasures = tables.erasures(connection) if version == len(MIGRATIONS) else 0
    return Mark(ws_id, seq, epoch, erasures, version)


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
def _draft(target: Path) -> Iterator[Path]:
    """A file beside `target`, gone at the end of the block, for what is to become it."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}{_PART}")
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    try:
        yield draft
    finally:
        if not cut_off(target):  # then it is needed still
            for end in ("", *BESIDE):
                draft.with_name(draft.name + end).unlink(missing_ok=True)


def _sweep(target: Path) -> None:
    """Remove the drafts of those that were cut off before they moved anything."""
    name = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{8}}{re.escape(_PART)}.*")
    for leftover in target.parent.glob(".*"):
        if name.fullmatch(leftover.name):
            leftover.unlink()


@contextlib.contextmanager
def _explained(target: Path, source: str, remedy: str) -> Iterator[None]:
    """`remedy`: what to do where `source`, which is copied, turns out to be damaged."""
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
        raise StoreError(f"{_begun(source)} is damaged ({error}).", hint=remedy) from error
    except sqlite3.Error as error:
        if str(getattr(error, "sqlite_errorname", "")).startswith(_DAMAGED):
            raise StoreError(f"{_begun(source)} is damaged ({error}).", hint=remedy) from error
        raise StoreError(
            f"{_begun(source)} could not be copied to {target}: {error}.",
            hint="See whether both places have room, and who may read and write there.",
        ) from error


def _begun(name: str) -> str:
    return name[0].upper() + name[1:]
