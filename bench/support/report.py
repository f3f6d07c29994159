"""How benchmarks say what they measured: the machine, then a number with its goal a line.

Exits with 0 whatever was measured: numbers are for people, and a slow machine is no failure.
"""

from __future__ import annotations

import os
import platform
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def machine() -> None:
    """The machine, and how busy it is with other things."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    print(
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, "
        f"load {os.getloadavg()[0]:.1f}"
    )


def line(what: str, value: float, unit: str, goal: float | None = None, beside: str = "") -> None:
    """`beside`: what to compare it with, measured in the same run."""
    told = f"{what:<52} {value:>9.2f} {unit}"
    if goal is not None:
        told += f"   goal {goal:g}: {'met' if value <= goal else 'MISSED'}"
    print(told + (f"   ({beside})" if beside else ""))


@contextmanager
def folder() -> Iterator[Path]:
    """On a disk; TMPDIR says which."""
    with tempfile.TemporaryDirectory(prefix="turnstone-bench-") as name:
        yield Path(name)
