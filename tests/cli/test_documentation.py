"""What the pages say of the programs is what the programs do."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from support.processes import run
from turnstone.cli import print_mode
from turnstone.core.config.rows import BY_NAME, SETTINGS
from turnstone.core.config.table import PROGRAMS
from turnstone.main import turnstone

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
OTURN = (ROOT / "oturn" / "README.md").read_text(encoding="utf-8")

#: Seconds for a program to say something; more is a failure.
PATIENCE = 60.0


def test_the_exit_codes_of_the_readme_are_those_of_the_program() -> None:
    named = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    assert named == {
        print_mode.DONE,
        print_mode.FAILED,
        print_mode.USAGE,
        print_mode.NEEDS_APPROVAL,
        print_mode.STOPPED,
    }


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--model", "practice", "-p", "read README.md"), 0),
        (("--model", "practice", "-p", "read missing.txt"), 0),
        (("--model", "practice", "-p", "run true"), 3),
        (("--base-url", "http://127.0.0.1:9/v1", "-p", "hello"), 1),
        (("--model", "practice", "--workspace", "nowhere", "-p", "hello"), 1),
        (("--model", "practice"), 2),
        (("--no-such-flag",), 2),
    ],
)
async def test_the_program_exits_as_the_readme_says(
    tmp_path: Path, arguments: tuple[str, ...], code: int
) -> None:
    (tmp_path / "README.md").write_text("hi\n")
    assert (await run(tmp_path, "turnstone", *arguments))[0] == code


def test_the_readme_shows_a_start_without_a_model() -> None:
    assert re.search(r"^\.venv/bin/turnstone --model practice ", README, re.MULTILINE)


def test_the_page_of_settings_says_which_programs_are_there() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    head, _, _ = CONFIGURATION.partition("\n## ")
    rows = {
        program: "not there yet" in row
        for row in head.splitlines()
        if row.startswith("| `")
        for program in re.findall(r"`(turnstone[ a-z-]*)`", row.split("|")[1])
    }
    there = {*scripts, *(f"turnstone {name}" for name in turnstone.commands)}
    assert rows == {p: p not in there for p in PROGRAMS}


def test_settings_without_effect_are_settings_and_those_of_missing_programs_are_among_them() -> (
    None
):
    section = CONFIGURATION.partition("## Settings without effect yet")[2].partition("\n## ")[0]
    listed = set(re.findall(r"`(\w+\.\w+)`", section))
    assert listed <= set(BY_NAME)
    missing = {"turnstone-console", "turnstone-sim", "turnstone-eval"}
    assert {row.name for row in SETTINGS if set(row.programs) <= missing} <= listed


async def test_the_example_of_oturn_runs_with_the_model_server_that_is_named(
    tmp_path: Path,
) -> None:
    named = re.search(r"^python (-m modelserver .*) --port 8000$", OTURN, re.MULTILINE)
    agent = re.search(
        r"^```python\n(.*?asyncio\.run\(main\(\)\)\n)```$", OTURN, re.MULTILINE | re.DOTALL
    )
    assert named is not None and agent is not None
    server = await asyncio.create_subprocess_exec(
        sys.executable,
        *named[1].split(),
        "--port",
        "0",
        cwd=ROOT / "oturn" / "tests",
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert server.stdout is not None
        async with asyncio.timeout(PATIENCE):
            url = (await server.stdout.readline()).decode().strip()
        program = agent[1].replace("http://localhost:8000/v1", url)
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", program],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    finally:
        server.terminate()
        await server.wait()
    assert done.returncode == 0, done.stderr
    final = done.stdout.splitlines()[-1]
    assert "assistant_final" in final and "What's the weather in Tokyo?" in final
