"""The level is found by trying; a bubblewrap that lies, leaks or fails is none."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from support import needs
from support.commands import run_in
from turnstone.core.sandbox import Level
from turnstone.sandbox import Landlock, Unconfined, find_sandbox
from turnstone.sandbox.landlock import LEAST, NO_SIGNALS, NOTES, landlock_version
from turnstone.sandbox.orphans import owner, remove_orphans
from turnstone.sandbox.probe import attempt_escapes


def program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/bash\n{script}\n")
    path.chmod(0o755)
    return path


async def test_bubblewrap_holds_on_this_machine(tmp_path: Path) -> None:
    needs.require("bwrap")

    sandbox = await find_sandbox()

    assert sandbox.confinement.level is Level.L3, sandbox.confinement.notes
    assert sandbox.confinement.summary == "L3 (bubblewrap)"
    assert await attempt_escapes(sandbox) == ()


async def test_every_escape_is_seen_where_nothing_is_confined() -> None:
    escapes = await attempt_escapes(Unconfined())

    expected = {
        "write outside its workspace",
        "read a secret of the home directory",
        "change what is mounted",
        "reach other processes",
        "connect to the network",
    }
    assert expected <= set(escapes)


async def test_nothing_is_left_of_the_attempts() -> None:
    await attempt_escapes(Unconfined())

    places = [Path.home(), Path("/etc"), Path("/usr"), Path("/var"), Path(tempfile.gettempdir())]
    assert [f for place in places for f in place.glob(f".turnstone-probe-{owner()}-*")] == []


def test_what_a_killed_process_has_left_goes_and_what_others_use_stays(tmp_path: Path) -> None:
    whose = subprocess.run(
        [sys.executable, "-c", "from turnstone.sandbox.orphans import owner; print(owner())"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    in_another_container = f"1{whose}"
    for name in (whose, owner(), in_another_container, "x"):
        (tmp_path / f".turnstone-probe-{name}-a").mkdir()
        (tmp_path / f".turnstone-probe-{name}-a" / "secret").write_text("x")
    (tmp_path / "precious").mkdir()
    (tmp_path / f".turnstone-probe-{whose}-b").symlink_to(tmp_path / "precious")
    (tmp_path / f".turnstone-probe-{whose}-c").write_text("x")

    remove_orphans([tmp_path / "absent", tmp_path], ".turnstone-probe-")

    left = {f".turnstone-probe-{name}-a" for name in (owner(), in_another_container, "x")}
    assert {path.name for path in tmp_path.iterdir()} == {*left, "precious"}


async def test_without_bubblewrap_nothing_is_confined_and_a_note_says_what_to_install(
    tmp_path: Path,
) -> None:
    sandbox = await find_sandbox(bwrap=tmp_path / "absent", levels=[Level.L3])

    assert sandbox.confinement.level is Level.L0
    assert "apt install bubblewrap" in sandbox.confinement.notes[0]
    assert (await run_in(sandbox, "echo works", tmp_path)).output == "works\n"


async def test_a_bubblewrap_that_confines_nothing_is_found_out(tmp_path: Path) -> None:
    lying = '[ "$1" = --help ] && exit; while [ "$1" != -- ]; do [ "$1" = --chdir ] && cd "$2"; shift; done; shift; exec "$@"'

    sandbox = await find_sandbox(bwrap=program(tmp_path / "bwrap", lying), levels=[Level.L3])

    assert sandbox.confinement.level is Level.L0
    assert "write outside its workspace" in sandbox.confinement.notes[0]


async def test_a_bubblewrap_that_cannot_start_is_none_and_its_reason_is_told(
    tmp_path: Path,
) -> None:
    broken = 'echo "bwrap: No permissions to create new namespace" >&2; exit 1'

    sandbox = await find_sandbox(bwrap=program(tmp_path / "bwrap", broken), levels=[Level.L3])

    assert sandbox.confinement.level is Level.L0
    assert "No permissions to create new namespace" in sandbox.confinement.notes[0]


#: One protection taken away (bwrap's own options), and the escape that it held back.
WEAKENED = [
    ("--disable-userns --cap-drop ALL", "", "change what is mounted", True),
    ("--unshare-all", "--unshare-all --share-net", "connect to the network", False),
    ("--remount-ro /proc", "", "change settings of the kernel", True),
    ("--ro-bind / /", "--bind / /", "write outside its workspace", True),
    ("--tmpfs /tmp", "--tmpfs /media", "read a secret of the home directory", False),
]

#: Stands in for bwrap, takes the protection out of the command line, and starts bwrap.
WEAK = """#!{python}
import os, sys
args = "\\0".join(sys.argv[1:]) + "\\0"
taken, instead = ("\\0".join([*words.split(), ""]) for words in ({taken!r}, {instead!r}))
assert taken in args or "--help" in args
args = args.replace(taken, instead, 1).split("\\0")[:-1]
os.execv({real!r}, [{real!r}, *args])
"""


@pytest.mark.parametrize(("taken", "instead", "escape", "as_root"), WEAKENED)
async def test_each_protection_is_missed_when_it_is_taken_away(
    tmp_path: Path, taken: str, instead: str, escape: str, as_root: bool
) -> None:
    real = needs.require("bwrap")
    if as_root and os.geteuid() != 0:
        pytest.skip("an ordinary user is held back by the system as well")
    weak = WEAK.format(python=sys.executable, taken=taken, instead=instead, real=real)
    (tmp_path / "bwrap").write_text(weak)
    (tmp_path / "bwrap").chmod(0o755)

    sandbox = await find_sandbox(bwrap=tmp_path / "bwrap", levels=[Level.L3])

    assert sandbox.confinement.level is Level.L0
    assert escape in sandbox.confinement.notes[0]


async def test_a_variable_of_ours_in_the_first_process_is_seen(tmp_path: Path) -> None:
    real = needs.require("bwrap")
    leaking = f'PROVIDER_API_KEY=canary exec {real} "$@"'

    sandbox = await find_sandbox(bwrap=program(tmp_path / "bwrap", leaking), levels=[Level.L3])

    assert "read the environment of this program" in sandbox.confinement.notes[0]


def landlocked() -> int:
    version = landlock_version()
    if version < LEAST:
        needs.give_up(f"this kernel has no Landlock of version {LEAST} or later")
    return version


async def test_without_bubblewrap_landlock_is_tried_and_what_it_lacks_is_told(
    tmp_path: Path,
) -> None:
    landlocked()

    sandbox = await find_sandbox(bwrap=tmp_path / "absent")

    assert sandbox.confinement.level is Level.L2
    assert sandbox.confinement.summary == "L2 (Landlock)"
    assert "apt install bubblewrap" in sandbox.confinement.notes[0]
    assert set(NOTES) <= set(sandbox.confinement.notes)


async def test_an_older_landlock_holds_too_with_less_left_to_commands(tmp_path: Path) -> None:
    landlocked()
    sandbox = Landlock(LEAST)

    assert await attempt_escapes(sandbox) == ()
    assert NO_SIGNALS in sandbox.confinement.notes
    assert (await run_in(sandbox, "sleep 0.01 & wait; echo done", tmp_path)).output == "done\n"


async def test_a_landlock_that_leaves_something_out_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    version = landlocked()
    monkeypatch.setenv("HOME", str(Path(tempfile.gettempdir()) / "no-such-home"))

    class Open(Landlock):
        """Takes every order, and starts the command without any."""

        run = Unconfined.run

    escapes = await attempt_escapes(Open(version))

    assert "reach other processes" in escapes
    assert "connect to the network" in escapes


async def test_where_neither_is_tried_nothing_is_confined(tmp_path: Path) -> None:
    sandbox = await find_sandbox(levels=[])

    assert sandbox.confinement.level is Level.L0
    assert (await run_in(sandbox, "echo works", tmp_path)).output == "works\n"
