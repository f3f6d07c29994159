"""The two programs that can look through files for `search`, as command lines.

Both run in the folder to be searched, both print `path NUL line:text` in the order of paths,
or `path NUL` for files, and end with INVALID if the query is no regular expression to them.
Both leave out what saves work to leave out; that nothing else is told is up to `search`.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Protocol

from turnstone.tools.paths import SECRET_ANYWHERE, SECRET_PLACES

#: Exit code for a query that is no regular expression; ripgrep's choice.
INVALID = 2

#: Folders that hold no work of the person: version control, installed packages, caches.
#: One of them is searched where the path names it.
SKIPPED = (
    ".git",
    ".hg",
    ".svn",
    ".venv",
    "node_modules",
    "__pycache__",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".tox",
)

#: Matches of one file. A file with more is a log, and its first matches tell the form.
PER_FILE = 200

#: Bytes of a line that leave the program.
_MAX_COLUMNS = 4000


class Engine(Protocol):
    def lines(self, query: str, target: str, *, literal: bool) -> list[str]:
        """The program that prints the matching lines."""

    def files(self, target: str) -> list[str]:
        """The program that prints all files that are looked through, a NUL after each."""


class Ripgrep:
    def __init__(self, program: str) -> None:
        self._common = [program, "--no-config", "--no-ignore", "--hidden", "--color=never"]
        self._common += ["--sort=path", "--no-messages"]
        self._common += [f"--iglob=!{name}" for name in (*SKIPPED, *SECRET_ANYWHERE)]
        self._common += [f"--iglob=!**/{place}" for place in SECRET_PLACES]

    def lines(self, query: str, target: str, *, literal: bool) -> list[str]:
        form = ["--no-heading", "--with-filename", "--line-number", "--null"]
        form += [f"--max-count={PER_FILE}", f"--max-columns={_MAX_COLUMNS}"]
        form += ["--max-columns-preview", *(["--fixed-strings"] if literal else [])]
        return [*self._common, *form, f"--regexp={query}", "--", target]

    def files(self, target: str) -> list[str]:
        return [*self._common, "--files", "--null", "--", target]


class PythonEngine:
    """For machines without ripgrep. A program of its own, because a regular expression can
    take for ever, and inside this process nothing could stop it."""

    def lines(self, query: str, target: str, *, literal: bool) -> list[str]:
        return self._program(query=query, target=target, literal=literal)

    def files(self, target: str) -> list[str]:
        return self._program(query=None, target=target, literal=True)

    def _program(self, **order: object) -> list[str]:
        order |= {"skipped": [*SKIPPED, *SECRET_ANYWHERE], "per_file": PER_FILE}
        order |= {"max_columns": _MAX_COLUMNS}
        script = Path(__file__).with_name("search_program.py")
        return [sys.executable, "-I", "-S", str(script), json.dumps(order)]


def find_engine() -> Engine:
    """The ripgrep on PATH, or beside this Python (where its wheel puts it), or our own."""
    beside = Path(sys.executable).with_name("rg")
    found = shutil.which("rg") or (str(beside) if beside.exists() else None)
    return Ripgrep(found) if found else PythonEngine()
