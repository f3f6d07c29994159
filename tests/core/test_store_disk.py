"""The SQLite store on a disk that is full, fails, or may not be written."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelserver import ModelServer
from modelserver.plans import echo
from support.clocks import SetClock
from support.needs import give_up, require
from support.nodes import start_host
from support.processes import run
from support.store_turn import TURN, WS
from turnstone.core import events as ev
from turnstone.core import workstream as workstream_module
from turnstone.core.errors import StoreError
from turnstone.core.events import MessageAccepted, WsCreated
from turnstone.core.host import CreateWorkstream, SendMessage
from turnstone.core.local_host import LocalHost
from turnstone.core.store import SqliteStore, WorkstreamRow

PATIENCE = 60.0

LONG = os.environ.get("TURNSTONE_TEST_SIZE") == "long"

#: Calls of the kernel that may fail, and how.
FAULTS = [
    (call, error) for call in ("pwrite64", "fdatasync", "ftruncate") for error in ("EIO", "ENOSPC")
]


def run_turn(store: Path, *inject: str) -> tuple[int, str, str]:
    """Exit code, what was printed, and strace's own notes."""
    notes = store.with_name("strace")
    calls = ["-e", "trace=pwrite64,fdatasync,fsync,ftruncate"]
    fault = [argument for one in inject for argument in ("-e", f"inject={one}")]
    # A filter makes it fast; with one, some versions of strace send no signals.
    fast = [] if any("signal=" in one for one in inject) else ["--seccomp-bpf"]
    done = subprocess.run(
        [
            *[require("strace"), "-f", *fast, "-o", str(notes), *calls, *fault],
            *[sys.executable, "-m", "support.store_turn", str(store)],
        ],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    return done.returncode, done.stdout + done.stderr, notes.read_text()


def points(notes: str, call: str) -> int:
    """How often a thread of the program makes this call, at most: strace counts by thread."""
    threads = re.findall(rf"^(\d+) +{call}\(", notes, re.MULTILINE)
    return max((threads.count(thread) for thread in set(threads)), default=0)


async def journal(store: Path) -> list[str]:
    opened = await SqliteStore.open(store)
    try:
        return [record.type for record in await opened.records(WS)]
    finally:
        await opened.aclose()


@pytest.mark.parametrize(("call", "error"), FAULTS)
async def test_a_write_that_fails_is_told_and_leaves_nothing_or_is_there_whole(
    tmp_path: Path, call: str, error: str
) -> None:
    (tmp_path / "whole").mkdir()
    _, _, notes = run_turn(tmp_path / "whole" / "turnstone.db")
    count = points(notes, call)
    assert count
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chosen = range(1, count + 1)
    for n in chosen if LONG else random.Random(seed).sample(chosen, min(3, count)):
        store = tmp_path / f"{call}-{error}-{n}" / "turnstone.db"
        store.parent.mkdir()
        code, printed, _ = run_turn(store, f"{call}:error={error}:when={n}")

        told = re.findall(r"^(kept|failed) (\d+)", printed, re.MULTILINE)
        kept = [int(number) for word, number in told if word == "kept"]
        assert code in (0, 3), printed
        if code == 3:
            assert "refused: The " in printed
            kept = []
        expected = [event.type for number in kept for event in TURN[number]]
        assert await journal(store) == expected, (n, printed)
        assert code == 3 or kept == list(range(len(TURN))), (n, printed)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("ENOSPC", "is full; nothing was written. Make room"),
        ("EROFS", "failed while it was writing; whether it was written is not known yet"),
    ],
)
def test_a_disk_that_takes_no_more_writes_is_told_with_each(
    tmp_path: Path, error: str, said: str
) -> None:
    store = tmp_path / "turnstone.db"
    _, _, notes = run_turn(tmp_path / "other.db")
    before = notes.count("pwrite64(") // 2  # when the tables have been made

    code, printed, _ = run_turn(store, f"pwrite64:error={error}:when={before}+")

    assert code == 0, printed
    assert said in printed
    assert asyncio.run(journal(store)) == types(numbers_kept(printed))


@pytest.mark.parametrize("at_once", [True, False], ids=["at-once", "at-the-next-write"])
async def test_a_kill_behind_a_failed_sync_leaves_all_that_was_told_as_kept(
    tmp_path: Path, *, at_once: bool
) -> None:
    (tmp_path / "whole").mkdir()
    _, _, notes = run_turn(tmp_path / "whole" / "turnstone.db")
    count = points(notes, "fdatasync")
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chosen = range(1, count + 1)
    killed = 0
    for n in chosen if LONG else random.Random(seed).sample(chosen, min(5, count)):
        store = tmp_path / f"{n}" / "turnstone.db"
        store.parent.mkdir()
        fails = f"fdatasync:error=EIO:when={n}"
        following = f"pwrite64:signal=SIGKILL:when={writes_before(notes, n) + 1}"
        faults = [f"{fails}:signal=SIGKILL"] if at_once else [fails, following]
        code, printed, _ = run_turn(store, *faults)

        killed += code == -signal.SIGKILL
        kept = numbers_kept(printed)
        there = await journal(store)
        # What was being written may be there, whole; nobody was told of it.
        assert there in (types(kept), types([*kept, len(kept)])), (n, printed, there)
    assert killed


def writes_before(notes: str, sync: int) -> int:
    """How often the thread of the store has written before its sync with this number."""
    [thread] = set(re.findall(r"^(\d+) +fdatasync\(", notes, re.MULTILINE))
    calls = re.findall(rf"^{thread} +(pwrite64|fdatasync)\(", notes, re.MULTILINE)
    places = [place for place, call in enumerate(calls) if call == "fdatasync"]
    return calls[: places[sync - 1]].count("pwrite64")


def numbers_kept(printed: str) -> list[int]:
    """Of the writes that were told as kept."""
    return [int(number) for number in re.findall(r"^kept (\d)", printed, re.MULTILINE)]


def types(numbers: list[int]) -> list[str]:
    """Of the records of these writes."""
    return [event.type for number in numbers for event in (TURN[number:] or [[]])[0]]


async def test_a_store_on_a_disk_that_was_mounted_to_be_read_only_is_refused_and_stays(
    small_disk: Path, tmp_path: Path
) -> None:
    store = small_disk / "turnstone.db"
    run_turn(store)
    whole = await journal(store)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    try:
        with pytest.raises(StoreError, match="Read-only file system"):
            await SqliteStore.open(store)
        arguments = ["--store", str(store), "--model", "practice", "-p", "hello"]
        code, _, told = await run(tmp_path / "home", "turnstone", *arguments)
    finally:
        subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)

    assert code == 1
    assert "Read-only file system" in told
    assert "name another place with --store" in told
    assert "Traceback" not in told
    assert await journal(store) == whole == types(list(range(len(TURN))))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of one megabyte."""
    place = tmp_path / "small"
    place.mkdir()
    if (
        os.getuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], capture_output=True
        ).returncode
    ):
        give_up("only root may mount a small file system")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


async def test_a_node_on_a_full_disk_still_lists_and_shows_and_recovers_by_itself(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workstream_module, "RETRY", 0.05)  # a time, not a behaviour
    with ModelServer(echo) as model:
        clock = SetClock()
        host = await start_host(small_disk, model.base_url, clock=clock, idle_timeout=60.0)
        one, two = [await host.create(CreateWorkstream(name=n)) for n in ("one", "two")]
        for ws in (one, two):
            await host.send(SendMessage(ws_id=ws.id, message="kept", correlation_id=ws.id))
            await ended(host, ws.id, ws.id)
        await all_sleep(host, clock)
        ballast, store = small_disk / "ballast", small_disk / "turnstone.db"
        fill(ballast)

        with pytest.raises(StoreError, match="is full"):
            while True:  # what is left of the log's last page takes some
                await host.send(SendMessage(ws_id=one.id, message="more " * 500))

        health = await host.health()
        assert (health.status, health.store) == (
            "degraded",
            f"The disk of the store {store} is full; nothing was written.",
        )
        assert sorted(info.name for info in await host.list()) == ["one", "two"]
        for ws in (one, two):
            assert (await history(host, ws.id))[0].content == "kept"
        ballast.unlink()
        health = await host.health()
        assert (health.status, health.store) == ("ok", "ok")
        await host.send(SendMessage(ws_id=one.id, message="again", correlation_id="c9"))
        assert (await ended(host, one.id, "c9")).text == "again"
        await host.send(SendMessage(ws_id=two.id, message="here too", correlation_id="c8"))
        assert (await ended(host, two.id, "c8")).text == "here too"
        await host.aclose()


async def history(host: LocalHost, ws_id: str) -> list[ev.HistoryMessage]:
    """What a reader is shown first."""
    async for event in host.follow(ws_id):
        if isinstance(event, ev.History):
            return event.messages
    raise AssertionError("there is no history")


async def all_sleep(host: LocalHost, clock: SetClock) -> None:
    async with asyncio.timeout(PATIENCE):
        while (await host.health()).awake:
            clock.advance(61.0)
            await host.sweep()
            await asyncio.sleep(0)


async def ended(host: LocalHost, ws_id: str, correlation_id: str) -> ev.TurnEnded:
    async with asyncio.timeout(PATIENCE):
        async for event in host.follow(ws_id, ev.EventId(1)):
            if isinstance(event, ev.TurnEnded) and event.correlation_id == correlation_id:
                return event
    raise AssertionError("it did not end")


def fill(path: Path) -> None:
    with open(path, "wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue


async def test_a_store_that_another_process_holds_is_told_and_used_when_it_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SqliteStore, "patience", 0.1)  # a time, not a behaviour
    path = tmp_path / "turnstone.db"
    store = await SqliteStore.open(path)
    row = WorkstreamRow(ws_id=WS, session_id="s" * 12, created=1.0, owner="node", epoch=1)
    await store.create(row, WsCreated())
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreError, match=r"locked by another process for more than 0\.1 s"):
        await store.append(WS, 1, [MessageAccepted(message="x", correlation_id="c1")])
    assert len(await store.rows()) == 1
    other.close()

    await store.append(WS, 1, [MessageAccepted(message="x", correlation_id="c1")])
    assert len(await store.records(WS)) == 2
    await store.aclose()
