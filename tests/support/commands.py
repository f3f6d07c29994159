"""Runs commands in a sandbox, and looks for the processes that they leave."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from turnstone.core.sandbox import Command, CommandResult, Sandbox

#: Seconds for a state that must come, on a machine that is busy with other tests.
PATIENCE = 60.0


async def run_in(
    sandbox: Sandbox,
    script: str,
    workspace: Path,
    *,
    timeout: float = 20.0,
    max_output: int = 1_000_000,
    network: bool = False,
) -> CommandResult:
    command = Command(script, workspace, timeout, network, max_output)
    return await sandbox.run(command, lambda _: None)


def processes_with(marker: str) -> list[int]:
    """The living processes whose command line contains the marker."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace")
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if marker in words and state not in "ZX":
            found.append(int(entry.name))
    return found


async def until_gone(marker: str) -> list[int]:
    """Wait until no process with the marker lives; those that still do."""
    deadline = time.monotonic() + PATIENCE
    while (left := processes_with(marker)) and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    return left


async def until_there(marker: str) -> list[int]:
    """Wait until a process with the marker lives."""
    deadline = time.monotonic() + PATIENCE
    while not (found := processes_with(marker)) and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    return found
