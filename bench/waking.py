"""What the waking of a long conversation costs, and what it holds up.

    python bench/waking.py [TURNS]

Each turn is five calls of a tool with 4 KB of output: 29 records, 29 KB. Beside it, in the same
run: the waking of one with a single turn. What is held up: the event loop, seen by a task that
wakes each millisecond, and other workstreams, which are made one after another meanwhile.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable
from pathlib import Path

from support import report
from support.node import start_node
from turnstone.core import events as ev
from turnstone.core.host import CreateWorkstream
from turnstone.core.local_host import LocalHost
from turnstone.core.node import lock_server
from turnstone.core.store import SqliteStore, WorkstreamRow

#: Nobody is there: no turn is run.
NO_MODEL = "http://127.0.0.1:9/v1"

LONG, SHORT = "aaaa0001", "aaaa0002"
CALLS, OUTPUT = 5, "y" * 4000


def turn(cid: str) -> list[ev.Event]:
    records: list[ev.Event] = [ev.MessageAccepted(message="Do it.", correlation_id=cid)]
    for step in range(1, CALLS + 1):
        call = ev.ToolCallRecord(f"{cid}-{step}", "read_file", '{"path":"a"}')
        decision = ev.CallDecision(call_id=call.id, verdict="allow")
        records += [
            ev.StepStarted(step=step, correlation_id=cid),
            ev.StepFinished(step=step, text="x" * 300, tool_calls=[call], correlation_id=cid),
            ev.CallsDecided(decisions=[decision], correlation_id=cid),
            ev.ToolStarted(call_id=call.id, name=call.name, effect="pure", correlation_id=cid),
            ev.ToolFinished(
                call_id=call.id, name=call.name, status="ok", output=OUTPUT, correlation_id=cid
            ),
        ]
    return [
        *records,
        ev.StepStarted(step=CALLS + 1, correlation_id=cid),
        ev.StepFinished(step=CALLS + 1, text="Done.", correlation_id=cid),
        ev.TurnEnded(outcome="done", correlation_id=cid),
    ]


async def fill(path: Path, turns: int) -> None:
    path.parent.mkdir()
    lock = lock_server(path)
    store = await SqliteStore.open(path)
    for ws_id, count in ((LONG, turns), (SHORT, 1)):
        row = WorkstreamRow(
            ws_id=ws_id, session_id="s" * 12, created=1.0, owner=lock.node_id, epoch=1
        )
        await store.create(row, ev.WsCreated(session_id=row.session_id))
        for n in range(count):
            await store.append(ws_id, 1, turn(f"{ws_id}-{n}"))
    await store.aclose()
    lock.release()


async def timed(call: Awaitable[object]) -> float:
    """Milliseconds."""
    begun = time.perf_counter()
    await call
    return (time.perf_counter() - begun) * 1000


async def gaps(found: list[float]) -> None:
    """Milliseconds between two times that this task gets its turn."""
    while True:
        begun = time.perf_counter()
        try:
            await asyncio.sleep(0.001)
        finally:
            found.append((time.perf_counter() - begun) * 1000)


async def making(host: LocalHost, found: list[float]) -> None:
    while True:
        begun = time.perf_counter()
        try:
            await host.create(CreateWorkstream())
        finally:  # the last one is cancelled, and has waited too
            found.append((time.perf_counter() - begun) * 1000)


async def run(folder: Path, turns: int) -> None:
    path = folder / "state" / "turnstone.db"
    await fill(path, turns)
    host = await start_node(folder, NO_MODEL)
    short = await timed(host.policy(SHORT))  # whatever is asked of a sleeper wakes it
    await host.aclose()
    alone = await start_node(folder, NO_MODEL)
    wake = await timed(alone.policy(LONG))
    await alone.aclose()

    host = await start_node(folder, NO_MODEL)
    held, made = list[float](), list[float]()
    others = [asyncio.create_task(gaps(held)), asyncio.create_task(making(host, made))]
    beside = await timed(host.policy(LONG))
    await asyncio.sleep(0)
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    endings = [
        await timed(host.ending(LONG, f"{LONG}-{n}")) for n in range(0, turns, turns // 20 or 1)
    ]
    await host.aclose()

    size = path.stat().st_size / 2**20
    print(f"a conversation of {turns} turns, {len(turn('')) * turns} records, {size:.0f} MiB")
    report.line("its waking, alone", wake, "ms", beside=f"one turn: {short:.1f} ms")
    report.line("its waking, beside others that are made", beside, "ms")
    report.line("the loop held, longest", max(held), "ms", 50)
    report.line("another workstream made meanwhile, median", statistics.median(made), "ms")
    report.line("another workstream made meanwhile, longest", max(made), "ms", 100)
    report.line("how a turn of it ended, median", statistics.median(endings), "ms", 5)


def main() -> None:
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    report.machine()
    with report.folder() as folder:
        asyncio.run(run(folder, turns))


if __name__ == "__main__":
    main()
