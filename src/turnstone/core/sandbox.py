"""How commands are confined, as a seam: levels, orders, and the protocol. Starts nothing itself.

Implementations are in `turnstone.sandbox`. The level is found by trying the escapes at the
start, never by looking at versions, and is shown wherever a person might rely on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Protocol


class Level(IntEnum):
    """How much a confined command can be kept from. Compare with `>=`."""

    L0 = 0  # nothing is confined: every command is asked
    L2 = 2  # Landlock and seccomp: files and network, same process table
    L3 = 3  # bubblewrap: own file system view, processes, network


@dataclass(frozen=True, slots=True)
class Confinement:
    """What this machine can do, and in words for a person."""

    level: Level
    summary: str  # `L3 (bubblewrap)`
    notes: tuple[str, ...] = ()  # what is missing: `no process limit: no cgroup can be had`


@dataclass(frozen=True, slots=True)
class Command:
    """One command to run: exactly these bytes, given to a fresh non-login bash."""

    script: str
    workspace: Path  # writable
    timeout: float  # seconds
    network: bool = False
    max_output: int = 1_000_000  # characters kept of the head and tail together
    directory: Path | None = None  # where it starts, in the workspace; None: in the workspace
    report: bool = False  # whether to tell the directory in which it ended
    keep: Path | None = None  # a file to make for the whole output, where it is too long
    outputs: Path | None = None  # a folder of ours that the command may read, if it is there
    programs: tuple[Path, ...] = ()  # and what it may read and run beside the usual
    stdin: int | None = None  # a descriptor to read from; None: nothing

    @property
    def start(self) -> Path:
        return self.directory or self.workspace


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended. `exit_code` is None when it was stopped (`timed_out`)."""

    exit_code: int | None
    output: str  # stdout and stderr, as they came; the middle cut out if it was too long
    dropped: int = 0  # characters cut out
    duration: float = 0.0  # seconds
    timed_out: bool = False
    kept: int = 0  # bytes in the file for the whole output; 0: there is none
    kept_whole: bool = True  # the file holds all of it
    directory: str = ""  # where it ended, as the command says it; empty: it has not said


class Sandbox(Protocol):
    confinement: Confinement

    async def run(self, command: Command, emit: Callable[[str], None]) -> CommandResult:
        """Run to the end. When cancelled or timed out, the whole process group is gone after."""
