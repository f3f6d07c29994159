"""The files of a workspace, for `@path`: those that are not ignored, a bounded number of them.

Asks ripgrep, or else git; where neither is there, there is nothing to complete. Reads no file.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from turnstone.cli.plain import plain

#: Files that are looked at, seconds for which that may take, and for which it holds.
MOST, SECONDS, FRESH = 50_000, 2.0, 5.0

#: `@src/a.py`, and `@"a name.txt"`: at the beginning or behind a space or bracket.
MENTION = re.compile(r'(?:(?<=^)|(?<=[\s(\[]))@(?:"(?P<quoted>[^"\n]+)"|(?P<bare>[^\s"@]+))')

_ARGUMENTS = ("--files", "--hidden", "--glob=!.git", "--no-messages", "--null")


class Files:
    """Listed when they are asked for, and again after a while."""

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        self._found: Sequence[str] = ()
        self._until = 0.0

    def matching(self, text: str, most: int) -> list[str]:
        """Paths in the workspace, best first: with the name that begins so, then with it in the
        path, then with its letters in this order. May wait for `SECONDS`."""
        wanted = text.lower()
        ranked = ((_rank(path.lower(), wanted), len(path), path) for path in self._list())
        return [path for rank, _, path in sorted(r for r in ranked if r[0] < 3)[:most]]

    def mentioned(self, text: str) -> list[str]:
        """The files that a message names with `@`, each once, as they are named."""
        named = (found["quoted"] or found["bare"] for found in MENTION.finditer(text))
        return [name for each in dict.fromkeys(named) if (name := self._there(each))]

    def _there(self, name: str) -> str:
        """A name, without the mark of a sentence behind it where only so there is such a file."""
        for tried in (name, name.rstrip(".,;:!?)]")):
            if tried and os.path.lexists(self._workspace / tried):
                return tried
        return ""

    def _list(self) -> Sequence[str]:
        if time.monotonic() > self._until:
            self._found = [
                path for path in self._asked() if plain(path) == path and "\t" not in path
            ]
            self._until = time.monotonic() + FRESH
        return self._found

    def _asked(self) -> Iterator[str]:
        command = _lister()
        if not command:
            return
        try:
            with subprocess.Popen(
                command,
                cwd=self._workspace,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            ) as asked:
                try:
                    out, _ = asked.communicate(timeout=SECONDS)
                except subprocess.TimeoutExpired:
                    asked.kill()
                    out, _ = asked.communicate()  # what it had found by then
        except OSError:
            return
        for path in out.split(b"\0")[:MOST]:
            if path:
                yield os.fsdecode(path).removeprefix("./")


def written(path: str) -> str:
    """How a path is named in a message."""
    return f'@"{path}"' if re.search(r"[\s@]", path) else f"@{path}"


def _lister() -> list[str]:
    beside = Path(sys.executable).with_name("rg")
    ripgrep = shutil.which("rg") or (str(beside) if beside.exists() else None)
    if ripgrep:
        return [ripgrep, *_ARGUMENTS]
    git = shutil.which("git")
    return [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"] if git else []


def _rank(path: str, wanted: str) -> int:
    name = path.rpartition("/")[2]
    if name.startswith(wanted) or path.startswith(wanted):
        return 0
    if wanted in path:
        return 1
    letters = iter(path)
    return 2 if all(letter in letters for letter in wanted) else 3
