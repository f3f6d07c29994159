"""What every file of the tree keeps to, whoever writes it."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

#: Hosts of package registries: a lock or a page that names one holds for one place only.
#: Written so that this file does not name them either.
REGISTRIES = re.compile(r"pyp[i]\.org|python[h]osted\.org|npm[j]s\.(org|com)|deb[.]debian\.org")
#: A person's home. `/home/you` and its like are examples.
HOMES = re.compile(r"(?<![\w.~-])(/root/[.\w]|/(home|Users)/(?!(you|me|user|name)\b)\w)")

SIZE_LIMIT = 1_000_000
"""Bytes of one committed file; what is larger is made by a script, not kept."""


def text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def sources(committed: list[Path], root: Path) -> list[Path]:
    folders = (root / "src", root / "oturn" / "src")
    return [p for p in committed if p.suffix == ".py" and any(f in p.parents for f in folders)]


def test_no_file_names_the_host_of_a_package_registry(committed: list[Path]) -> None:
    assert [str(path) for path in committed if REGISTRIES.search(text_of(path))] == []


def test_no_file_names_a_folder_of_one_machine(committed: list[Path], root: Path) -> None:
    beside = re.escape(str(root.parent / "shared"))
    here = re.compile(rf"{HOMES.pattern}|{re.escape(str(root))}\b|{beside}\b")
    found = [
        f"{path.relative_to(root)}:{number}: {line.strip()}"
        for path in committed
        for number, line in enumerate(text_of(path).splitlines(), 1)
        if path != Path(__file__).resolve() and here.search(line)
    ]
    assert found == []


def test_no_file_is_larger_than_a_person_would_keep(committed: list[Path]) -> None:
    assert [str(path) for path in committed if path.stat().st_size > SIZE_LIMIT] == []


def test_nothing_is_committed_that_a_build_makes(committed: list[Path], root: Path) -> None:
    made = {"uv.lock", "__pycache__", ".venv", "dist", "node_modules"}
    assert [str(p) for p in committed if made & set(p.relative_to(root).parts)] == []


def test_every_module_with_code_says_first_what_it_does(committed: list[Path], root: Path) -> None:
    silent = []
    for path in sources(committed, root):
        tree = ast.parse(path.read_text())
        if tree.body and ast.get_docstring(tree) is None:
            silent.append(str(path.relative_to(root)))
    assert silent == []


def test_no_module_is_a_drawer_for_everything(committed: list[Path], root: Path) -> None:
    drawers = {"utils", "util", "helpers", "misc", "common"}
    named = [p for p in sources(committed, root) if {p.stem, *p.parent.parts} & drawers]
    assert named == []


def test_no_file_is_split_by_banners_instead_of_being_split(committed: list[Path]) -> None:
    banner = re.compile(r"^\s*#\s*[-=#*]{5,}", re.MULTILINE)
    assert [str(p) for p in committed if p.suffix == ".py" and banner.search(text_of(p))] == []


@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-dev.txt"])
def test_a_lock_holds_versions_and_hashes_and_no_options(root: Path, lock: str) -> None:
    text = re.sub(r"\\\n", " ", (root / lock).read_text())
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert lines
    assert [
        line for line in lines if not re.match(r"[a-z0-9.-]+==\S+ .*--hash=sha256:", line)
    ] == []


def test_both_locks_agree(root: Path) -> None:
    def versions(name: str) -> set[str]:
        return set(re.findall(r"^([a-z0-9.-]+==\S+)", (root / name).read_text(), re.MULTILINE))

    assert versions("requirements.txt") <= versions("requirements-dev.txt")


def test_every_dependency_of_both_packages_is_locked(root: Path) -> None:
    locked = set(
        re.findall(r"^([a-z0-9.-]+)==", (root / "requirements.txt").read_text(), re.MULTILINE)
    )
    for pyproject in ("pyproject.toml", "oturn/pyproject.toml"):
        project = tomllib.loads((root / pyproject).read_text())["project"]
        names = {re.split(r"[<>=!~ \[;]", entry)[0] for entry in project["dependencies"]}
        assert {name.replace("_", "-").lower() for name in names} - {"oturn"} <= locked


def test_every_program_that_is_installed_has_its_function(root: Path) -> None:
    scripts = tomllib.loads((root / "pyproject.toml").read_text())["project"]["scripts"]
    for name, target in scripts.items():
        module, _, function = target.partition(":")
        assert callable(getattr(importlib.import_module(module), function)), name


def test_both_packages_carry_the_same_licence(root: Path) -> None:
    licence = (root / "LICENSE").read_text()
    assert "Apache License" in licence
    assert (root / "oturn" / "LICENSE").read_text() == licence


def test_the_newest_entry_of_the_changelog_is_this_version(root: Path) -> None:
    version = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    first = re.search(r"^## \[?([^\]\s]+)", (root / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first is not None
    assert first.group(1) == ("Unreleased" if ".dev" in version else version)


@pytest.mark.parametrize("script", ["up", "test", "check", "lock", "venv.sh"])
def test_a_script_is_plain_posix_shell(root: Path, script: str) -> None:
    path = root / "scripts" / script
    assert subprocess.run(["sh", "-n", path], check=False).returncode == 0
    assert not re.search(r"\[\[|\blocal |\bfunction |<\(", path.read_text())


def test_importing_a_package_touches_no_disk_and_no_network() -> None:
    """`import` of every module, in a process of its own that may open nothing but modules."""
    program = (
        "import sys, pkgutil, importlib\n"
        "import oturn, turnstone\n"
        "def stop(event, args):\n"
        "    if event in ('socket.connect', 'socket.bind', 'sqlite3.connect',\n"
        "                 'subprocess.Popen', 'os.mkdir', 'os.remove'):\n"
        "        raise SystemExit(f'import does {event} {args}')\n"
        "    if event == 'open' and isinstance(args[1], str) and set(args[1]) & set('wax+'):\n"
        "        raise SystemExit(f'import writes {args[0]}')\n"
        "sys.dont_write_bytecode = True\n"
        "sys.addaudithook(stop)\n"
        "for package in (oturn, turnstone):\n"
        "    for m in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        if not m.name.endswith(('__main__', '.litellm')):\n"
        "            importlib.import_module(m.name)\n"
    )
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], check=False, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
