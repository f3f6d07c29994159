"""What a confined command sees and may use beside the attacks: limits, homes, the network."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import needs
from support.arena import Arena
from support.commands import run_in
from turnstone.core.errors import ToolRefused
from turnstone.core.sandbox import Level, Sandbox
from turnstone.core.sensitive import HOME_SECRETS, HOME_STARTER_FILES, HOME_STARTER_FOLDERS
from turnstone.sandbox import find_sandbox
from turnstone.sandbox.cgroup import find_process_groups
from turnstone.sandbox.limits import Limits
from turnstone.sandbox.placeholders import held

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
    return int(output.partition("started ")[2].split()[0])


@pytest.fixture
def everybodys() -> Iterator[Path]:
    """A folder that any user can come to."""
    folder = tempfile.mkdtemp(prefix="turnstone-test-")
    os.chmod(folder, 0o755)
    yield Path(folder)
    shutil.rmtree(folder)


@pytest.fixture(params=[Level.L3, Level.L2], ids=lambda level: level.name)
def level(request: pytest.FixtureRequest) -> Level:
    """A level that can be had here; where it cannot, the test ends."""
    request.getfixturevalue("confined" if request.param == Level.L3 else "landlocked_alone")
    found: Level = request.param
    return found


async def test_the_number_of_processes_is_limited(level: Level, tmp_path: Path) -> None:
    groups = find_process_groups()
    if groups is None:
        needs.give_up("no control group can be made here")
    limited = await find_sandbox(limits=Limits(processes=60), levels=[level])
    roomy = await find_sandbox(levels=[level])

    assert started((await run_in(limited, FORKS, tmp_path)).output) < 60
    assert started((await run_in(roomy, FORKS, tmp_path)).output) == 150


#: Four processes with 60 MB each, all at once, filled so that the kernel has to give it.
TOGETHER = """/usr/bin/python3 -c '
import os, sys, time
children = []
for _ in range(4):
    child = os.fork()
    if child == 0:
        held = bytearray(os.urandom(1) * 60_000_000)
        time.sleep(0.5)
        os._exit(0)
    children.append(child)
print("whole", sum(os.waitpid(child, 0)[1] == 0 for child in children))'"""


async def test_the_memory_of_all_processes_together_is_limited(
    level: Level, tmp_path: Path
) -> None:
    groups = find_process_groups()
    if groups is None or not groups.limits_memory:
        needs.give_up("no control group for memory can be made here")
    limited = await find_sandbox(limits=Limits(together=150_000_000), levels=[level])
    roomy = await find_sandbox(levels=[level])

    assert "whole 4" in (await run_in(roomy, TOGETHER, tmp_path)).output
    assert "whole 4" not in (await run_in(limited, TOGETHER, tmp_path)).output


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


async def test_the_memory_of_a_process_is_limited(level: Level, tmp_path: Path) -> None:
    confined = await find_sandbox(levels=[level])
    limited = await find_sandbox(limits=Limits(memory=100_000_000), levels=[level])
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


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home directory."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    return home


def everything_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


PLANT = """for place in {places}; do
    mkdir -p "$(dirname $place)"; rm -rf $place; echo evil > $place; echo evil > $place/evil
done 2>/dev/null; true"""


async def test_every_secret_of_a_home_is_hidden_where_it_is_the_workspace(
    confined: Sandbox, arena: Arena, home: Path
) -> None:
    for place in HOME_SECRETS:
        path = home / place
        path.parent.mkdir(parents=True, exist_ok=True)
        if place in {".ssh", ".config/gh"}:
            path.mkdir()
            path /= "file"
        path.write_text(arena.nonce)
    linked = home / "elsewhere"
    (home / ".aws").rename(linked)
    (home / ".aws").symlink_to("elsewhere")

    result = await run_in(confined, "cat $(find . -type f -o -type c); echo end", home)
    moved = await run_in(confined, "mv .config c; mv .local l; cat c/gh/* elsewhere", home)
    after = await run_in(confined, "cat c/gh/*; grep -r . .", home)

    assert result.output.endswith("end\n")
    for output in (result.output, moved.output, after.output):
        assert arena.nonce not in output


async def test_what_starts_by_itself_cannot_be_made_in_a_home_and_nothing_is_left_there(
    confined: Sandbox, home: Path
) -> None:
    (home / ".zshrc").write_text("mine\n")
    (home / ".config" / "fish").mkdir(parents=True)
    places = " ".join((*HOME_STARTER_FILES, *HOME_STARTER_FOLDERS))
    before = everything_in(home)

    result = await run_in(
        confined, PLANT.format(places=places) + "; mv .local l; echo fine > made; ls -A", home
    )

    assert "made" in result.output
    assert everything_in(home) == sorted([*before, "made"])
    assert (home / ".zshrc").read_text() == "mine\n"


async def test_a_folder_on_the_way_to_what_starts_by_itself_cannot_be_exchanged(
    confined: Sandbox, home: Path
) -> None:
    script = "mv .config x; mkdir -p .config/autostart; echo x > .config/autostart/evil; true"
    await run_in(confined, script, home)
    assert everything_in(home) == []

    (home / ".config").mkdir()
    await run_in(confined, script, home)
    assert everything_in(home) == [".config"]


async def test_starter_files_that_are_links_are_protected_where_they_lead_to(
    confined: Sandbox, home: Path
) -> None:
    (home / "dotfiles" / "config" / "fish").mkdir(parents=True)
    (home / "dotfiles" / "bashrc").write_text("mine\n")
    (home / ".bashrc").symlink_to("dotfiles/bashrc")
    (home / ".zshrc").symlink_to(home / "dotfiles" / "absent")
    (home / ".profile").symlink_to("/nowhere/profile")
    (home / ".config").symlink_to(home / "dotfiles" / "config")
    before = everything_in(home)

    places = ".bashrc .zshrc .config/fish/evil .config/autostart/evil dotfiles/absent"
    script = f"for f in {places}; do echo evil > $f; done; mkdir .config/autostart; echo tried"
    result = await run_in(confined, script, home)

    assert result.output.endswith("tried\n")
    assert (home / "dotfiles" / "bashrc").read_text() == "mine\n"
    assert everything_in(home) == before


async def test_what_is_held_stays_held_until_the_last_command_ends(
    confined: Sandbox, home: Path
) -> None:
    wait = "touch begun; until [ -e go ]; do sleep 0.01; done; echo evil > .bashrc"
    running = asyncio.create_task(run_in(confined, wait, home))
    async with asyncio.timeout(20):
        while not (home / "begun").exists():
            await asyncio.sleep(0.01)

    await run_in(confined, "true", home)
    (home / "go").touch()
    await running

    assert everything_in(home) == ["begun", "go"]


async def test_what_a_killed_process_has_left_goes_with_the_next_command(
    confined: Sandbox, home: Path
) -> None:
    with held([home / ".bashrc"], [home / ".config" / "autostart"]):
        left = home.with_name("left")
        subprocess.run(["cp", "-a", str(home), str(left)], check=True)
    assert everything_in(left) == [".bashrc", ".config", ".config/autostart"]
    home.rmdir()
    left.rename(home)

    await run_in(confined, "echo evil > .bashrc; echo evil > .config/autostart/evil", home)

    assert everything_in(home) == []


def test_a_login_shell_reads_the_same_files_while_others_are_held(home: Path) -> None:
    (home / ".profile").write_text("echo profile\n")

    with held([home / ".bash_login", home / ".bash_profile"], []):
        assert len(everything_in(home)) == 3
        shell = subprocess.run(
            ["bash", "-l", "-c", "true"], capture_output=True, text=True, check=True
        )

    assert shell.stdout == "profile\n"


OWN = ("token", "turnstone.db", "turnstone.db-wal", "turnstone.db-shm", "turnstone.db.nodes/n.lock")

ATTACK = """cat token turnstone.db*
for f in token turnstone.db turnstone.db-wal turnstone.db-shm turnstone.db.nodes/n.lock; do
    echo evil > $f; rm -f $f; mv $f away
done
rm -rf turnstone.db.nodes; mv turnstone.db.nodes away; echo tried"""


@pytest.mark.parametrize("place", ["in", "deep", "same"])
async def test_neither_token_nor_store_nor_locks_can_be_had_in_the_workspace(
    place: str, confined: Sandbox, arena: Arena
) -> None:
    workspace = arena.workspace
    state = {"in": workspace / "state", "deep": workspace / "a" / "b", "same": workspace}[place]
    (state / "turnstone.db.nodes").mkdir(parents=True)
    for name in OWN:
        (state / name).write_text(arena.nonce)
    sandbox = await find_sandbox(hidden=[state])

    inside = await run_in(sandbox, f"cd {state} && {{ {ATTACK}; }}", workspace)
    moved = await run_in(sandbox, "mv a x; mv state x; echo tried", workspace)
    after = await run_in(sandbox, "grep -r . .; echo tried", workspace)

    for result in (inside, moved, after):
        assert result.output.endswith("tried\n"), result.output
        assert arena.nonce not in result.output
    assert [(state / name).read_text() for name in OWN] == [arena.nonce] * len(OWN)


async def test_our_own_state_is_hidden_inside_the_workspace_too(
    confined: Sandbox, arena: Arena
) -> None:
    result = await run_in(confined, "cat state/token; ls outside", arena.hidden.parent)

    assert arena.nonce not in result.output
    assert "outside" in result.output


async def test_at_l2_a_workspace_with_secrets_in_it_is_refused(
    landlocked: Sandbox, arena: Arena, home: Path
) -> None:
    for workspace in (arena.hidden.parent, home):
        with pytest.raises(ToolRefused, match="cannot be confined to .* at level L2"):
            await run_in(landlocked, "true", workspace)


async def test_at_l2_the_network_is_there_only_where_it_was_allowed(
    landlocked: Sandbox, arena: Arena
) -> None:
    script = f"exec 3<>/dev/tcp/127.0.0.1/{arena.port} && echo connected"

    with_it = await run_in(landlocked, script, arena.workspace, network=True)
    without = await run_in(landlocked, script, arena.workspace, network=False)

    assert with_it.output == "connected\n"
    assert "connected" not in without.output.splitlines()


async def test_at_l2_a_command_has_temporary_files_and_a_home_that_go_with_it(
    landlocked: Sandbox, arena: Arena
) -> None:
    script = 'echo x > "$TMPDIR/f" && echo x > ~/f && mktemp && echo "$TMPDIR" > where'
    result = await run_in(landlocked, script, arena.workspace)

    assert result.exit_code == 0, result.output
    assert not Path((arena.workspace / "where").read_text().strip()).parent.exists()


async def test_at_l2_root_works_as_the_owner_of_the_workspace(
    landlocked: Sandbox, everybodys: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can work as somebody else")
    os.chown(everybodys, 65534, 65534)

    script = 'id -u; id -G; echo x > file; echo x > "$TMPDIR/f" && echo y; cat /etc/shadow'
    who = await run_in(landlocked, script, everybodys)

    assert who.output.startswith("65534\n65534\ny\n"), who.output
    assert (everybodys / "file").stat().st_uid == 65534


@pytest.mark.parametrize("workspace", ["/", "/usr", "/etc"])
async def test_the_system_itself_is_no_workspace(confined: Sandbox, workspace: str) -> None:
    with pytest.raises(ToolRefused, match=f"cannot be confined to {workspace}:"):
        await run_in(confined, "true", Path(workspace))


async def test_no_control_group_is_left_behind(confined: Sandbox, tmp_path: Path) -> None:
    await run_in(confined, "sleep 100 & true", tmp_path)

    groups = Path("/sys/fs/cgroup").glob(f"**/turnstone-{os.getpid()}-*")
    assert list(groups) == []
