"""A write that is killed, or finds no room, leaves the old content or the new, never a mixture."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.crashing.tracing import CALLS
from support.needs import give_up
from support.tools import call
from turnstone.core.tool import Tool, ToolContext
from turnstone.tools.edit_file import EditFile
from turnstone.tools.read_file import ReadFile
from turnstone.tools.write_file import WriteFile

BOTH = pytest.mark.parametrize(
    ("tool", "more"),
    [
        (WriteFile(), {"content": "new " * 50_000}),
        (EditFile(), {"old_string": "old", "new_string": "new " * 50_000}),
    ],
    ids=["write_file", "edit_file"],
)


def killed(folder: Path, way: str) -> list[list[str]]:
    """The call each run died at, what the file held then, and what else was left."""
    if not CALLS:
        give_up("processes are traced on Linux only, on x86-64 and ARM64")
    done = subprocess.run(
        [sys.executable, "-m", "support.crashing.writes", str(folder), way],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=55,
    )
    return [line.split() for line in done.stdout.splitlines()]


def test_a_kill_at_any_system_call_leaves_the_old_file_or_the_new(context: ToolContext) -> None:
    runs = killed(context.workspace, "safe")

    assert len(runs) > 10
    assert {found for _, found, *_ in runs} == {"old", "new"}
    assert {"write", "fsync"} < {died for died, *_ in runs}
    assert runs[-1] == ["-", "new"]  # what earlier ones left is gone too
    assert all(len(others) <= 1 for _, _, *others in runs)


def test_the_same_kills_find_a_mixture_where_a_file_is_written_plainly(
    context: ToolContext,
) -> None:
    assert "mixed" in {found for _, found, *_ in killed(context.workspace, "plain")}


@pytest.fixture
def room() -> Iterator[None]:
    """No file may grow beyond 64 KiB, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@BOTH
async def test_where_there_is_no_room_the_old_file_stays(
    tool: Tool, more: dict[str, str], room: None, context: ToolContext
) -> None:
    path = context.workspace / "file"
    path.write_text("old\n")
    await call(ReadFile(), context, path="file")

    result = await call(tool, context, path="file", **more)

    assert result.status == "error"
    assert result.output.endswith("nothing was written.")
    assert path.read_text() == "old\n"
    assert os.listdir(context.workspace) == ["file"]


@pytest.fixture
def small_disk(context: ToolContext) -> Iterator[Path]:
    """A folder of the workspace on a disk of 64 KiB of its own."""
    place = context.workspace / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount, and not everywhere")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@BOTH
async def test_on_a_full_disk_the_old_file_stays(
    tool: Tool, more: dict[str, str], small_disk: Path, context: ToolContext
) -> None:
    (small_disk / "file").write_text("old\n")
    await call(ReadFile(), context, path="disk/file")

    result = await call(tool, context, path="disk/file", **more)

    assert (result.status, "No space left" in result.output) == ("error", True)
    assert (small_disk / "file").read_text() == "old\n"
    assert os.listdir(small_disk) == ["file"]


@BOTH
async def test_on_a_read_only_disk_the_file_stays_and_that_is_told(
    tool: Tool, more: dict[str, str], small_disk: Path, context: ToolContext
) -> None:
    (small_disk / "file").write_text("old\n")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    await call(ReadFile(), context, path="disk/file")

    result = await call(tool, context, path="disk/file", **more)

    assert (result.status, "Read-only" in result.output) == ("error", True)
    assert (small_disk / "file").read_text() == "old\n"
