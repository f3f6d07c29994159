"""What holds for a command at every level: its surroundings, its output, its end."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.commands import processes_with, run_in, until_gone, until_there
from turnstone.core.head_tail import HeadTail
from turnstone.core.sandbox import Command, Sandbox
from turnstone.sandbox.limits import STOPPED, Limits, shell

LEVELS = ["confined", "landlocked_alone", "unconfined"]


@pytest.fixture(params=LEVELS)
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    found: Sandbox = request.getfixturevalue(request.param)
    return found


def marker(tmp_path: Path) -> str:
    """A number of seconds to sleep that no other test sleeps."""
    return f"9{abs(hash(tmp_path)) % 10**9}"


async def test_a_command_starts_in_the_workspace_and_can_write_there(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    result = await run_in(sandbox, "pwd; echo text > file", tmp_path)

    assert result.exit_code == 0
    assert result.output == f"{tmp_path}\n"
    assert (tmp_path / "file").read_text() == "text\n"


async def test_both_outputs_come_in_order_and_with_the_exit_code(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    result = await run_in(sandbox, "echo one; echo two >&2; echo three; exit 7", tmp_path)

    assert result.output == "one\ntwo\nthree\n"
    assert result.exit_code == 7
    assert not result.timed_out


async def test_the_script_is_run_exactly_as_it_stands(sandbox: Sandbox, tmp_path: Path) -> None:
    script = "echo \"a  'b'\" '$HOME' \\\\ \"$0\" $#\ncat <<'X'\n`$(no)`\nX\n"

    result = await run_in(sandbox, script, tmp_path)

    assert result.output == "a  'b' $HOME \\ bash 0\n`$(no)`\n"


async def test_no_variable_of_ours_reaches_a_command(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVIDER_API_KEY", "canary")
    monkeypatch.setenv("BASH_ENV", "/nowhere/canary")

    result = await run_in(sandbox, "env; cat /proc/self/environ", tmp_path)

    assert "canary" not in result.output
    assert "HOME=" in result.output


async def test_no_descriptor_of_ours_reaches_a_command(sandbox: Sandbox, tmp_path: Path) -> None:
    with open(tmp_path / "open", "w") as file:
        os.set_inheritable(file.fileno(), True)
        script = f"echo leaked >&{file.fileno()}"
        await run_in(sandbox, script, tmp_path)
        assert (tmp_path / "open").read_text() == ""

        subprocess.run(["bash", "-c", script], close_fds=False, check=True)
        assert (tmp_path / "open").read_text() == "leaked\n"


async def test_there_is_nothing_on_stdin(sandbox: Sandbox, tmp_path: Path) -> None:
    result = await run_in(sandbox, "read line; echo $?; cat", tmp_path)

    assert result.output == "1\n"


async def test_output_arrives_while_the_command_runs(sandbox: Sandbox, tmp_path: Path) -> None:
    seen: list[str] = []

    def emit(text: str) -> None:
        seen.append(text)
        (tmp_path / "go").touch()

    script = "echo first; until [ -e go ]; do sleep 0.01; done; echo second"
    result = await sandbox.run(Command(script, tmp_path, timeout=20), emit)

    assert result.exit_code == 0
    assert "".join(seen) == "first\nsecond\n"


async def test_a_character_split_over_two_reads_is_one_character(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    result = await run_in(sandbox, r"printf '\xe2'; sleep 0.1; printf '\x82\xac\xff'", tmp_path)

    assert result.output == "€\ufffd"


async def test_of_endless_output_the_head_and_the_tail_are_kept(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    script = "echo head; head -c 20000000 /dev/zero | tr '\\0' x; echo; echo tail"

    result = await run_in(sandbox, script, tmp_path, max_output=1000)

    assert result.output.startswith("head\n")
    assert result.output.endswith("\ntail\n")
    assert len(result.output) < 1100
    assert result.dropped == 20_000_011 - 1000
    assert f"{result.dropped:,} characters" in result.output


def test_the_text_kept_does_not_grow_with_the_text_given() -> None:
    kept = HeadTail(100)
    for number in range(10_000):
        kept.add(f"{number:07}" * 3)
        assert sum(map(len, [*kept._head, *kept._tail])) <= 100
    assert kept.dropped == 10_000 * 21 - 100
    assert kept.text().endswith("0009999")


async def test_a_command_that_takes_too_long_ends_with_all_it_had_started(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    sleep = f"sleep {marker(tmp_path)}"

    result = await run_in(sandbox, f"echo begun; {sleep} & {sleep}", tmp_path, timeout=0.5)

    assert result.timed_out
    assert result.exit_code is None
    assert result.output == "begun\n"
    assert await until_gone(sleep.replace(" ", "\0")) == []


async def test_a_command_that_ignores_signals_ends_all_the_same(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    script = "trap '' TERM INT HUP; while :; do sleep 0.05; done"

    result = await run_in(sandbox, script, tmp_path, timeout=0.4)

    assert result.timed_out


async def test_a_background_process_neither_holds_the_command_up_nor_outlives_it(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    sleep = f"sleep {marker(tmp_path)}"

    result = await run_in(sandbox, f"{sleep} & echo done", tmp_path, timeout=30)

    assert result.exit_code == 0
    assert result.output == f"done\n\n{STOPPED}\n"
    assert await until_gone(sleep.replace(" ", "\0")) == []


@pytest.mark.parametrize(
    "script", ["sleep 0 & wait; echo done", "echo done | cat", "(exec echo done)"]
)
async def test_a_command_that_leaves_nothing_is_not_said_to_have(
    script: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    assert (await run_in(sandbox, script, tmp_path)).output == "done\n"


async def test_a_cancelled_command_is_gone_when_the_cancellation_passes(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    sleep = f"sleep\0{marker(tmp_path)}"
    running = asyncio.create_task(run_in(sandbox, sleep.replace("\0", " "), tmp_path))
    assert await until_there(sleep)

    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    assert await until_gone(sleep) == []


async def test_a_reader_that_fails_ends_the_command(sandbox: Sandbox, tmp_path: Path) -> None:
    sleep = f"sleep {marker(tmp_path)}"

    def emit(text: str) -> None:
        raise ValueError(text)

    with pytest.raises(ValueError, match="begun"):
        await sandbox.run(Command(f"echo begun; {sleep}", tmp_path, timeout=30), emit)
    assert await until_gone(sleep.replace(" ", "\0")) == []


async def test_a_workspace_that_is_gone_is_an_error_of_the_system(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    with pytest.raises(OSError, match="gone"):
        await run_in(sandbox, "true", tmp_path / "gone")


async def test_many_commands_at_once_each_get_their_own_output(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(run_in(sandbox, f"echo {n}", tmp_path)) for n in range(20)]

    assert [task.result().output for task in tasks] == [f"{n}\n" for n in range(20)]


#: Runs a command in the sandbox that is named, until it is killed.
SERVER = """
import asyncio, sys
from pathlib import Path
from turnstone.core.sandbox import Command, Level
from turnstone.sandbox import find_sandbox

async def main(level, script, workspace):
    levels = {"confined": [Level.L3], "landlocked_alone": [Level.L2], "unconfined": []}[level]
    sandbox = await find_sandbox(levels=levels)
    await sandbox.run(Command(script, Path(workspace), timeout=1000), lambda _: None)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest) -> str:
    """A level that can be had here; where it cannot, the test ends."""
    request.getfixturevalue(request.param)
    name: str = request.param
    return name


async def test_when_the_server_is_killed_a_confined_command_ends_with_it(
    level: str, tmp_path: Path
) -> None:
    sleep = f"sleep\0{marker(tmp_path)}"
    script = sleep.replace("\0", " ")
    server = subprocess.Popen([sys.executable, "-c", SERVER, level, script, str(tmp_path)])
    assert await until_there(sleep)

    server.kill()
    server.wait()

    if level == "unconfined":
        left = processes_with(sleep)
        assert left
        for pid in left:
            os.kill(pid, 9)
    assert await until_gone(sleep) == []


def test_a_stricter_limit_of_the_machine_does_not_stop_a_command() -> None:
    command = shell("echo ran; ulimit -f", Limits(), count_processes=False)

    done = subprocess.run(
        ["bash", "-c", 'ulimit -f 100; exec "$@"', "bash", *command],
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    # Root may raise a limit again, where it is not confined.
    assert done.stdout in {"ran\n100\n", f"ran\n{Limits().file // 1024}\n"}
    assert done.stderr == ""
