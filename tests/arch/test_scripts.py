"""The scripts, in a copy of the tree whose programs are small stand-ins that note their calls.

What they do with a real index is shown by every run of `scripts/test` in a fresh clone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

SYSTEM_PROGRAMS = (
    "redis-server",
    "chromium",
    "rg",
    "bwrap",
    "tmux",
    "git",
    "curl",
    "pg_createcluster",
    "strace",
    "node",
)
OURS = ("python", "ruff", "mypy", "lint-imports", "turnstone")


@dataclass(frozen=True)
class Tree:
    root: Path
    bin: Path  # comes first on PATH

    def run(
        self, *command: str, cwd: Path | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        path = f"{self.bin}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            [self.root / command[0], *command[1:]],
            cwd=cwd or self.root,
            env={**os.environ, "PATH": path, "CALLS": str(self.root / "calls"), **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def calls(self) -> list[str]:
        noted = self.root / "calls"
        return noted.read_text().splitlines() if noted.exists() else []

    def forget(self) -> None:
        (self.root / "calls").unlink()


def stand_in(path: Path, body: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    note = 'echo "$(basename "$0") $* [$(pwd)]" >>"$CALLS"'
    path.write_text(f"#!/bin/sh\n{note}\n{body}\n")
    path.chmod(0o755)


#: A python whose `-m venv` makes a .venv of stand-ins, one of which fails if FAILS names it.
VENV = """
case "$*" in
*"-m venv"*)
    mkdir -p .venv/bin
    for name in OURS; do
        printf '#!/bin/sh\\necho "$(basename "$0") $* [$(pwd)]" >>"$CALLS"\\n' >.venv/bin/$name
        printf 'case "$(basename "$0") $*" in ${FAILS:-nothing}) exit 1 ;; esac\\n' >>.venv/bin/$name
        chmod +x .venv/bin/$name
    done ;;
esac
""".replace("OURS", " ".join(OURS))


@pytest.fixture
def tree(tmp_path: Path, root: Path) -> Tree:
    copy = tmp_path / "a tree"
    shutil.copytree(root / "scripts", copy / "scripts")
    shutil.copytree(root / ".ci", copy / ".ci")
    (copy / "oturn").mkdir()
    for name in (
        "pyproject.toml",
        "oturn/pyproject.toml",
        "requirements.txt",
        "requirements-dev.txt",
    ):
        shutil.copyfile(root / name, copy / name)
    programs = tmp_path / "bin"
    for name in SYSTEM_PROGRAMS:
        stand_in(programs / name)
    stand_in(programs / "python3", VENV)
    return Tree(copy, programs)


def test_up_installs_by_hash_and_then_runs_turnstone_where_it_was_called(
    tree: Tree, tmp_path: Path
) -> None:
    done = tree.run("scripts/up", "--port", "1", "a b", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    pip = [call for call in tree.calls() if " install " in call]
    assert "--require-hashes" in pip[0]
    assert "requirements.txt" in pip[0]
    assert "--no-build-isolation --editable ./oturn --editable ." in pip[1]
    assert tree.calls()[-1] == f"turnstone up --port 1 a b [{tmp_path}]"


def test_a_second_up_installs_nothing(tree: Tree) -> None:
    tree.run("scripts/up")
    tree.forget()
    tree.run("scripts/up")
    assert not [call for call in tree.calls() if " install " in call]
    assert tree.calls()[-1].startswith("turnstone up")


def test_what_the_tests_installed_serves_up_as_well(tree: Tree) -> None:
    tree.run("scripts/test", "-k", "nothing")
    tree.forget()
    tree.run("scripts/up")
    assert not [call for call in tree.calls() if " install " in call]


def test_a_changed_lock_is_installed_again(tree: Tree) -> None:
    tree.run("scripts/up")
    tree.forget()
    with (tree.root / "requirements.txt").open("a") as lock:
        lock.write("# changed\n")
    tree.run("scripts/up")
    assert [call for call in tree.calls() if " install " in call]


def test_an_install_that_failed_is_told_and_tried_again(tree: Tree) -> None:
    done = tree.run("scripts/up", FAILS="*require-hashes*")
    assert done.returncode != 0
    assert "could not be installed" in done.stderr
    assert not [call for call in tree.calls() if call.startswith("turnstone")]
    assert tree.run("scripts/up").returncode == 0


def test_a_python_that_is_too_old_is_told_in_a_sentence(tree: Tree) -> None:
    for name in ("python3", "python3.11", "python3.12", "python3.13"):
        stand_in(tree.bin / name, "exit 1")
    done = tree.run("scripts/up")
    assert done.returncode != 0
    assert "Python 3.11 or newer is needed" in done.stderr


def test_a_python_without_venv_names_the_package_to_install(tree: Tree) -> None:
    stand_in(tree.bin / "python3", 'case "$*" in *ensurepip*) exit 1 ;; esac')
    done = tree.run("scripts/up")
    assert done.returncode != 0
    assert "apt-get install python3-venv" in done.stderr


def test_all_parts_of_the_tests_run_and_turnstones_own_is_last(tree: Tree) -> None:
    done = tree.run(".ci/run", CI="true")
    assert done.returncode == 0, done.stderr
    parts = [line for line in done.stdout.splitlines() if line.startswith("== ")]
    assert parts[-2:] == ["== pytest of oturn", "== pytest of turnstone"]
    assert {"== ruff check", "== ruff format", "== mypy", "== lint-imports"} <= set(parts)
    assert tree.calls()[-1].endswith(f"[{tree.root}]")
    assert tree.calls()[-2].endswith(f"[{tree.root / 'oturn'}]")


@pytest.mark.parametrize(
    ("fails", "named"),
    [
        ("ruff*check*", "scripts/check"),
        ("mypy*", "scripts/check"),
        ("lint-imports*", "scripts/check"),
        ("*pytest*", "pytest of oturn, pytest of turnstone"),
    ],
)
def test_one_part_that_fails_fails_the_whole_and_is_named(
    tree: Tree, fails: str, named: str
) -> None:
    done = tree.run("scripts/test", FAILS=fails)
    assert done.returncode == 1
    assert f"failed: {named}." in done.stderr
    assert "== pytest of turnstone" in done.stdout
