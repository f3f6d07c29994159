"""Where commands start: what a `cd` leaves, what it binds an approval to, and what it cannot do."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from support import needs
from support.tools import call, prepare
from turnstone.core.sandbox import Command, Level, Sandbox
from turnstone.core.tool import ToolContext, ToolResult
from turnstone.sandbox import Unconfined, find_sandbox
from turnstone.tools.bash import Bash


@pytest.fixture(params=["L0", "L2", "L3"])
async def sandbox(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    level = Level[request.param]
    found = Unconfined() if level is Level.L0 else await find_sandbox(levels=[level])
    if found.confinement.level is not level:
        needs.give_up("; ".join(found.confinement.notes))
    yield found


@pytest.fixture
def bash(sandbox: Sandbox) -> Bash:
    return Bash(sandbox)


def after(context: ToolContext, result: ToolResult) -> ToolContext:
    """The context of the next step."""
    if not result.directory:
        return context
    return replace(context, directory=Path(result.directory))


async def test_a_cd_holds_for_the_next_command_and_is_told(
    bash: Bash, context: ToolContext
) -> None:
    (context.workspace / "sub" / "deep er").mkdir(parents=True)

    moved = await call(bash, context, command="cd sub && cd 'deep er' && pwd >where")
    there = await call(bash, after(context, moved), command="pwd; touch here")
    back = await call(bash, after(context, moved), command="cd ../..")

    assert moved.output == "[no output]\n[the next command starts in sub/deep er]"
    assert there.output == str(context.workspace / "sub/deep er")
    assert there.directory == ""  # as it was
    assert (context.workspace / "sub/deep er/here").exists()
    assert back.output.endswith("[the next command starts in the workspace]")
    assert after(context, back).directory == context.workspace


@pytest.mark.parametrize(
    "command",
    ["cd sub; exit 3", "cd sub; false", "set -e; cd sub; false", "cd sub; set -u; $x", "cd sub\n("],
)
async def test_a_command_that_fails_has_moved_too(
    command: str, bash: Bash, context: ToolContext
) -> None:
    (context.workspace / "sub").mkdir()

    result = await call(bash, context, command=command)

    assert result.status == "error"
    assert result.directory == str(context.workspace / "sub")


async def test_the_shell_of_a_command_looks_as_it_would_without_the_report(
    bash: Bash, context: ToolContext
) -> None:
    result = await call(
        bash,
        context,
        command='echo "$0 $# ${BASH_ENV-none} $LINENO"\nbash -c \'echo "${BASH_ENV-none}"; trap\'',
    )

    assert result.output == "bash 0 none 1\nnone"


OUT = pytest.mark.parametrize(
    "command",
    [
        "cd /",
        "cd ..",
        "cd ../ws-evil",
        "ln -s / way && cd -P way",
        "ln -s ../ws-evil way && cd way",
        "echo / >&50; trap - EXIT",
        "echo ../ws-evil >&50; trap - EXIT",
        "printf '/proc/self/root/\\0' >&50; trap - EXIT",
        "printf '\\xff/x' >&50; trap - EXIT",
        "printf '/%6000s' x >&50; trap - EXIT",
        "mkdir d; cd d; rmdir ../d; echo $PWD >&50; trap - EXIT",
        "touch file; echo $PWD/file >&50; trap - EXIT",
    ],
)


@OUT
async def test_what_these_commands_say_of_their_folder_leads_out(
    command: str, context: ToolContext
) -> None:
    """Without this, the test below would prove nothing."""
    (context.workspace.parent / "ws-evil").mkdir()
    order = Command(command, context.workspace, timeout=20, report=True)

    said = (await Unconfined().run(order, lambda _: None)).directory

    assert said
    led = os.path.realpath(context.workspace / said.replace("\0", ""))
    assert not (os.path.isdir(led) and Path(led).is_relative_to(context.workspace))


@OUT
async def test_no_command_makes_the_next_one_start_outside(
    command: str, bash: Bash, context: ToolContext
) -> None:
    (context.workspace.parent / "ws-evil").mkdir()

    result = await call(bash, context, command=command)
    following = after(context, result)
    prepared = await prepare(bash, following, command="pwd")
    shown = await bash.run(prepared, following, lambda _: None)

    assert prepared.directory is None
    assert shown.output.splitlines()[0] == str(context.workspace)


async def test_a_way_out_is_told(bash: Bash, context: ToolContext) -> None:
    (context.workspace / "sub").mkdir()
    inside = replace(context, directory=context.workspace / "sub")

    result = await call(bash, inside, command="cd /")

    assert result.output == (
        "[no output]\n[the next command starts in the workspace, since / is no folder of it]"
    )
    assert result.directory == str(context.workspace)


async def test_a_folder_that_is_gone_is_told_and_left(bash: Bash, context: ToolContext) -> None:
    gone = replace(context, directory=context.workspace / "sub")

    result = await call(bash, gone, command="pwd")

    assert result.output == (
        f"{context.workspace}\n"
        "[the next command starts in the workspace, since sub is no folder of it any more]"
    )
    assert after(gone, result).directory == context.workspace


async def test_the_folder_is_shown_and_is_part_of_what_is_approved(
    bash: Bash, context: ToolContext
) -> None:
    (context.workspace / "sub").mkdir()
    here = await prepare(bash, context, command="make")
    there = await prepare(
        bash, replace(context, directory=context.workspace / "sub"), command="make"
    )

    assert here.header == "bash: make"
    assert there.header == "bash in sub: make"
    assert here.hash != there.hash


async def test_a_shell_that_says_nothing_at_its_end_stays_where_it_was(
    bash: Bash, context: ToolContext
) -> None:
    (context.workspace / "sub").mkdir()
    inside = replace(context, directory=context.workspace / "sub")

    for command in ("cd ..; exec true", "trap 'echo bye' EXIT; cd ..", "cd ..; kill -9 $$"):
        assert (await call(bash, inside, command=command)).directory == ""
