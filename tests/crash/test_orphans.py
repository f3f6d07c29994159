"""`kill -9` of a node while commands start: none runs on, and no process of a sandbox stays."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

from support.commands import processes_with
from support.crashing.harness import size
from support.needs import require
from turnstone.sandbox.orphans import end_orphans

KILLS = {"default": 8, "ci": 8, "long": 150}

#: Seconds for the program to begin; more is a failure.
PATIENCE = 60.0


async def test_no_process_of_a_sandbox_outlives_the_next_start(tmp_path: Path) -> None:
    require("bwrap")
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    workspace = tmp_path / "workspace-of-orphans"
    workspace.mkdir()
    left = 0
    for _ in range(KILLS[size()]):
        await killed(workspace, dice.uniform(0, 0.1))
        left += len(processes_with(str(workspace)))
        await swept(str(workspace))
    print(f"{left} were there")


async def test_a_living_nodes_commands_are_left_alone(tmp_path: Path) -> None:
    require("bwrap")
    workspace = tmp_path / "workspace-of-the-living"
    workspace.mkdir()
    process = await started(workspace)
    try:
        while len(before := processes_with(str(workspace))) < 2:
            await asyncio.sleep(0.01)  # the processes are the state that is waited for
        end_orphans()
        assert process.pid in processes_with(str(workspace))
        assert process.returncode is None
        assert before
    finally:
        process.kill()
        await process.wait()
    await swept(str(workspace))


async def swept(marker: str) -> None:
    """More than once: a child that was just being made has no mark until it has become bwrap."""
    async with asyncio.timeout(PATIENCE):
        while processes_with(marker):
            end_orphans()
            await asyncio.sleep(0.01)  # the processes are the state that is waited for


async def killed(workspace: Path, seconds: float) -> None:
    """Run commands for so long after the start; then end at once, in the middle of them."""
    process = await started(workspace)
    await asyncio.sleep(seconds)
    process.kill()
    await process.wait()


async def started(workspace: Path) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "support.crashing.commands",
        str(workspace),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        assert await process.stdout.readline() == b"L3\n"
    return process
