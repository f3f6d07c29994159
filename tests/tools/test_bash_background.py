"""What a command leaves running on purpose: by a handle read, listed, stopped; never for ever."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from support import needs
from support.tools import call, prepare
from turnstone.core.background import MAX_ENDED, MAX_RUNNING, MAX_UNREAD, Jobs
from turnstone.core.errors import ToolRefused
from turnstone.core.sandbox import Level, Sandbox
from turnstone.core.tool import ToolContext, ToolResult
from turnstone.sandbox import Unconfined, find_sandbox
from turnstone.tools.bash import Bash

PATIENCE = 60.0


@pytest.fixture(params=["L0", "L2", "L3"])
async def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    level = Level[request.param]
    found = Unconfined() if level is Level.L0 else await find_sandbox(levels=[level])
    if found.confinement.level is not level:
        needs.give_up("; ".join(found.confinement.notes))
    return found


@pytest.fixture
def bash(sandbox: Sandbox) -> Bash:
    return Bash(sandbox)


@pytest.fixture
async def jobs() -> AsyncIterator[Jobs]:
    jobs = Jobs()
    yield jobs
    await jobs.aclose()


@pytest.fixture
def working(context: ToolContext, jobs: Jobs) -> ToolContext:
    return replace(context, background=jobs)


def handle_of(result: ToolResult) -> str:
    found = re.search(r"\[(bg\S+) ", result.output)
    assert found is not None, result.output
    return found[1]


async def read_until(bash: Bash, context: ToolContext, handle: str, words: str) -> str:
    """All that is read until these words came."""
    seen = ""
    async with asyncio.timeout(PATIENCE):
        while words not in seen:
            seen += (await call(bash, context, action="read", handle=handle)).output + "\n"
            await asyncio.sleep(0.01)
    return seen


async def test_a_server_does_not_hold_the_turn_up_and_is_read_and_stopped_by_its_handle(
    bash: Bash, working: ToolContext
) -> None:
    script = "echo up; while ! [ -e go ]; do sleep 0.02; done; echo went; exec sleep 1000"
    started = await call(bash, working, command=script, background=True)
    handle = handle_of(started)
    assert started.status == "ok"
    assert started.output.endswith(f"[{handle} runs]")

    (working.workspace / "go").touch()
    seen = await read_until(bash, working, handle, "went")
    nothing = await call(bash, working, action="read", handle=handle)
    stopped = await call(bash, working, action="stop", handle=handle)
    listed = await call(bash, working, action="list")

    assert f"{started.output}\n{seen}".count("up\n") == 1
    assert nothing.output == f"[no new output]\n[{handle} runs]"
    assert stopped.output == f"[no new output]\n[{handle} stopped]"
    assert listed.output.startswith(f"{handle}  stopped  echo up; while")


async def test_what_ended_is_told_with_how(bash: Bash, working: ToolContext) -> None:
    handle = handle_of(await call(bash, working, command="echo done; exit 3", background=True))

    seen = await read_until(bash, working, handle, "exit code")

    assert f"[{handle} exit code 3]" in seen
    other = await call(bash, working, command="true", background=True)
    assert "ended with exit code 0" in await read_until(bash, working, handle_of(other), "exit")


async def test_nothing_is_left_when_the_workstream_lets_go(
    bash: Bash, working: ToolContext, jobs: Jobs
) -> None:
    """A file grows while the process is there."""
    script = "while :; do echo x >>grows; sleep 0.01; done"
    await call(bash, working, command=script, background=True)
    grows = working.workspace / "grows"
    assert jobs.running

    await jobs.aclose()
    size = grows.stat().st_size
    await call(bash, working, command="sleep 0.2")

    assert size == grows.stat().st_size
    assert not jobs.running


async def test_its_whole_output_is_kept_in_a_file(
    bash: Bash, working: ToolContext, tmp_path: Path
) -> None:
    roomy = replace(working, outputs=tmp_path / "outputs")
    result = await call(bash, roomy, command="seq 1 2000; echo finished", background=True)
    found = re.search(r"kept in (\S+)\]", result.output)
    assert found is not None
    await read_until(bash, roomy, handle_of(result), "exit code 0") if "exit" not in (
        result.output
    ) else None

    assert Path(found[1]).read_text().endswith("2000\nfinished\n")


async def test_unread_output_is_bounded_and_the_middle_is_missing(
    working: ToolContext, jobs: Jobs
) -> None:
    handle = jobs.start("flood", flood)
    await jobs.wait(handle, PATIENCE)

    glance = jobs.read(handle)

    assert len(glance.text) < MAX_UNREAD + 100
    assert glance.text.startswith("head")
    assert glance.text.endswith("tail")
    assert "characters cut out here" in glance.text


async def flood(emit: object) -> str:
    assert callable(emit)
    emit("head")
    for _ in range(1000):
        emit("x" * 10_000)
    emit("tail")
    return "ended"


async def test_there_are_not_too_many_at_a_time_and_old_ones_are_forgotten(
    working: ToolContext, jobs: Jobs
) -> None:
    bash = Bash(Unconfined())
    handles = [jobs.start("waits", forever) for _ in range(MAX_RUNNING)]
    with pytest.raises(ToolRefused, match="8 background processes run already"):
        jobs.start("one more", forever)
    for handle in handles:
        await jobs.stop(handle)
    for _ in range(MAX_ENDED + 3):
        await jobs.stop(jobs.start("short", forever))

    listed = (await call(bash, working, action="list")).output.splitlines()

    assert len(listed) <= MAX_ENDED + 1
    with pytest.raises(ToolRefused, match="There is no background process 'bg1-"):
        jobs.read(handles[0])


async def forever(_: object) -> str:
    await asyncio.get_running_loop().create_future()
    raise AssertionError


async def test_a_cancelled_start_leaves_nothing(working: ToolContext, jobs: Jobs) -> None:
    bash = Bash(Unconfined())
    prepared = await prepare(bash, working, command="touch began; exec sleep 1000", background=True)
    task = asyncio.create_task(bash.run(prepared, working, lambda _: None))
    async with asyncio.timeout(PATIENCE):
        while not (working.workspace / "began").exists():
            await asyncio.sleep(0.01)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert not jobs.running


async def test_a_handle_of_another_time_is_gone_and_says_why(working: ToolContext) -> None:
    bash = Bash(Unconfined())
    with pytest.raises(ToolRefused, match="is gone: the node was restarted since"):
        await call(bash, working, action="read", handle="bg1-zzzz")
    with pytest.raises(ToolRefused, match="There is no background process 'x'. There are: none"):
        await call(bash, working, action="stop", handle="x")


async def test_to_look_after_one_is_no_command(working: ToolContext) -> None:
    bash = Bash(Unconfined())
    read = await prepare(bash, working, action="read", handle="bg1-aaaa")
    stop = await prepare(bash, working, action="stop", handle="bg1-aaaa", command="")
    start = await prepare(bash, working, command="sleep 1", background="true")

    assert (read.effect, read.commands, read.tends) == ("pure", (), True)
    assert (stop.effect, stop.commands, stop.tends) == ("effect", (), True)
    assert (start.effect, start.commands, start.tends) == ("effect", ("sleep 1",), False)
    assert read.hash != stop.hash
    assert start.header == "bash (in the background): sleep 1"
    assert start.hash != (await prepare(bash, working, command="sleep 1")).hash


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"action": "kill"}, "must be one of list, read, stop"),
        ({"action": "read"}, "name its `handle`"),
        ({"action": "stop", "handle": ""}, "name its `handle`"),
        ({"action": "read", "handle": "bg1", "command": "rm x"}, "not both"),
        ({"command": "", "action": ""}, "`command` is empty"),
    ],
)
async def test_what_cannot_be_meant_is_refused(
    arguments: dict[str, str], told: str, working: ToolContext
) -> None:
    with pytest.raises(ToolRefused, match=told):
        await prepare(Bash(Unconfined()), working, **arguments)
