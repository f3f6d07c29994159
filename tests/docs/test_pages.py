"""What the documentation shows is true: its programs parse or run, its commands and links exist."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from turnstone.main import turnstone
from turnstone.main.nodes import bridge, server

#: Commands of every machine that the documentation may use.
COMMON = {
    "apt-get",
    "cat",
    "cd",
    "chmod",
    "curl",
    "export",
    "git",
    "pip",
    "python",
    "python3",
    "uv",
}

#: What `[project.scripts]` names, as commands.
PROGRAMS: dict[str, click.Command] = {
    "turnstone": turnstone,
    "turnstone-server": server,
    "turnstone-bridge": bridge,
}

#: Seconds for one program of the documentation.
PATIENCE = 50


def of(blocks: list[Any], language: str) -> list[Any]:
    return [block for block in blocks if block.language == language and block.marker != "fragment"]


def commands_in(text: str) -> list[list[str]]:
    """The commands of a shell block as words: comments gone, continued lines joined."""
    joined = text.replace("\\\n", " ")
    return [words for line in joined.splitlines() if (words := shlex.split(line, comments=True))]


def console_scripts(root: Path) -> set[str]:
    return set(tomllib.loads((root / "pyproject.toml").read_text())["project"]["scripts"])


def command_of(program: str, words: list[str]) -> list[str]:
    """The words that name a command of the program: `queue dead`."""
    found: list[str] = []
    command: click.Command = PROGRAMS[program]
    for word in words:
        if not isinstance(command, click.Group) or word not in command.commands:
            break
        command = command.commands[word]
        found.append(word)
    return found


def test_every_python_block_is_python(blocks: list[Any]) -> None:
    for block in of(blocks, "python"):
        ast.parse(block.text, filename=str(block))


def test_every_python_block_that_says_so_runs(blocks: list[Any], tmp_path: Path) -> None:
    for block in of(blocks, "python"):
        if block.marker == "run":
            done = subprocess.run(
                [sys.executable, "-W", "error", "-c", block.text],
                cwd=tmp_path,
                check=False,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )
            assert done.returncode == 0, f"{block}\n{done.stderr}"


@pytest.mark.parametrize(("language", "read"), [("toml", tomllib.loads), ("json", json.loads)])
def test_every_block_of_data_can_be_read(blocks: list[Any], language: str, read: Any) -> None:
    for block in of(blocks, language):
        try:
            read(block.text)
        except ValueError as error:
            pytest.fail(f"{block}: {error}")


def test_every_shell_block_is_shell(blocks: list[Any]) -> None:
    for block in of(blocks, "sh"):
        checked = subprocess.run(
            ["sh", "-n"], input=block.text, check=False, capture_output=True, text=True
        )
        assert checked.returncode == 0, f"{block}: {checked.stderr}"


def test_every_command_that_a_page_tells_to_type_exists(blocks: list[Any], root: Path) -> None:
    own = console_scripts(root)
    unknown = []
    for block in of(blocks, "sh"):
        for words in commands_in(block.text):
            program = next((word for word in words if "=" not in word), "export")
            name = program.removeprefix(".venv/bin/")
            known = name in own | COMMON or (
                program.startswith("scripts/") and (root / program).is_file()
            )
            if not known:
                unknown.append(f"{block}: {program}")
    assert unknown == []


def test_every_flag_of_ours_that_a_page_shows_exists(blocks: list[Any], root: Path) -> None:
    helped: dict[tuple[str, ...], str] = {}
    wrong = []
    for block in of(blocks, "sh"):
        for words in commands_in(block.text):
            program = words[0].removeprefix(".venv/bin/")
            if program == "scripts/up":
                program, words = "turnstone", ["turnstone", "up", *words[1:]]
            if program not in console_scripts(root):
                continue
            command = (program, *command_of(program, words[1:]))
            if command not in helped:
                asked = CliRunner().invoke(PROGRAMS[program], [*command[1:], "--help"])
                assert asked.exit_code == 0, asked.output
                helped[command] = asked.output
            flags = [word.partition("=")[0] for word in words[1:] if word.startswith("-")]
            wrong += [
                f"{block}: {flag}"
                for flag in flags
                if not re.search(rf"(?<![\w-]){re.escape(flag)}(?![\w-])", helped[command])
            ]
    assert wrong == []


def test_every_link_inside_the_tree_leads_somewhere(all_pages: list[Path]) -> None:
    dead = []
    for page in all_pages:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            place = target.partition("#")[0]
            if place and "://" not in place and not (page.parent / place).exists():
                dead.append(f"{page.name}: {target}")
    assert dead == []


def test_the_layers_that_are_drawn_are_the_layers_that_are_checked(root: Path) -> None:
    contracts = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = next(c["layers"] for c in contracts["contracts"] if c["id"] == "layers")
    checked = [name.strip("() ") for layer in layers for name in layer.split("|")]
    page = (root / "docs" / "architecture.md").read_text(encoding="utf-8")
    drawn = re.search(r"^```layers\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert drawn is not None
    assert [line.split()[0] for line in drawn[1].splitlines()] == checked


def test_every_decision_is_in_the_list_of_decisions(root: Path) -> None:
    folder = root / "docs" / "decisions"
    records = sorted(path.name for path in folder.glob("0*.md"))
    listed = re.findall(r"\((0\d+[^)]*\.md)\)", (folder / "README.md").read_text())
    assert listed == records


def test_a_continued_or_commented_line_is_read_as_a_shell_would() -> None:
    assert commands_in("a 'b c' \\\n  d  # why\n\n# no\n") == [["a", "b c", "d"]]
