"""Long outputs: what is cut is in a file, of one workstream alone, bounded, and gone with it."""

from __future__ import annotations

import os
import re
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from support.tools import call
from turnstone.core.errors import ToolRefused
from turnstone.core.outputs import MAX_TOTAL, outputs_beside, remove_outputs
from turnstone.core.sandbox import Level, Sandbox
from turnstone.core.tool import ToolContext
from turnstone.sandbox import Unconfined, find_sandbox
from turnstone.sandbox.kept import MAX_KEPT
from turnstone.tools.bash import Bash
from turnstone.tools.bash_output import new_output
from turnstone.tools.read_file import ReadFile
from turnstone.tools.search import Search


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "token").write_text("secret")
    return folder


@pytest.fixture
def short(context: ToolContext, state: Path) -> ToolContext:
    outputs = outputs_beside(state / "turnstone.db") / "w1"
    return replace(context, max_output=100, outputs=outputs)


def named(output: str) -> Path:
    found = re.search(r"is in (\S+)\]|are in (\S+);", output)
    assert found is not None, output
    return Path(found[1] or found[2])


async def test_what_was_cut_out_is_in_a_file_that_the_tools_can_read(
    short: ToolContext, state: Path
) -> None:
    hidden = [state]
    result = await call(Bash(Unconfined()), short, command="seq 1 1000")
    path = named(result.output)
    roomy = replace(short, max_output=10_000)
    read = await call(ReadFile(hidden), roomy, path=str(path), offset=500, limit=1)
    found = await call(Search(hidden=hidden), roomy, query="^777$", path=str(path))

    assert path.read_text() == "".join(f"{n}\n" for n in range(1, 1001))
    assert f"[the whole output, 3,893 bytes, is in {path}]" in result.output
    assert path.stat().st_mode & 0o077 == 0
    assert read.output == " 500\t500"
    assert "777" in found.output
    assert os.listdir(short.workspace) == []


async def test_an_output_that_is_not_cut_leaves_no_file(short: ToolContext) -> None:
    assert short.outputs is not None
    await call(Bash(Unconfined()), short, command="echo short")

    assert not short.outputs.exists()


async def test_neither_another_workstreams_outputs_nor_the_state_can_be_read(
    short: ToolContext, state: Path
) -> None:
    assert short.outputs is not None
    short.outputs.mkdir(parents=True)
    other = replace(short, ws_id="w2", outputs=short.outputs.parent / "w2")
    path = named((await call(Bash(Unconfined()), other, command="seq 1 1000")).output)
    ways = [path, short.outputs / ".." / "w2" / path.name, state / "token"]
    (short.workspace / "link").symlink_to(path)

    for way in (*ways, short.workspace / "link"):
        with pytest.raises(ToolRefused, match="belongs to turnstone itself"):
            await call(ReadFile([state]), short, path=str(way))


@pytest.mark.parametrize("level", [Level.L2, Level.L3])
async def test_a_confined_command_reads_its_outputs_and_nothing_beside_them(
    level: Level, short: ToolContext, state: Path
) -> None:
    sandbox: Sandbox = await find_sandbox(hidden=[state], levels=[level])
    if sandbox.confinement.level is not level:
        pytest.skip("; ".join(sandbox.confinement.notes))
    assert short.outputs is not None
    other = short.outputs.parent / "w2"
    other.mkdir(parents=True)
    (other / "theirs").write_text("theirs alone")
    bash, roomy = Bash(sandbox), replace(short, max_output=10_000)
    path = named((await call(bash, short, command="seq 1 1000")).output)

    read = await call(bash, roomy, command=f"wc -l <{path}")
    beside = await call(bash, roomy, command=f"cat {other}/theirs {state}/token; echo end")
    written = await call(
        bash, roomy, command=f"echo x >{path}; echo x >{short.outputs}/new; rm {path}"
    )

    assert read.output == "1000"
    assert "theirs alone" not in beside.output
    assert "secret" not in beside.output
    assert written.status == "error"
    assert path.stat().st_size == 3893
    assert os.listdir(short.outputs) == [path.name]


async def test_three_hundred_megabytes_neither_grow_memory_nor_fill_the_disk(
    short: ToolContext,
) -> None:
    peaks: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            peaks.append(resident())

    before = resident()
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        roomy = replace(short, max_output=60_000, timeout=60)
        result = await call(
            Bash(Unconfined()), roomy, command="echo head; yes | head -c 300000000; echo tail"
        )
    finally:
        over.set()
        watcher.join()
    path = named(result.output)

    assert result.output.startswith("head\ny\n")
    assert "y\ntail\n" in result.output
    assert "[299,940,010 characters cut out here; the limit is 60,000]" in result.output
    assert f"[the first {MAX_KEPT:,} bytes of the output are in {path}; the rest is lost]" in (
        result.output
    )
    assert path.stat().st_size == MAX_KEPT
    assert len(peaks) > 2
    assert max(peaks) - before < 50_000_000


def resident() -> int:
    """Bytes of memory that this process has."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_the_oldest_outputs_make_room(short: ToolContext) -> None:
    assert short.outputs is not None
    short.outputs.mkdir(parents=True)
    for number in range(4):
        path = short.outputs / f"old-{number}"
        with path.open("wb") as file:
            file.truncate(MAX_TOTAL // 3)
        os.utime(path, (number, number))

    new_output(short.outputs)

    assert sorted(os.listdir(short.outputs)) == ["old-1", "old-2", "old-3"]


async def test_a_disk_that_takes_no_more_is_told_and_the_command_goes_on(
    short: ToolContext, tmp_path: Path
) -> None:
    (tmp_path / "no-folder").write_text("")
    nowhere = replace(short, outputs=tmp_path / "no-folder" / "w1")

    result = await call(Bash(Unconfined()), nowhere, command="seq 1 1000")

    assert result.status == "ok"
    assert result.output.endswith("1000\n[the whole output could not be kept]")


async def test_what_was_kept_goes_with_its_workstream_alone(state: Path) -> None:
    root = outputs_beside(state / "turnstone.db")
    for ws_id in ("w1", "w2"):
        (root / ws_id).mkdir(parents=True)
        (root / ws_id / "bash-1.txt").write_text("x")

    await remove_outputs(root, "w1")
    await remove_outputs(root, "never-was")

    assert os.listdir(root) == ["w2"]
