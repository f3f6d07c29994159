"""The whole of an output in a file, where it is longer than what the model is given.

Nothing is written for an output that is not cut. The file is made anew, never over another,
and ends at a size; what did not fit is counted. Whoever names the file removes it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

#: Bytes of one output that are kept.
MAX_KEPT = 50_000_000


class Kept:
    """`limit` is the number of characters up to which an output is not cut."""

    def __init__(self, path: Path | None, limit: int) -> None:
        self._path = path
        self._limit = limit
        self._early: list[str] = []  # what came before it was too long
        self._size = 0
        self._file: BinaryIO | None = None
        self.bytes = 0
        self.whole = True

    def add(self, text: str) -> None:
        if self._path is None:
            return
        if self._file is None:
            self._early.append(text)
            self._size += len(text)
            if self._size <= self._limit:
                return
            text = "".join(self._early)
            self._early.clear()
            try:
                self._file = _made(self._path)
            except OSError:
                self._give_up()
                return
        self._write(self._file, text.encode())

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _write(self, file: BinaryIO, data: bytes) -> None:
        room = MAX_KEPT - self.bytes
        self.whole = self.whole and len(data) <= room
        try:
            self.bytes += file.write(data[:room])
        except OSError:
            self._give_up()

    def _give_up(self) -> None:
        """The disk takes no more: the command goes on, and what is there is not the whole."""
        self._path = None
        self.whole = False


def _made(path: Path) -> BinaryIO:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    return os.fdopen(descriptor, "wb", buffering=0)
