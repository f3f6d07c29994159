"""Disks as a loss of power may leave them, of one turn: `python -m ….power FOLDER`.

A model, and no more: no power is cut. A turn's writes to its store are recorded, in their order
and with what was synced. A disk after a loss has of each file all that was synced before it, and
of what was written since any part: each write whole, torn at a sector, or not at all. Names of
files are taken to be kept at once, and a disk that says it has synced is believed.

Reads orders as lines of JSON (`Losses`), and answers each with one line (`Lost`).
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from support.crashing.life import Scene, live
from support.crashing.log import SharedLog
from support.crashing.stores import HastyStore, TellingStore
from support.crashing.tracing import Call, traced
from support.crashing.turn import WS
from turnstone.core.errors import StoreError
from turnstone.core.events import AnyEvent
from turnstone.core.store import SqliteStore, Store

#: What a disk writes wholly or not at all, in bytes.
SECTOR = 512

#: Rebuilt by SQLite whenever a store is opened that nobody has open.
_SHARED = "-shm"


class Losses(msgspec.Struct, frozen=True):
    """So many disks of one turn. `pages`: of the log, after which it is copied into the database.
    `hasty`: over a store that does not wait for the disk."""

    seed: int
    count: int
    pages: int = 1000
    hasty: bool = False


class Lost(msgspec.Struct, frozen=True):
    """What was wrong with the disks, and in how many of them something was missing that had not
    been synced."""

    violations: list[str]
    changes: int
    differing: int


class Change(NamedTuple):
    """To a file of the store. `kept`: the last record that anybody could know of before it."""

    path: Path
    how: Literal["write", "cut", "sync", "gone"]
    place: int  # of what is written; the new size of what is cut
    data: bytes
    kept: int


@dataclass(frozen=True)
class WatchedScene(Scene):
    pages: int = 1000
    hasty: bool = False

    async def open_store(self, node_id: str) -> Store:
        kind = HastyStore if self.hasty else TellingStore
        kind.pages = self.pages  # this process has one store, and no other life
        store = await kind.open(self.folder / "turnstone.db")
        store.kept = lambda seq: self.log.tell("kept", seq)
        return store


class Recorder:
    """Notes every change to the files of a store, before it is made."""

    def __init__(self, store: Path, log: SharedLog) -> None:
        self.changes: list[Change] = []
        self._prefix = str(store)
        self._log = log

    def __call__(self, call: Call) -> None:
        first, second, third, fourth, *_ = call.arguments()
        match call.name:
            case "write":
                with open(f"/proc/{call.task}/fdinfo/{first}") as info:
                    place = int(info.readline().split()[1])
                self._note(call.path(first), "write", place, call.memory(second, third))
            case "pwrite64":
                self._note(call.path(first), "write", fourth, call.memory(second, third))
            case "ftruncate":
                self._note(call.path(first), "cut", second)
            case "fsync" | "fdatasync":
                self._note(call.path(first), "sync")
            case "unlink" | "unlinkat":
                address = first if call.name == "unlink" else second
                path = call.memory(address, 4096).partition(b"\0")[0]
                self._note(Path(os.fsdecode(path)), "gone")

    def _note(
        self,
        path: Path,
        how: Literal["write", "cut", "sync", "gone"],
        place: int = 0,
        data: bytes = b"",
    ) -> None:
        if str(path).startswith(self._prefix) and not str(path).endswith(_SHARED):
            kept = max(self._log.told("kept"), default=0)
            self.changes.append(Change(path, how, place, data, kept))


def disk(changes: Sequence[Change], dice: random.Random | None) -> dict[Path, bytes]:
    """The files after a loss of power behind the last of these changes; None: nothing is lost."""
    files: dict[Path, bytearray] = {}
    for path in {change.path for change in changes}:
        mine = [change for change in changes if change.path == path]
        if mine[-1].how == "gone":
            continue
        ends = [n for n, change in enumerate(mine, 1) if change.how in ("sync", "gone")]
        synced = max(ends, default=0)
        files[path] = bytearray()
        # Often all or nothing of it: what is worst is rarely in the middle.
        share = dice.choice([0.0, 1.0, dice.random()]) if dice else 1.0
        for number, change in enumerate(mine):
            if dice is None or number < synced or dice.random() < share:
                _apply(files[path], change)
            elif change.how == "write" and dice.random() < share:
                torn = dice.randrange(len(change.data) // SECTOR + 1) * SECTOR
                _apply(files[path], change._replace(data=change.data[:torn]))
    return {path: bytes(content) for path, content in files.items()}


def _apply(content: bytearray, change: Change) -> None:
    match change.how:
        case "write":
            content.extend(bytes(max(0, change.place - len(content))))
            content[change.place : change.place + len(change.data)] = change.data
        case "cut":
            del content[change.place :]
            content.extend(bytes(change.place - len(content)))
        case "gone":
            content.clear()


def carry_out(order: Losses, folder: Path) -> Lost:
    """Live one turn, and look at disks of it."""
    shutil.rmtree(folder, ignore_errors=True)
    scene = WatchedScene(folder / "work", SharedLog(), pages=order.pages, hasty=order.hasty)
    scene.lay_out()
    recorder = Recorder(scene.folder / "turnstone.db", scene.log)
    status = traced(lambda: live(scene), watch=recorder).status
    assert status == 0, scene.log.told("fault")
    whole = asyncio.run(_journal(scene.folder / "turnstone.db"))
    assert isinstance(whole, list), whole
    dice = random.Random(order.seed)
    found: list[str] = []
    differing = 0
    for _ in range(order.count):
        end = dice.randrange(1, len(recorder.changes))
        before = recorder.changes[:end]
        files, cached = disk(before, dice), disk(before, None)
        differing += files != cached
        place = folder / "disk"
        shutil.rmtree(place, ignore_errors=True)
        for path, content in files.items():
            copy = place / path.relative_to(scene.folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(content)
        journal = asyncio.run(_journal(place / "turnstone.db"))
        # What was known before the next change was made.
        if wrong := _fault(journal, whole, recorder.changes[end].kept):
            found.append(f"behind change {end} of {len(recorder.changes)}: {wrong}")
    return Lost(found, len(recorder.changes), differing)


async def _journal(path: Path) -> list[AnyEvent] | str:
    try:
        store = await SqliteStore.open(path)
    except StoreError as error:
        return str(error)
    try:
        return await store.records(WS)
    except StoreError as error:
        return str(error)
    finally:
        await store.aclose()


def _fault(journal: list[AnyEvent] | str, whole: list[AnyEvent], kept: int) -> str:
    if isinstance(journal, str):
        return journal
    if len(journal) < kept:
        return f"of {kept} records that were kept, {len(journal)} are there"
    if journal != whole[: len(journal)]:
        return "the journal is another one"
    return ""


def main(folder: Path) -> None:
    decoder = msgspec.json.Decoder(Losses)
    for line in sys.stdin.buffer:
        lost = carry_out(decoder.decode(line), folder / "power")
        sys.stdout.buffer.write(msgspec.json.encode(lost) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
