"""A process that kills restores, and looks at what they leave: `python -m ….restoring FOLDER`.

Reads the calls to die at as lines of JSON (`Deaths`), and answers each with one line (`Left`).
Has one thread only. The store that is replaced is as a killed node leaves it: the last part of
it is in its log.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import msgspec

from support.crashing.tracing import Traced, traced
from turnstone.core.errors import StoreError
from turnstone.core.events import AnyEvent, MessageAccepted, WsCreated
from turnstone.core.store import SqliteStore, WorkstreamRow
from turnstone.core.store.backup import back_up, restore

NODE = "node"

#: Every record, by its workstream.
Held: TypeAlias = dict[str, list[AnyEvent]]


class Deaths(msgspec.Struct, frozen=True):
    """The number of a system call of the restore, and of the start after it; 0: none."""

    restore: int = 0
    start: int = 0


class Left(msgspec.Struct, frozen=True, kw_only=True):
    calls: int  # watched system calls that the restore has made
    died: list[str]
    store: str  # `old`, `new`, or why it is neither
    aside: list[str]  # what is in each store that was moved aside
    said: str  # by the start after it
    again: str  # what the store is after the same restore once more
    litter: list[str]  # files that nobody needs, after that


async def make(folder: Path) -> None:
    """`old/`, the files of a store that is in use, and `backup`, of another one."""
    await _filled(folder / "other" / "turnstone.db", "bbbb")
    back_up(folder / "other" / "turnstone.db", folder / "backup")
    path = folder / "work" / "turnstone.db"
    await _filled(path, "aaaa")
    store = await SqliteStore.open(path)
    await store.append("aaaa0001", 1, [MessageAccepted(message="last " * 99, correlation_id="z")])
    shutil.copytree(path.parent, folder / "old")
    await store.aclose()


async def _filled(path: Path, prefix: str) -> None:
    store = await SqliteStore.open(path)
    for number in range(3):
        ws_id = f"{prefix}000{number}"
        row = WorkstreamRow(
            ws_id=ws_id, session_id="s" * 12, created=float(number), owner=NODE, epoch=1
        )
        await store.create(row, WsCreated(name=ws_id))
        message = MessageAccepted(message=f"{ws_id} " * 500, correlation_id=ws_id)
        await store.append(ws_id, 1, [message])
    await store.aclose()


async def held(path: Path) -> Held:
    """What is in a store. Raises StoreError."""
    store = await SqliteStore.open(path)
    try:
        return {row.ws_id: await store.records(row.ws_id) for row in await store.rows()}
    finally:
        await store.aclose()


class Restores:
    """All of them, in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        asyncio.run(make(folder))
        shutil.copytree(folder / "old", folder / "look")
        self._known = {
            "old": asyncio.run(held(folder / "look" / "turnstone.db")),
            "new": asyncio.run(held(folder / "other" / "turnstone.db")),
        }
        self._said: list[str] = []
        logging.getLogger("turnstone.core.store.replace").addFilter(self._hears)

    def carry_out(self, deaths: Deaths) -> Left:
        place = self._folder / "place"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self._folder / "old", place)
        path = place / "turnstone.db"
        restored = _life(lambda: self._restore(path), deaths.restore)
        started = _life(lambda: self._start(path), deaths.start) if deaths.start else Traced()
        self._said.clear()
        found = self._what(path)
        said = " ".join(self._said)
        aside = [self._what(file) for file in place.glob("*.before-restore-*.db")]
        self._restore(path)
        return Left(
            calls=restored.calls.total(),
            died=[life.died_at for life in (restored, started) if life.died_at],
            store=found,
            aside=aside,
            said=said,
            again=self._what(path),
            litter=sorted(file.name for file in place.glob(".*")),
        )

    def _hears(self, record: logging.LogRecord) -> bool:
        self._said.append(record.getMessage())
        return False

    def _restore(self, path: Path) -> None:
        restore(self._folder / "backup", path, NODE)

    def _start(self, path: Path) -> None:
        asyncio.run(held(path))

    def _what(self, path: Path) -> str:
        try:
            found = asyncio.run(held(path))
        except StoreError as error:
            return str(error)
        return next((name for name, known in self._known.items() if known == found), str(found))


def _life(main: Callable[[], None], kill_at: int) -> Traced:
    found = traced(main, kill_at)
    assert found.died_at or os.waitstatus_to_exitcode(found.status) == 0
    return found


def main(folder: Path) -> None:
    restores = Restores(folder)
    decoder = msgspec.json.Decoder(Deaths)
    for line in sys.stdin.buffer:
        left = restores.carry_out(decoder.decode(line))
        sys.stdout.buffer.write(msgspec.json.encode(left) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
