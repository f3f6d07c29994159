"""What ten thousand workstreams cost a node: its start, its memory, and the waking of one.

    python bench/hibernation.py [WORKSTREAMS]

Each number stands beside that of a node with an empty store, in the same run. The nodes are
real `turnstone-server` processes; each workstream has had a turn, and sleeps.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import signal
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from support import report
from turnstone.api.http_host import HttpHost
from turnstone.core import events as ev
from turnstone.core.host import CreateWorkstream, SendMessage
from turnstone.core.node import lock_server
from turnstone.core.store import SqliteStore, WorkstreamRow

TOKEN = secrets.token_urlsafe(32)
WOKEN = 20
MADE = 2000

_TEXT = "An answer of the model, as long as they usually are. " * 20


@dataclass
class Numbers:
    start: float  # seconds until it answers
    memory: float  # MiB
    health: float  # ms
    listing: float  # ms
    wakes: list[float]  # ms from a message to its acceptance
    awake_kib: float  # of each of many that were just made


async def fill(path: Path, count: int) -> list[str]:
    """A store with so many idle workstreams, as a server left it; their ids."""
    path.parent.mkdir()
    lock = lock_server(path)
    store = await SqliteStore.open(path)
    ids = [f"{n:08x}" for n in range(count)]
    for ws_id in ids:
        now = round(time.time(), 6)
        summary = {"name": f"ws-{ws_id[:4]}", "state": "idle", "tokens": 120, "updated": now}
        row = WorkstreamRow(
            ws_id=ws_id,
            session_id=f"{ws_id}0000",
            created=now,
            owner=lock.node_id,
            epoch=1,
            summary=summary,
        )
        created = ev.WsCreated(name=f"ws-{ws_id[:4]}", session_id=row.session_id, timestamp=now)
        await store.create(row, created)
        cid = f"c{ws_id}"
        records = [
            ev.MessageAccepted(message="A question.", correlation_id=cid, timestamp=now),
            ev.StepStarted(step=1, correlation_id=cid, timestamp=now),
            ev.StepFinished(text=_TEXT, correlation_id=cid, timestamp=now),
            ev.TurnEnded(outcome="done", correlation_id=cid, timestamp=now),
        ]
        await store.append(ws_id, 1, records, summary)
    await store.aclose()
    lock.release()
    return ids


@asynccontextmanager
async def server(folder: Path, path: Path) -> AsyncIterator[tuple[HttpHost, int, float]]:
    """A node on this store: its client, its process id, and the seconds that it took to start."""
    (folder / "workspace").mkdir(exist_ok=True)
    program = Path(sys.executable).with_name("turnstone-server")
    options = ["--model", "practice", "--port", "0", "--store", str(path)]
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "TURNSTONE_AUTH_TOKEN": TOKEN}
    begun = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        program,
        *options,
        "--workspace",
        str(folder / "workspace"),
        env=env,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        url = None
        while url is None:
            url = re.search(r"http://127\.0\.0\.1:\d+", (await process.stdout.readline()).decode())
        host = HttpHost(url[0], TOKEN)
        await host.health()
        yield host, process.pid, time.perf_counter() - begun
        await host.aclose()
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


async def measure(folder: Path, path: Path, ids: list[str]) -> Numbers:
    async with server(folder, path) as (host, pid, start):
        memory = _memory(pid)
        woken = ids[:: max(1, len(ids) // WOKEN)][:WOKEN]
        wakes = [
            await _milliseconds(host.send(SendMessage(ws_id=ws_id, message="hello")))
            for ws_id in woken
        ]
        health = [await _milliseconds(host.health()) for _ in range(5)]
        listing = [await _milliseconds(host.list()) for _ in range(5)]
        before = _memory(pid)
        for _ in range(MADE):
            await host.create(CreateWorkstream())
        kib = (_memory(pid) - before) * 1024 / MADE
        middle = statistics.median
        return Numbers(start, memory, middle(health), middle(listing), wakes, kib)


async def _milliseconds(call: object) -> float:
    begun = time.perf_counter()
    await call  # type: ignore[misc] # any of the client's calls
    return (time.perf_counter() - begun) * 1000


def _memory(pid: int) -> float:
    """MiB that the process holds resident."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


async def run(folder: Path, count: int) -> tuple[Numbers, Numbers]:
    ids = await fill(folder / "full" / "turnstone.db", count)
    (folder / "empty").mkdir()
    empty = await measure(folder, folder / "empty" / "turnstone.db", [])
    return await measure(folder, folder / "full" / "turnstone.db", ids), empty


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    report.machine()
    with report.folder() as folder:
        full, empty = asyncio.run(run(folder, count))
    print(f"{count} sleeping workstreams, beside a node with none")
    report.line("start until it answers", full.start, "s", 5, f"empty: {empty.start:.2f} s")
    report.line("resident memory", full.memory, "MiB", 400, f"empty: {empty.memory:.0f} MiB")
    report.line("a message to one that sleeps, median", statistics.median(full.wakes), "ms", 50)
    report.line("a message to one that sleeps, worst", max(full.wakes), "ms", 50)
    report.line("/health", full.health, "ms", beside=f"empty: {empty.health:.1f} ms")
    report.line("/api/workstreams", full.listing, "ms", beside=f"empty: {empty.listing:.1f} ms")
    report.line("memory of one that is awake", empty.awake_kib, "KiB")


if __name__ == "__main__":
    main()
