"""A command that prints 300 MB: how much memory that takes, and how much it holds up the others.

    python bench/output.py [MEGABYTES]

A task beside it wakes up every millisecond, as any workstream's would; how late it is then is
measured once with nothing else at work, and once while the command prints.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from collections.abc import Awaitable
from pathlib import Path

from support import report
from turnstone.core.tool import ToolContext
from turnstone.sandbox import find_sandbox
from turnstone.tools.bash import Bash

MEMORY_GOAL = 50.0
TICK = 0.001


def resident() -> float:
    """Megabytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def beside(work: Awaitable[object]) -> tuple[list[float], float]:
    """How late a task beside it woke up, in milliseconds, and the most memory there was."""
    late: list[float] = []
    most = resident()
    task = asyncio.ensure_future(work)
    while not task.done():
        begun = time.perf_counter()
        await asyncio.sleep(TICK)
        late.append((time.perf_counter() - begun - TICK) * 1000)
        most = max(most, resident())
    await task
    return late, most


async def measure(folder: Path, megabytes: int) -> None:
    sandbox = await find_sandbox()
    bash = Bash(sandbox)
    workspace, outputs = folder / "ws", folder / "outputs"
    workspace.mkdir()
    context = ToolContext("bench", workspace, timeout=300, max_output=60_000, outputs=outputs)
    script = f"yes 'a line of an output' | head -c {megabytes}000000"
    prepared = await bash.prepare({"command": script}, context)
    idle, _ = await beside(asyncio.sleep(1))
    before, begun = resident(), time.perf_counter()
    busy, most = await beside(bash.run(prepared, context, lambda _: None))
    taken = time.perf_counter() - begun
    report.line(f"{megabytes} MB printed, {sandbox.confinement.summary}", taken, "s")
    report.line("memory that this takes at most", most - before, "MB", MEMORY_GOAL)
    for what, late in (("alone", idle), ("beside the output", busy)):
        worst = (
            f"99 of 100: {statistics.quantiles(late, n=100)[98]:.1f} ms, worst {max(late):.1f} ms"
        )
        report.line(f"late {what}, median", statistics.median(late), "ms", beside=worst)


def main() -> None:
    report.machine()
    with report.folder() as folder:
        asyncio.run(measure(folder.resolve(), int(sys.argv[1]) if len(sys.argv) > 1 else 300))


if __name__ == "__main__":
    main()
