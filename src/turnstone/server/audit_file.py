"""The file of the audit record: whole lines at its end, for its owner alone, of a bounded size.

Processes of one state directory may write to it at once. Full, it becomes `.1`, what was that
`.2`, and so on; the oldest is dropped. Never changes a line that stands, and reads none.
"""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

#: Bytes of one file, and how many there are: some 40,000 deeds each.
FILE_BYTES = 10 * 1024 * 1024
FILES = 5

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class AuditFile:
    """`path` is the newest file; `size` bytes are the most of each, `files` how many are kept."""

    def __init__(self, path: Path, *, size: int = FILE_BYTES, files: int = FILES) -> None:
        self.path = path
        self._size = size
        self._files = files

    def append(self, line: bytes) -> None:
        """One line more, without its end given. Raises OSError; then nothing is left of it."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        while True:
            descriptor = os.open(self.path, _FLAGS, 0o600)
            try:
                if self._append_to(descriptor, line):
                    return
            finally:
                os.close(descriptor)

    def _append_to(self, descriptor: int, line: bytes) -> bool:
        """False: it has become an older file, and the newest is to be opened again."""
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(f"{self.path} is not a plain file")
        if not self._is_newest(found):
            return False
        if found.st_mode & 0o077:
            os.fchmod(descriptor, 0o600)
        if found.st_size and found.st_size + len(line) + 1 > self._size:
            self._turn()
            return False
        # A process that was killed in the middle of a line has left no end of it.
        torn = found.st_size > 0 and os.pread(descriptor, 1, found.st_size - 1) != b"\n"
        whole = (b"\n" if torn else b"") + line + b"\n"
        try:
            written = os.write(descriptor, whole)
            if written < len(whole):
                raise OSError(f"only {written} of {len(whole)} bytes fitted into {self.path}")
        except OSError:
            os.ftruncate(descriptor, found.st_size)
            raise
        return True

    def _is_newest(self, found: os.stat_result) -> bool:
        try:
            return os.path.samestat(found, self.path.lstat())
        except FileNotFoundError:
            return False

    def _turn(self) -> None:
        older = [self.path.with_name(f"{self.path.name}.{n}") for n in range(1, self._files)]
        for place, into in reversed(list(zip([self.path, *older], older, strict=False))):
            if place.exists():
                place.replace(into)
        if not older:
            self.path.unlink()
