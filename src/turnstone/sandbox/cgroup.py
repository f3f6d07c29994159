"""Counts the processes of a command of root, for whom the kernel knows no process limit.

Makes one group per command under whatever control group of this process can be written to,
and removes it afterwards. Never touches a group that it did not make.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

_MOUNT = Path("/sys/fs/cgroup")
_PREFIX = "turnstone-"

#: How often, and at which distance in seconds, it is looked whether the processes of an ended
#: command are gone. They have been killed; what stays on a very busy machine is swept later.
_LOOKS = 200
_LOOK = 0.005


@dataclass(frozen=True, slots=True)
class ProcessGroups:
    """Where groups can be made. `find` has tried it."""

    parent: Path
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @asynccontextmanager
    async def group(self, processes: int) -> AsyncIterator[Path]:
        """A new group for at most so many processes: the file that takes the id of the first."""
        group = self.parent / f"{_PREFIX}{os.getpid()}-{next(self._numbers)}"
        group.mkdir()
        try:
            (group / "pids.max").write_text(str(processes))
            yield group / "cgroup.procs"
        finally:
            await _remove(group)


def find_process_groups() -> ProcessGroups | None:
    """The first place where a group with a process limit can be made, or None."""
    for parent in _candidates():
        trial = parent / f"{_PREFIX}{os.getpid()}-0"
        try:
            trial.mkdir()
            limited = (trial / "pids.max").exists()
            trial.rmdir()
        except OSError:
            continue
        if limited:
            _sweep(parent)
            return ProcessGroups(parent)
    return None


def _candidates() -> Iterator[Path]:
    """Our own group and the ones above it, in both versions of the interface."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "pids":
            root = _MOUNT / "pids"
        elif controllers == "":
            root = _MOUNT
        else:
            continue
        own = root / path.lstrip("/")
        yield own
        yield from (above for above in own.parents if above.is_relative_to(root))


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
