"""What a confined command sees and may use beside the attacks: limits, homes, the network."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import needs
from support.arena import Arena
from support.commands import run_in
from turnstone.core.errors import ToolRefused
from turnstone.core.sandbox import Sandbox
from turnstone.sandbox import find_sandbox
from turnstone.sandbox.limits import Limits

#: Starts more processes than the limit allows, and never more than this: no bomb goes off
#: on a machine where the limit does not hold.
FORKS = """/usr/bin/python3 -c '
import os, time
count = 0
try:
    while count < 150:
        if os.fork() == 0:
            time.sleep(5)
            os._exit(0)
        count += 1
except BlockingIOError:
    pass
print("started", count)'"""


def started(output: str) -> int:
    return int(output.rsplit(maxsplit=1)[-1])


@pytest.fixture
def everybodys() -> Iterator[Path]:
    """A folder that any user can come to."""
    folder = tempfile.mkdtemp(prefix="turnstone-test-")
    os.chmod(folder, 0o755)
    yield Path(folder)
    shutil.rmtree(folder)


async def test_the_number_of_processes_is_limited(confined: Sandbox, tmp_path: Path) -> None:
    limited = await find_sandbox(limits=Limits(processes=60))
    if limited.confinement.notes:
        needs.give_up("; ".join(limited.confinement.notes))

    assert started((await run_in(limited, FORKS, tmp_path)).output) < 60
    assert started((await run_in(confined, FORKS, tmp_path)).output) == 150


async def test_root_works_as_the_owner_of_the_workspace(
    confined: Sandbox, everybodys: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can work as somebody else")
    os.chown(everybodys, 65534, 65534)
    limited = await find_sandbox(limits=Limits(processes=60))

    who = await run_in(confined, "id -u; id -G; echo x > file; cat /etc/shadow", everybodys)
    forks = await run_in(limited, FORKS, everybodys)

    assert who.output.startswith("65534\n65534\n"), who.output
    assert (everybodys / "file").stat().st_uid == 65534
    assert started(forks.output) < 60


async def test_the_memory_of_a_process_is_limited(confined: Sandbox, tmp_path: Path) -> None:
    limited = await find_sandbox(limits=Limits(memory=100_000_000))
    script = "/usr/bin/python3 -c 'print(len(bytearray(200_000_000)))'"

    assert "MemoryError" in (await run_in(limited, script, tmp_path)).output
    assert (await run_in(confined, script, tmp_path)).output == "200000000\n"


async def test_temporary_space_and_files_are_limited(confined: Sandbox, tmp_path: Path) -> None:
    limited = await find_sandbox(limits=Limits(scratch=1_000_000, file=2_000_000))
    script = "for f in /tmp/f /dev/shm/f f; do head -c 3000000 /dev/zero > $f && echo $f; done"

    assert (await run_in(confined, script, tmp_path)).output == "/tmp/f\n/dev/shm/f\nf\n"
    result = await run_in(limited, script, tmp_path)

    assert not {"/tmp/f", "/dev/shm/f", "f"} & set(result.output.splitlines())


async def test_a_limit_cannot_be_raised_from_inside(confined: Sandbox, tmp_path: Path) -> None:
    result = await run_in(confined, "ulimit -c unlimited; ulimit -d unlimited", tmp_path)

    assert result.exit_code != 0


async def test_the_network_is_there_only_where_it_was_allowed(
    confined: Sandbox, arena: Arena
) -> None:
    script = f"exec 3<>/dev/tcp/127.0.0.1/{arena.port} && echo connected"

    with_it = await run_in(confined, script, arena.workspace, network=True)
    without = await run_in(confined, script, arena.workspace, network=False)

    assert with_it.output == "connected\n"
    assert "connected" not in without.output.splitlines()


async def test_secrets_are_hidden_where_the_workspace_is_the_home_itself(
    confined: Sandbox, arena: Arena
) -> None:
    home = Path.home()
    (home / ".bashrc").write_text("# mine\n")
    try:
        script = "cat .ssh/*; ls -A .ssh; echo evil >> .bashrc; echo fine > made"
        result = await run_in(confined, script, home)

        assert arena.nonce not in result.output
        assert (home / ".bashrc").read_text() == "# mine\n"
        assert (home / "made").read_text() == "fine\n"
    finally:
        (home / ".bashrc").unlink()
        (home / "made").unlink(missing_ok=True)


async def test_our_own_state_is_hidden_inside_the_workspace_too(
    confined: Sandbox, arena: Arena
) -> None:
    result = await run_in(confined, "cat state/token; ls outside", arena.hidden.parent)

    assert arena.nonce not in result.output
    assert "outside" in result.output


@pytest.mark.parametrize("workspace", ["/", "/usr", "/etc"])
async def test_the_system_itself_is_no_workspace(confined: Sandbox, workspace: str) -> None:
    with pytest.raises(ToolRefused, match=f"cannot be confined to {workspace}:"):
        await run_in(confined, "true", Path(workspace))


async def test_no_control_group_is_left_behind(confined: Sandbox, tmp_path: Path) -> None:
    await run_in(confined, "sleep 100 & true", tmp_path)

    groups = Path("/sys/fs/cgroup").glob(f"**/turnstone-{os.getpid()}-*")
    assert list(groups) == []
