"""What a durable step costs: records through the journal to the disk, one after another.

    python bench/step.py [STEPS]

Beside it, in the same run: the bare cost of a small write and fsync on the same disk.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from support import report
from turnstone.core import events as ev
from turnstone.core.clock import SystemClock
from turnstone.core.journal import Journal, folded
from turnstone.core.store import SqliteStore, WorkstreamRow

_TEXT = "An answer of the model, as long as they usually are. " * 10


async def steps(path: Path, count: int) -> dict[str, list[float]]:
    """Milliseconds of each append, by kind of record."""
    store = await SqliteStore.open(path)
    created = ev.WsCreated(session_id="s" * 12, timestamp=time.time())
    row = WorkstreamRow(ws_id="aaaa0001", session_id="s" * 12, created=1.0, owner="n", epoch=1)
    await store.create(row, created)
    row = msgspec.structs.replace(row, last_seq=1)
    journal = Journal(store, row, await folded(store, row.ws_id), SystemClock())
    took: dict[str, list[float]] = {}
    for n in range(count):
        cid = f"c{n}"
        call = ev.ToolCallRecord(f"call{n}", "bash", '{"command": "true"}')
        for event in (
            ev.MessageAccepted(message="Go on.", correlation_id=cid),
            ev.StepStarted(step=1, correlation_id=cid),
            ev.StepFinished(text=_TEXT, tool_calls=[call], correlation_id=cid),
            ev.ToolStarted(call_id=call.id, name="bash", correlation_id=cid),
            ev.ToolFinished(call_id=call.id, status="ok", output=_TEXT, correlation_id=cid),
            ev.TurnEnded(outcome="done", correlation_id=cid),
        ):
            begun = time.perf_counter()
            await journal.append(event)
            took.setdefault(event.type, []).append((time.perf_counter() - begun) * 1000)
    await store.aclose()
    return took


def syncs(path: Path, count: int) -> list[float]:
    """Milliseconds of each write of a page and fsync of a file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        return [_timed(lambda: _write(descriptor)) for _ in range(count)]
    finally:
        os.close(descriptor)


def _write(descriptor: int) -> None:
    os.write(descriptor, bytes(4096))
    os.fsync(descriptor)


def _timed(work: Callable[[], None]) -> float:
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1000


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    report.machine()
    with report.folder() as folder:
        before = syncs(folder / "sync", count)
        took = asyncio.run(steps(folder / "turnstone.db", count))
        bare = statistics.median(before + syncs(folder / "sync", count))
    every = [ms for kind in took.values() for ms in kind]
    report.line("write of 4 KiB and fsync, median", bare, "ms")
    for kind, values in took.items():
        report.line(f"{kind}, median", statistics.median(values), "ms")
    middle = statistics.median(every)
    report.line("a durable step, median", middle, "ms", 1.0, f"{middle / bare:.1f} bare fsyncs")
    report.line("a durable step, 99 of 100", statistics.quantiles(every, n=100)[-1], "ms")


if __name__ == "__main__":
    main()
