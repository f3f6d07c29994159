"""Start of a confined command, at each level that holds here, beside a plain one.

    python bench/sandbox.py [ROUNDS]

Each round runs `true` once at each level, so that all meet the same load; what is told is the
median of whole calls, from the order to the result with every process gone.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from support import report
from turnstone.core.sandbox import Command, Level, Sandbox
from turnstone.sandbox import find_sandbox

GOAL = 30.0


async def plain() -> None:
    process = await asyncio.create_subprocess_exec(
        "bash", "--noprofile", "--norc", "-c", "true", stdin=subprocess.DEVNULL
    )
    assert await process.wait() == 0


def confined(sandbox: Sandbox, workspace: Path) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        result = await sandbox.run(Command("true", workspace, timeout=30), lambda _: None)
        assert result.exit_code == 0, result

    return run


async def milliseconds(run: Callable[[], Awaitable[None]]) -> float:
    begun = time.perf_counter()
    await run()
    return (time.perf_counter() - begun) * 1000


async def measure(workspace: Path, rounds: int) -> dict[str, list[float]]:
    runs: dict[str, Callable[[], Awaitable[None]]] = {"plain": plain}
    for level in (Level.L3, Level.L2):
        sandbox = await find_sandbox(levels=[level])
        if sandbox.confinement.level is level:
            runs[sandbox.confinement.summary] = confined(sandbox, workspace)
        else:
            print(f"{level.name} does not hold here: {'; '.join(sandbox.confinement.notes)}")
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            taken[name].append(await milliseconds(run))
    return taken


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    report.machine()
    with report.folder() as folder:
        taken = asyncio.run(measure(folder.resolve(), rounds))
    bare = statistics.median(taken.pop("plain"))
    report.line("start and end of a plain command, median", bare, "ms")
    for name, times in taken.items():
        worst = f"worst of {rounds}: {max(times):.0f} ms"
        report.line(f"the same at {name}", statistics.median(times), "ms", GOAL, beside=worst)


if __name__ == "__main__":
    main()
