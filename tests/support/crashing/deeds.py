"""A process that kills nodes while they do one thing: `python -m ….deeds FOLDER`.

Reads which deed, and the system call to die at, as lines of JSON (`Order`); lets a second
process go on from there, and answers with one line (`Left`). Has one thread only. What the
deeds are is in `support.crashing.done`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path

import msgspec

from support.crashing.done import DEEDS, Deed
from support.crashing.tracing import Traced, traced


class Order(msgspec.Struct, frozen=True):
    """`death`: the number of the system call to die at; 0: none."""

    deed: str
    death: int = 0


class Left(msgspec.Struct, frozen=True):
    calls: int  # watched system calls that the first life has made
    died: str  # the call that it has died at, if it has
    found: str  # in a word: what the kill has left, where either may be
    faults: list[str]


class Deeds:
    """All of them, each from one beginning that is made once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._laid_out: set[str] = set()

    def carry_out(self, order: Order) -> Left:
        deed = DEEDS[order.deed]
        place = self._folder / "place"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self._beginning(order.deed, deed), place)
        first = traced(lambda: asyncio.run(deed.live(place)), order.death)
        lives = [first]
        if first.died_at:
            lives.append(traced(lambda: asyncio.run(deed.after(place))))
        faults = [f"life {n} has broken by itself" for n, life in enumerate(lives) if _broke(life)]
        found, more = asyncio.run(deed.look(place))
        return Left(first.calls.total(), first.died_at, found, [*faults, *more])

    def _beginning(self, name: str, deed: Deed) -> Path:
        folder = self._folder / name
        if name not in self._laid_out:
            self._laid_out.add(name)
            (folder / "workspace").mkdir(parents=True)
            # The beginning is made at the place of the lives: journals keep where they are.
            place = self._folder / "place"
            shutil.rmtree(place, ignore_errors=True)
            folder.rename(place)
            traced(lambda: asyncio.run(deed.lay_out(place)))
            place.rename(folder)
        return folder


def _broke(life: Traced) -> bool:
    return not life.died_at and os.waitstatus_to_exitcode(life.status) != 0


def main(folder: Path) -> None:
    deeds = Deeds(folder)
    decoder = msgspec.json.Decoder(Order)
    for line in sys.stdin.buffer:
        left = deeds.carry_out(decoder.decode(line))
        sys.stdout.buffer.write(msgspec.json.encode(left) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
