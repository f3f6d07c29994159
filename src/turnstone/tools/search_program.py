"""A program of its own: looks through the files of the current folder, as ripgrep would.

Started by `search` where there is no ripgrep, with its order as JSON in the one argument.
Uses the standard library alone, follows no link, and prints what it finds as it goes.
"""

from __future__ import annotations

import codecs
import io
import json
import os
import re
import runpy
import stat
import sys
from collections import deque
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

#: Bytes of a file that are looked at for a NUL, bytes of a line that are searched, and bytes
#: of a file that is not in UTF-8, which is held in memory.
_SNIFF = 64 * 1024
_MAX_LINE = 1024 * 1024
_MAX_OTHER = 64 * 1024 * 1024

_INVALID = 2
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW


class Search:
    def __init__(self, order: dict[str, Any]) -> None:
        self._order = order
        self._glob = re.compile(order["glob"], re.DOTALL) if order["glob"] else None
        self._ignored = runpy.run_path(str(Path(__file__).with_name("globs.py")))["Ignored"]

    def run(self) -> int:
        order = self._order
        pattern = None
        if order["query"] is not None:
            query = re.escape(order["query"]) if order["literal"] else order["query"]
            try:
                pattern = re.compile(query)
            except (re.error, RecursionError, OverflowError):
                return _INVALID
        for path in self._files(order["target"], []):
            if pattern is None:
                _put(os.fsencode(path), end=b"\0")
            else:
                self._look_into(path, pattern)
        return 0

    def _files(self, target: str, ignored: list[tuple[str, Any]]) -> Iterator[str]:
        if not os.path.isdir(target):
            yield target
            return
        with os.scandir(target) as found:
            entries = sorted(found, key=lambda entry: os.fsencode(entry.name))
        if self._order["gitignore"] and (own := self._ignore_file(target)) is not None:
            ignored = [*ignored, (f"{target.rstrip('/')}/", own)]
        for entry in entries:
            path = f"{target.rstrip('/')}/{entry.name}"
            folder = entry.is_dir(follow_symlinks=False)
            if self._left_out(entry.name, path, ignored, folder=folder):
                continue
            if folder:
                try:
                    yield from self._files(path, ignored)
                except PermissionError:
                    continue
            elif entry.is_file(follow_symlinks=False):
                yield path

    def _left_out(
        self, name: str, path: str, ignored: list[tuple[str, Any]], *, folder: bool
    ) -> bool:
        if any(fnmatchcase(name.lower(), skipped) for skipped in self._order["skipped"]):
            return True
        if self._glob is not None:
            may = folder or not self._order["folders"]
            found = may and self._glob.fullmatch(path.removeprefix("./")) is not None
            if self._order["without"]:
                if found:
                    return True
            elif found:
                return False  # what was asked for by name is wanted even where it is ignored
            elif not folder:
                return True
        for above, own in reversed(ignored):
            said = own.says(path.removeprefix(above), folder=folder)
            if said is not None:
                return bool(said)
        return False

    def _ignore_file(self, target: str) -> Any:
        try:
            descriptor = os.open(f"{target}/.gitignore", _OPEN)
        except OSError:
            return None
        with io.FileIO(descriptor) as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            return self._ignored(file.read(_MAX_LINE).decode("utf-8", "surrogateescape"))

    def _look_into(self, path: str, pattern: re.Pattern[str]) -> None:
        try:
            descriptor = os.open(path, _OPEN)
        except OSError:
            return
        with io.BufferedReader(io.FileIO(descriptor), _SNIFF) as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return
            text = _text(file)
            if b"\0" in text.peek(_SNIFF):
                return
            if self._order["count"]:
                self._count(path, text, pattern)
            else:
                self._tell(path, text, pattern)

    def _count(self, path: str, file: io.BufferedReader[Any], pattern: re.Pattern[str]) -> None:
        count = 0
        for line in _lines(file):
            if b"\0" in line:
                return
            count += pattern.search(line.decode("utf-8", "surrogateescape")) is not None
        if count:
            _put(os.fsencode(path) + b"\0%d" % count)

    def _tell(self, path: str, file: io.BufferedReader[Any], pattern: re.Pattern[str]) -> None:
        left, after, around = self._order["per_file"], 0, self._order["context"]
        before: deque[tuple[int, bytes]] = deque(maxlen=around)
        for number, line in enumerate(_lines(file), 1):
            if b"\0" in line:
                return
            if left and pattern.search(line.decode("utf-8", "surrogateescape")):
                for earlier in before:
                    self._put_line(path, *earlier, b"-")
                before.clear()
                self._put_line(path, number, line, b":")
                left, after = left - 1, around
            elif after:
                self._put_line(path, number, line, b"-")
                after -= 1
            else:
                before.append((number, line))
            if not left and not after:
                return

    def _put_line(self, path: str, number: int, line: bytes, mark: bytes) -> None:
        cut = line[: self._order["max_columns"]]
        _put(os.fsencode(path) + b"\0%d%s%s" % (number, mark, cut))


def _text(file: io.BufferedReader[Any]) -> io.BufferedReader[Any]:
    """The file as UTF-8 without a byte-order mark, where it begins with one that is known."""
    start = file.peek(4)[:4]
    if start.startswith(codecs.BOM_UTF8):
        file.read(len(codecs.BOM_UTF8))
    elif start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = file.read(_MAX_OTHER).decode("utf-16", "replace").encode("utf-8", "replace")
        return io.BufferedReader(io.BytesIO(text))
    return file


def _lines(file: io.BufferedReader[Any]) -> Iterator[bytes]:
    """Lines without their ending; of an overlong one the start."""
    while line := file.readline(_MAX_LINE):
        rest = line
        while not rest.endswith(b"\n") and (rest := file.readline(_MAX_LINE)):
            pass
        yield line.removesuffix(b"\n").removesuffix(b"\r")


def _put(line: bytes, end: bytes = b"\n") -> None:
    sys.stdout.buffer.write(line + end)


if __name__ == "__main__":
    sys.exit(Search(json.loads(sys.argv[1])).run())
