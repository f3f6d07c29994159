"""The file beside a SQLite store that notices what SQLite drops in silence, and who uses it.

SQLite ends its write-ahead log at the first frame whose checksum is wrong, and forgets all that
was committed behind it. The mark says what the last commit was, so that a store which has
forgotten it is refused. It is written after the commit and not synced: it may be older than
the store, never newer. It holds no text of anybody's.

It is also the lock: whoever has the store open holds it shared, a restore exclusively.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import zlib
from pathlib import Path
from typing import Self

import msgspec

from turnstone.core.errors import StoreError

#: Bytes of the file: more than any mark has, and less than a disk's sector.
_SIZE = 256


class Mark(msgspec.Struct, frozen=True):
    """The last commit. `seq` 0: the workstream was erased. `erasures`: how many there were,
    with this one. `schema`: the version of the tables."""

    ws_id: str
    seq: int
    epoch: int
    erasures: int = 0
    schema: int = 1  # the least that a store with a mark has


def mark_path(store: Path) -> Path:
    return store.with_name(f"{store.name}.nodes") / "mark"


class MarkFile:
    """The open file. Make it with `use` or `alone`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor

    @classmethod
    def use(cls, store: Path) -> Self:
        """For a process that opens the store. Raises StoreError while one is restoring it."""
        found = cls._open(store)
        if not _locks(found.descriptor, fcntl.LOCK_SH):
            found.close()
            raise StoreError(
                f"The store {store} is being restored at this moment.",
                hint="Try again when that is done.",
            )
        return found

    @classmethod
    def alone(cls, store: Path) -> Self:
        """For a restore. Raises StoreError while any process has the store open."""
        found = cls._open(store)
        if not _locks(found.descriptor, fcntl.LOCK_EX):
            found.close()
            raise StoreError(
                f"The store {store} is in use by another turnstone process.",
                hint="Stop it first; nothing was changed.",
            )
        return found

    def read(self) -> Mark | None:
        """None: nothing was ever committed, or the file says nothing that can be read."""
        checksum, _, text = os.pread(self.descriptor, _SIZE, 0).rstrip().partition(b" ")
        if checksum != _checksum(text):
            return None
        with contextlib.suppress(msgspec.DecodeError):
            return msgspec.json.decode(text, type=Mark)
        return None

    def write(self, mark: Mark) -> None:
        text = msgspec.json.encode(mark)
        whole = _checksum(text) + b" " + text
        # What could not be noted was committed all the same: only the net has a hole then.
        with contextlib.suppress(OSError):
            os.pwrite(self.descriptor, whole.ljust(_SIZE), 0)

    def sync(self) -> None:
        os.fsync(self.descriptor)

    def close(self) -> None:
        """Let go of it. Idempotent."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    @classmethod
    def _open(cls, store: Path) -> Self:
        path = mark_path(store)
        try:
            store.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.parent.mkdir(exist_ok=True, mode=0o700)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            return cls(path, os.open(path, flags, 0o600))
        except OSError as error:
            done = "opened" if store.exists() else "made"
            raise StoreError(
                f"The store {store} cannot be {done}: {path.parent}: {error.strerror}.",
                hint="Name another place with --store or [store] path.",
            ) from error


def note_backup(store: Path, backup: Path) -> None:
    """Remember where the newest backup is, for whoever needs one. Where that cannot be kept, none
    is remembered: an older one is not the newest."""
    note = mark_path(store).with_name("backup")
    try:
        note.write_text(str(backup), encoding="utf-8")
    except OSError:
        with contextlib.suppress(OSError):
            note.unlink()


def last_backup(store: Path) -> str:
    """Where the newest backup was put; empty if nobody knows."""
    try:
        return mark_path(store).with_name("backup").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _locks(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _checksum(text: bytes) -> bytes:
    return b"%08x" % zlib.crc32(text)
