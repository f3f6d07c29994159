"""The two programs that can look through files for `search`, as command lines.

Both run in the folder to be searched, both print `path NUL line:text` (`line-text` for lines
around a match), or `path NUL count`, or `path NUL` for files, the lines of a file together, and
end with INVALID if the query is no regular expression to them. Both leave out what saves work to
leave out; which of the rest is told, and that no secret is, is up to `search`.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from turnstone.tools.globs import expression

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


@dataclass(frozen=True, slots=True)
class Order:
    """What to look for, and in which files. `glob` is valid, or empty; a `!` before it negates."""

    query: str
    target: str
    literal: bool = False
    glob: str = ""
    context: int = 0  # lines before and after a match
    count: bool = False  # how many lines of each file match, instead of the lines
    gitignore: bool = False  # without what the .gitignore files from the target down say
    in_order: bool = False  # of paths, by their parts; ripgrep then uses one core


class Engine(Protocol):
    def lines(self, order: Order) -> list[str]:
        """The program that prints the matching lines, or their count."""

    def files(self, order: Order) -> list[str]:
        """The program that prints all files that are looked through, a NUL after each."""


class Ripgrep:
    def __init__(self, program: str) -> None:
        self._common = [program, "--no-config", "--hidden", "--color=never"]
        self._common += ["--no-messages"]
        self._left_out = [f"--iglob=!{name}" for name in SKIPPED]

    def lines(self, order: Order) -> list[str]:
        form = ["--no-heading", "--with-filename", "--line-number", "--null"]
        if order.count:
            form += ["--count"]
        else:
            form += [f"--max-count={PER_FILE}", f"--max-columns={_MAX_COLUMNS}"]
            form += ["--max-columns-preview", f"--context={order.context}"]
            form += ["--no-context-separator"]
        form += ["--fixed-strings"] if order.literal else []
        form += ["--sort=path"] if order.in_order else []
        return [*self._which(order), *form, f"--regexp={order.query}", "--", order.target]

    def files(self, order: Order) -> list[str]:
        # One thread: the names come no sooner with more, and the lines need the other cores.
        return [*self._which(order), "--files", "--null", "--threads=1", "--", order.target]

    def _which(self, order: Order) -> list[str]:
        ignore = ["--no-ignore"]
        if order.gitignore:
            ignore = [f"--no-ignore-{kind}" for kind in ("dot", "exclude", "global", "parent")]
            ignore += ["--no-require-git"]
        glob = [f"--glob={order.glob}"] if order.glob else []
        return [*self._common, *ignore, *glob, *self._left_out]


class PythonEngine:
    """For machines without ripgrep. A program of its own, because a regular expression can
    take for ever, and inside this process nothing could stop it."""

    def lines(self, order: Order) -> list[str]:
        return self._program(order, query=order.query)

    def files(self, order: Order) -> list[str]:
        return self._program(order, query=None)

    def _program(self, order: Order, query: str | None) -> list[str]:
        told: dict[str, object] = {"query": query, "target": order.target}
        told |= {"literal": order.literal, "context": order.context, "count": order.count}
        told |= {"gitignore": order.gitignore, "without": order.glob.startswith("!")}
        glob = order.glob.removeprefix("!")
        told |= {"folders": glob.endswith("/")}
        told["glob"] = expression(glob.rstrip("/")).pattern if glob else ""
        told |= {"skipped": SKIPPED, "per_file": PER_FILE}
        told |= {"max_columns": _MAX_COLUMNS}
        script = Path(__file__).with_name("search_program.py")
        return [sys.executable, "-I", "-S", str(script), json.dumps(told)]


def find_engine() -> Engine:
    """The ripgrep on PATH, or beside this Python (where its wheel puts it), or our own."""
    beside = Path(sys.executable).with_name("rg")
    found = shutil.which("rg") or (str(beside) if beside.exists() else None)
    return Ripgrep(found) if found else PythonEngine()
