"""How the benches measure: contenders in turn, the fastest round of each, ratios beside them.

Absolute times belong to one machine; what is promised are the ratios of one run. A round that
something else disturbed is not the fastest, so other work on the machine moves little.
"""

from __future__ import annotations

import asyncio
import gc
import os
import platform
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cost:
    """Seconds: on the wall, and of this process on a processor."""

    wall: float
    cpu: float


Contender = Callable[[], Awaitable[object]]


async def fastest(contenders: Mapping[str, Contender], rounds: int) -> dict[str, Cost]:
    """The least of `rounds` rounds of each, after one that is not counted; A B C, A B C, …"""
    found: dict[str, Cost] = {}
    for number in range(rounds + 1):
        for name, work in contenders.items():
            cost = await _cost(work)
            if number:
                known = found.get(name, cost)
                found[name] = Cost(min(cost.wall, known.wall), min(cost.cpu, known.cpu))
    return found


async def _cost(work: Contender) -> Cost:
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    await work()
    return Cost(time.perf_counter() - wall, time.process_time() - cpu)


def fastest_of(contenders: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Cost]:
    """The same for contenders that never wait."""

    def waiting(work: Callable[[], object]) -> Contender:
        async def run() -> None:
            work()

        return run

    made = {name: waiting(work) for name, work in contenders.items()}
    return asyncio.run(fastest(made, rounds))


def ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 0.1 else f"{seconds * 1e3:.0f} ms"


def us(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} us"


def times(ratio: float) -> str:
    return f"{ratio:.2f} x"


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print as Markdown, so that it can be pasted into the README."""
    widths = [max(len(row[place]) for row in [head, *rows]) for place in range(len(head))]
    print(f"\n{title}\n")
    for row in (head, ["-" * width for width in widths], *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print(f"| {' | '.join(cells)} |")


def machine() -> None:
    """Print what this runs on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    print(
        f"{_processor()}, {cores} cores, {platform.system()} {platform.release()}, "
        f"{platform.python_implementation()} {platform.python_version()}, load {load:.1f}"
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
