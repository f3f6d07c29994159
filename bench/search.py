"""What `search` costs beside bare ripgrep: ten thousand files, the two in turns.

    python bench/search.py [FILES]

Beside it, in the same run: our own engine, for machines without ripgrep.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from support import report
from turnstone.core.tool import ToolContext
from turnstone.tools.search import Search
from turnstone.tools.search_engines import Engine, PythonEngine, Ripgrep

_ROUNDS = 9
_WORDS = "alpha beta gamma delta needle_rare return import value index error total".split()


def fill(folder: Path, count: int) -> None:
    """Files of some 4 KB in folders of a hundred; the rare word stands in one of two hundred."""
    chance = random.Random(1)  # noqa: S311 - text, and no secret
    for n in range(count):
        place = folder / f"part{n // 1000}" / f"folder{n // 100 % 10}"
        place.mkdir(parents=True, exist_ok=True)
        words = [word for word in _WORDS if word != "needle_rare"]
        lines = [" ".join(chance.choices(words, k=8)) for _ in range(80)]
        if n % 200 == 0:
            lines[40] = "here is the needle_rare of this file"
        if n % 10 == 0:
            lines[60] = "many_of"
        (place / f"file{n}.py").write_text("\n".join(lines) + "\n")


def bare(program: str, folder: Path, query: str) -> None:
    """As a person would; not sorted, so that it uses all cores."""
    command = [program, "--no-config", "--line-number", query, "."]
    subprocess.run(command, cwd=folder, check=False, stdout=subprocess.DEVNULL)


def through(engine: Engine, folder: Path, query: str) -> None:
    context = ToolContext("bench", folder, timeout=120, max_output=64_000)

    async def searched() -> None:
        tool = Search(engine)
        prepared = await tool.prepare({"query": query}, context)
        await tool.run(prepared, context, lambda _: None)

    asyncio.run(searched())


def timed(works: dict[str, Callable[[], None]]) -> dict[str, float]:
    """Median milliseconds of each, in turns, so that all meet the same machine."""
    took: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(_ROUNDS):
        for name, work in works.items():
            begun = time.perf_counter()
            work()
            took[name].append((time.perf_counter() - begun) * 1000)
    return {name: statistics.median(values) for name, values in took.items()}


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    program = shutil.which("rg")
    report.machine()
    with report.folder() as name:
        folder = name.resolve()
        fill(folder, count)
        for query, what in (
            ("needle_rare", "a rare word"),
            ("many_of", "a thousand files"),
            ("no_such_word", "no match"),
        ):
            works: dict[str, Callable[[], None]] = {
                "own": partial(through, PythonEngine(), folder, query)
            }
            if program is not None:
                works["bare"] = partial(bare, program, folder, query)
                works["tool"] = partial(through, Ripgrep(program), folder, query)
            took = timed(works)
            if program is not None:
                ratio = took["tool"] / took["bare"]
                report.line(f"{what}: bare rg", took["bare"], "ms")
                report.line(f"{what}: search", took["tool"], "ms")
                report.line(f"{what}: search beside bare rg", ratio, "times", 1.3)
            report.line(f"{what}: search without rg", took["own"], "ms")


if __name__ == "__main__":
    main()
