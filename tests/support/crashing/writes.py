"""A program: replaces a file in a process that is killed at each of its system calls, one a run.

    python -m support.crashing.writes FOLDER safe|plain

Prints a line for each run: the call it died at, and whether the file holds the `old` content,
the `new`, or is `mixed`; then what else is in the folder. Ends after the run that did not die.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from support.crashing.tracing import traced
from turnstone.tools.files import digest_of, replace

OLD, NEW = b"old " * 100_000, b"new " * 150_000


def main() -> None:
    folder, way = Path(sys.argv[1]), sys.argv[2]
    path = folder / "file"
    ways: dict[str, Callable[[], None]] = {
        "safe": lambda: replace(folder, path, NEW, expects=digest_of(OLD)),
        "plain": lambda: _plainly(path),
    }
    for number in range(1, 1000):
        path.write_bytes(OLD)
        died = traced(ways[way], number).died_at
        found = {OLD: "old", NEW: "new"}.get(path.read_bytes(), "mixed")
        others = sorted(set(os.listdir(folder)) - {"file"})
        print(died or "-", found, *others, flush=True)
        if not died:
            return


def _plainly(path: Path) -> None:
    with open(path, "wb", buffering=0) as file:
        file.writelines(NEW[start : start + 100_000] for start in range(0, len(NEW), 100_000))


if __name__ == "__main__":
    main()
