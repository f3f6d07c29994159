"""Holds the processes of a command together to a number, and to an amount of memory.

For root, for whom the kernel knows no process limit; and for memory, which it counts for one
process at a time. Makes one group per command under whatever control group of this process can
be written to, and removes it afterwards. Never touches a group that it did not make.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

_MOUNT = Path("/sys/fs/cgroup")
_PREFIX = "turnstone-"

#: How often, and at which distance in seconds, it is looked whether the processes of an ended
#: command are gone. They have been killed; what stays on a very busy machine is swept later.
_LOOKS = 200
_LOOK = 0.005


#: What each controller limits a group by: in the first version of the interface, and the second.
_FILES = {
    "pids": ("pids.max", "pids.max"),
    "memory": ("memory.limit_in_bytes", "memory.max"),
}

#: The words behind it are the program: the shell enters each group whose file stands before
#: `--`, and becomes the program, so that no process is ever outside.
_ENTER = 'while [ "$1" != -- ]; do echo $$ > "$1" || exit 126; shift; done; shift; exec "$@"'


@dataclass(frozen=True, slots=True)
class _Place:
    """A folder in which groups can be made, and the files of a group that take its limits."""

    parent: Path
    limits: dict[str, str]  # by controller


@dataclass(frozen=True, slots=True)
class ProcessGroups:
    """Where groups can be made. `find` has tried it."""

    places: tuple[_Place, ...]
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def limits_memory(self) -> bool:
        return any("memory" in place.limits for place in self.places)

    @asynccontextmanager
    async def group(self, processes: int, memory: int = 0) -> AsyncIterator[list[str]]:
        """A new group for at most so many processes and, if not 0, so many bytes of theirs:
        the words to put before the command line of the first."""
        name = f"{_PREFIX}{os.getpid()}-{next(self._numbers)}"
        amounts = {"pids": processes, "memory": memory}
        made: list[Path] = []
        try:
            for place in self.places:
                group = place.parent / name
                group.mkdir()
                made.append(group)
                for controller, file in place.limits.items():
                    if amounts[controller]:
                        (group / file).write_text(str(amounts[controller]))
            files = [str(group / "cgroup.procs") for group in made]
            yield ["/bin/sh", "-c", _ENTER, "sh", *files, "--"]
        finally:
            for group in made:
                await _remove(group)


def find_process_groups() -> ProcessGroups | None:
    """The first places where a group with a process limit can be made, and one with a limit
    of memory if there is any; None where there is no process limit to be had."""
    found: dict[Path, dict[str, str]] = {}
    for controller in _FILES:
        for parent, file in _candidates(controller):
            if _takes_limit(parent, file):
                found.setdefault(parent, {})[controller] = file
                break
    if not any("pids" in limits for limits in found.values()):
        return None
    for parent in found:
        _sweep(parent)
    return ProcessGroups(tuple(_Place(parent, limits) for parent, limits in found.items()))


def _takes_limit(parent: Path, file: str) -> bool:
    """Whether a group can be made there that has this file, and that a process can enter."""
    trial = parent / f"{_PREFIX}{os.getpid()}-0"
    try:
        trial.mkdir()
    except OSError:
        return False
    try:
        enter = ["/bin/sh", "-c", 'echo $$ > "$0"', str(trial / "cgroup.procs")]
        return (trial / file).exists() and _succeeds(enter)
    finally:
        with suppress(OSError):  # swept later
            trial.rmdir()


def _succeeds(command: list[str]) -> bool:
    done = subprocess.run(command, check=False, capture_output=True, stdin=subprocess.DEVNULL)
    return done.returncode == 0


def _candidates(wanted: str) -> Iterator[tuple[Path, str]]:
    """Our own group and the ones above it, in both versions of the interface, each with the
    name of the file that takes the limit."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if wanted in controllers.split(","):
            root, file = _MOUNT / controllers, _FILES[wanted][0]
        elif controllers == "":
            root, file = _MOUNT, _FILES[wanted][1]
        else:
            continue
        own = root / path.lstrip("/")
        yield own, file
        yield from ((above, file) for above in own.parents if above.is_relative_to(root))


def _sweep(parent: Path) -> None:
    """Remove the empty groups of processes of ours that were killed."""
    for group in parent.glob(f"{_PREFIX}*-*"):
        owner = group.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists():
            try:
                group.rmdir()
            except OSError:
                continue  # not empty, or another process swept it


async def _remove(group: Path) -> None:
    """The kernel tells nobody when a group of the old interface is empty, so it is looked at."""
    for _ in range(_LOOKS):
        if _try_remove(group):
            return
        await asyncio.sleep(_LOOK)


def _try_remove(group: Path) -> bool:
    try:
        group.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
