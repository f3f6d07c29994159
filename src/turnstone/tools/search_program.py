"""A program of its own: looks through the files of the current folder, as ripgrep would.

Started by `search` where there is no ripgrep, with its order as JSON in the one argument.
Uses the standard library alone, follows no link, and prints what it finds as it goes.
"""

from __future__ import annotations

import io
import json
import os
import re
import stat
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

#: Bytes of a file that are looked at for a NUL, and bytes of a line that are searched.
_SNIFF = 64 * 1024
_MAX_LINE = 1024 * 1024

_INVALID = 2


def main() -> int:
    order: dict[str, Any] = json.loads(sys.argv[1])
    query = order["query"]
    pattern = None
    if query is not None:
        try:
            pattern = re.compile(re.escape(query) if order["literal"] else query)
        except (re.error, RecursionError, OverflowError):
            return _INVALID
    for path in _files(order["target"], order["skipped"]):
        if pattern is None:
            _put(os.fsencode(path), end=b"\0")
        else:
            _search(path, pattern, order["per_file"], order["max_columns"])
    return 0


def _files(target: str, skipped: list[str]) -> Iterator[str]:
    if not os.path.isdir(target):
        yield target
        return
    with os.scandir(target) as found:
        entries = sorted(found, key=lambda entry: os.fsencode(entry.name))
    for entry in entries:
        if any(fnmatchcase(entry.name.lower(), name) for name in skipped):
            continue
        path = f"{target.rstrip('/')}/{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            try:
                yield from _files(path, skipped)
            except PermissionError:
                continue
        elif entry.is_file(follow_symlinks=False):
            yield path


def _search(path: str, pattern: re.Pattern[str], per_file: int, max_columns: int) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return
    with io.BufferedReader(io.FileIO(descriptor), _SNIFF) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode) or b"\0" in file.peek(_SNIFF):
            return
        left = per_file
        for number, line in enumerate(_lines(file), 1):
            if b"\0" in line:
                return
            if pattern.search(line.decode("utf-8", "surrogateescape")):
                _put(os.fsencode(path) + b"\0%d:%s" % (number, line[:max_columns]))
                left -= 1
                if not left:
                    return


def _lines(file: io.BufferedReader[io.FileIO]) -> Iterator[bytes]:
    """Lines without their ending; of an overlong one the start."""
    while line := file.readline(_MAX_LINE):
        rest = line
        while not rest.endswith(b"\n") and (rest := file.readline(_MAX_LINE)):
            pass
        yield line.removesuffix(b"\n").removesuffix(b"\r")


def _put(line: bytes, end: bytes = b"\n") -> None:
    sys.stdout.buffer.write(line + end)


if __name__ == "__main__":
    sys.exit(main())
