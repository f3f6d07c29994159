"""The tool around the sandbox; the sandboxes themselves are tested in tests/sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from support.tools import call, prepare
from turnstone.core.errors import ToolRefused
from turnstone.core.sandbox import Command, CommandResult, Confinement, Level
from turnstone.core.tool import ToolContext
from turnstone.sandbox import Unconfined
from turnstone.tools.bash import MAX_COMMAND, Bash


class Recorder:
    """A sandbox that runs nothing and remembers its orders."""

    def __init__(self, result: CommandResult | None = None) -> None:
        self.confinement = Confinement(Level.L3, "L3 (recorder)")
        self._result = result or CommandResult(0, "")
        self.commands: list[Command] = []

    async def run(self, command: Command, emit: Callable[[str], None]) -> CommandResult:
        self.commands.append(command)
        await asyncio.sleep(0)
        return self._result


@pytest.fixture
def bash() -> Bash:
    return Bash(Unconfined())


@pytest.mark.parametrize(
    ("command", "status", "output"),
    [
        ("echo one; echo two >&2", "ok", "one\ntwo"),
        ("true", "ok", "[no output]"),
        ("echo x; exit 3", "error", "x\n[exit code 3]"),
        ("exit 1", "error", "[exit code 1]"),
        ("kill -9 $$", "error", "[ended by signal 9]"),
        ("printf '  indented'", "ok", "  indented"),
    ],
)
async def test_the_model_reads_output_and_exit_code(
    command: str, status: str, output: str, bash: Bash, context: ToolContext
) -> None:
    result = await call(bash, context, command=command)

    assert (result.status, result.output) == (status, output)


async def test_what_a_command_has_made_that_others_start_later_is_told(
    bash: Bash, context: ToolContext
) -> None:
    (context.workspace / ".github").mkdir()
    made = "mkdir -p .git .VSCode .github/workflows; echo x >.envrc; echo x >plain"

    first = await call(bash, context, command=made)
    again = await call(bash, context, command=f"{made}; exit 3")

    assert first.output.startswith("[no output]\n[new in the workspace: .VSCode, .envrc, .git. ")
    assert "start by themselves" in first.output
    assert again.output == "[exit code 3]"


async def test_a_command_that_takes_too_long_is_told_with_what_it_had_said(
    bash: Bash, context: ToolContext
) -> None:
    hurried = ToolContext("w1", context.workspace, timeout=0.4, max_output=1000)

    result = await call(bash, hurried, command="echo begun; sleep 1000")

    assert result.status == "error"
    expected = "begun\n[stopped after 0.4 s, the time limit, with all it had started]"
    assert result.output == expected


@pytest.mark.parametrize(
    ("result", "output"),
    [
        (CommandResult(0, "x", duration=9.9), "x"),
        (CommandResult(0, "x", duration=42.4), "x\n[took 42 s]"),
        (CommandResult(3, "x", duration=42.4), "x\n[exit code 3]\n[took 42 s]"),
    ],
)
async def test_the_time_of_a_long_command_is_told(
    result: CommandResult, output: str, context: ToolContext
) -> None:
    assert (await call(Bash(Recorder(result)), context, command="make")).output == output


async def test_long_output_is_cut_in_the_middle_and_told(bash: Bash, context: ToolContext) -> None:
    short = ToolContext("w1", context.workspace, timeout=20, max_output=100)

    result = await call(bash, short, command="seq 1 1000")

    assert result.output.startswith("1\n2\n")
    assert result.output.endswith("1000")
    assert "[3,793 characters cut out here; the limit is 100]" in result.output


async def test_output_is_emitted_while_it_comes(bash: Bash, context: ToolContext) -> None:
    pieces: list[str] = []
    prepared = await prepare(bash, context, command="echo a; echo b")

    await bash.run(prepared, context, pieces.append)

    assert "".join(pieces) == "a\nb\n"


async def test_the_exact_bytes_are_shown_judged_and_run(context: ToolContext) -> None:
    sandbox = Recorder()
    bash = Bash(sandbox)
    command = "  echo “x” \\\n # \u202e\x1b[8m\n"

    prepared = await prepare(bash, context, command=command)
    await bash.run(prepared, context, lambda _: None)

    assert prepared.commands == (command,)
    assert prepared.preview == "  echo “x” \\\n # \\u202e\\x1b[8m\n"
    assert prepared.header == (
        "bash:   echo “x” \\ … [not ASCII: U+201C LEFT DOUBLE QUOTATION MARK,"
        " U+201D RIGHT DOUBLE QUOTATION MARK, U+202E RIGHT-TO-LEFT OVERRIDE]"
    )
    assert prepared.effect == "effect"
    (order,) = sandbox.commands
    assert order.script == command
    assert order.workspace == context.workspace
    assert (order.timeout, order.max_output) == (context.timeout, context.max_output)


@pytest.mark.parametrize("network", [True, False])
async def test_the_network_is_part_of_what_is_judged(network: bool, context: ToolContext) -> None:
    sandbox = Recorder()
    bash = Bash(sandbox, network=network)

    prepared = await prepare(bash, context, command="true")
    await bash.run(prepared, context, lambda _: None)

    assert prepared.network is network
    assert sandbox.commands[0].network is network


async def test_the_longest_command_runs_and_a_longer_one_is_refused(
    bash: Bash, context: ToolContext
) -> None:
    longest = "echo done #".ljust(MAX_COMMAND, "x")

    assert (await call(bash, context, command=longest)).output == "done"
    with pytest.raises(ToolRefused, match="Write the script to a file first"):
        await prepare(bash, context, command=longest + "x")


async def test_a_workspace_that_is_gone_is_told(bash: Bash, context: ToolContext) -> None:
    context.workspace.rmdir()

    result = await call(bash, context, command="true")

    assert result.status == "error"
    assert result.output == f"The workspace {context.workspace} is gone."


async def test_the_model_is_told_that_background_processes_were_stopped(
    bash: Bash, context: ToolContext
) -> None:
    result = await call(bash, context, command="(sleep 300) & echo ok")

    assert result.status == "ok"
    assert result.output == "ok\n\n[background processes were stopped with the command]"


async def test_after_a_crash_it_cannot_be_told_whether_it_has_happened(
    bash: Bash, context: ToolContext
) -> None:
    prepared = await prepare(bash, context, command="true")

    assert await bash.happened(prepared, context) is None
