"""How a restored store takes the place of the one that was there: wholly, or not at all.

What is to be done is written down before the first file is moved. Where the process ends in the
middle, the next one that opens the store finishes it, before it looks at anything. Overwrites
nothing: what was there is moved aside. It is for SQLite's files only.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from turnstone.core.errors import StoreError
from turnstone.core.store.mark import Mark, MarkFile, mark_path

#: What SQLite keeps beside the file, and belongs to it.
BESIDE = ("-wal", "-shm", "-journal")

log = logging.getLogger(__name__)


class _Plan(msgspec.Struct, frozen=True):
    """Names of files beside the store: what becomes the store, and what the store becomes; and
    the new store's mark."""

    draft: str
    aside: str
    mark: Mark


def used(store: Path) -> MarkFile:
    """For a process that opens the store, as `MarkFile.use`. A restore that was cut off is
    finished first. Raises StoreError."""
    mark = MarkFile.use(store)
    if not cut_off(store):  # nobody begins one as long as the mark is held
        return mark
    mark.close()
    mark = MarkFile.alone(store)
    try:
        with _explained(store):
            aside = finish(store, mark)
    finally:
        mark.close()
    log.warning(
        "A restore of the store %s had been cut off. It is finished now%s.",
        store,
        f"; what was there before is in {aside}" if aside.exists() else "",
    )
    return MarkFile.use(store)


def cut_off(store: Path) -> bool:
    """Whether a restore has begun to move files, and not ended."""
    return _path(store).exists()


def replace(store: Path, mark: MarkFile, draft: Path, last: Mark) -> Path | None:
    """Put `draft`, a file beside the store whose last commit is `last`, in its place; where the
    store lies then that was there. `mark` is held alone. Raises OSError: if `cut_off` then, the
    draft is needed still."""
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = f"{store.name}.before-restore-{now}-{secrets.token_hex(2)}.db"
    sync(draft)
    path = _path(store)
    new = path.with_name(f"{path.name}.new")
    new.write_bytes(msgspec.json.encode(_Plan(draft.name, aside, last)))
    sync(new)
    new.rename(path)
    sync(path.parent)
    left = finish(store, mark)
    return left if left.exists() else None


def finish(store: Path, mark: MarkFile) -> Path:
    """Do what is left to do of what was written down; where the former store lies, if there was
    one. `mark` is held alone. Raises OSError, StoreError."""
    path = _path(store)
    plan = _read(store)
    draft, aside = store.with_name(plan.draft), store.with_name(plan.aside)
    if draft.exists():  # and so what has the store's name is the former one, or a rest of it
        for end in (*BESIDE, ""):
            part = store.with_name(store.name + end)
            if part.exists():
                part.rename(aside.with_name(aside.name + end))
        sync(store.parent)
        draft.rename(store)
        sync(store.parent)
    if store.exists():
        mark.write(plan.mark)
        mark.sync()
    path.unlink()
    sync(path.parent)
    return aside


def sync(path: Path) -> None:
    """What this file, or this folder, holds is on the disk when this returns."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(store: Path) -> _Plan:
    path = _path(store)
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Plan)
    except msgspec.DecodeError as error:
        raise StoreError(
            f"A restore of the store {store} was cut off, and {path} does not say how far it "
            f"came ({error}).",
            hint="See which files lie beside the store; then remove that one and start again.",
        ) from error


def _path(store: Path) -> Path:
    return mark_path(store).with_name("restore")


@contextlib.contextmanager
def _explained(store: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"A restore of the store {store} was cut off, and cannot be finished: "
            f"{error.strerror}.",
            hint="Make room or change its permissions, and start again.",
        ) from error
