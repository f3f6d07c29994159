"""`turnstone` as a tree of commands: loaded when called, completed, documented, and caught."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from turnstone.main import COMMANDS, turnstone
from turnstone.main.crash import FOLDER, KEPT
from turnstone.main.tree import Program, Tree

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "man" / "turnstone.1"

#: What no list of commands and no completed word needs.
HEAVY = [
    *("asyncio", "httpx2", "prompt_toolkit", "redis", "rich", "sqlite3", "starlette"),
    *("turnstone.core.config.load", "turnstone.core.host", "turnstone.wiring"),
]


def run(*words: str, **env: str) -> Result:
    return CliRunner().invoke(turnstone, words, env=env, prog_name="turnstone")


@pytest.mark.parametrize("name", COMMANDS)
def test_what_the_list_says_of_a_command_is_what_the_command_says(name: str) -> None:
    command = turnstone.commands[name]
    assert command.name == name
    assert (command.help or "").split("\n\n")[0] == COMMANDS[name][1]


def test_a_list_of_commands_loads_none_of_them() -> None:
    program = (
        "import sys; from click.testing import CliRunner; from turnstone.main import turnstone;"
        "told = CliRunner().invoke(turnstone, ['--help']).output; assert 'sessions' in told;"
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=50
    )
    assert done.stdout.strip() == "[]"


def test_a_flag_before_a_command_is_told() -> None:
    done = run("--model", "practice", "sessions", "list")
    assert done.exit_code == 2
    assert "--model stands before `sessions`" in done.output


def test_an_unknown_command_is_wrong_usage() -> None:
    assert run("sesions").exit_code == 2


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("turnstone se", ["serve", "sessions"]),
        ("turnstone sessions s", ["search", "show"]),
        ("turnstone sessions show --js", ["--json"]),
        ("turnstone --output-format s", ["stream-json"]),
        ("turnstone completion ", ["bash", "zsh", "fish"]),
    ],
)
def test_a_word_is_completed(typed: str, wanted: list[str]) -> None:
    words = typed.split(" ")
    done = run(
        _TURNSTONE_COMPLETE="bash_complete", COMP_WORDS=typed, COMP_CWORD=str(len(words) - 1)
    )
    assert done.exit_code == 0
    assert [line.partition(",")[2] for line in done.output.splitlines()] == wanted


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_told_how_to_complete(shell: str) -> None:
    named, found = run("completion", shell), run("completion", SHELL=f"/usr/bin/{shell}")
    assert named.exit_code == found.exit_code == 0
    assert named.output == found.output
    assert f"_TURNSTONE_COMPLETE={shell}_complete" in named.output


def test_a_shell_that_is_not_known_is_asked_for() -> None:
    done = run("completion", SHELL="/bin/ksh")
    assert done.exit_code == 2
    assert "Name a shell: bash, zsh, fish." in done.output


def test_the_manual_page_is_the_one_that_is_written_now() -> None:
    told = "run: .venv/bin/turnstone man > docs/man/turnstone.1"
    assert run("man").output == PAGE.read_text(encoding="utf-8"), told


def test_the_manual_page_has_every_command_and_flag_of_the_root() -> None:
    page = run("man").output
    for name in COMMANDS:
        assert f'.SS "turnstone {name} ' in page
    for parameter in turnstone.params:
        assert parameter.opts[-1].replace("-", "\\-") in page


@click.command(cls=Program)
def broken() -> None:
    raise RuntimeError(f"it broke beside the key {os.environ['OPENAI_API_KEY']}")


def test_a_crash_is_a_sentence_and_a_report_without_secrets(tmp_path: Path) -> None:
    env = {"XDG_DATA_HOME": str(tmp_path), "OPENAI_API_KEY": "sk-verysecret-0123456789abcdef"}

    done = CliRunner().invoke(broken, env=env)

    assert done.exit_code == 1
    assert "Traceback" not in done.output
    [report] = (tmp_path / "turnstone" / FOLDER).iterdir()
    assert str(report) in done.output.replace("\n", "")
    text = report.read_text()
    assert "RuntimeError: it broke beside the key" in text and "test_command_tree.py" in text
    assert "verysecret" not in text + done.output
    assert report.stat().st_mode & 0o777 == 0o600


def test_a_crash_is_told_where_no_report_can_be_kept(tmp_path: Path) -> None:
    (tmp_path / "turnstone").write_text("in the way")
    env = {"XDG_DATA_HOME": str(tmp_path), "OPENAI_API_KEY": "sk-verysecret-0123456789abcdef"}

    done = CliRunner().invoke(broken, env=env)

    assert done.exit_code == 1
    assert "RuntimeError: it broke" in done.output and "no report could be kept" in done.output
    assert "verysecret" not in done.output


def test_old_reports_make_room(tmp_path: Path) -> None:
    folder = tmp_path / "turnstone" / FOLDER
    folder.mkdir(parents=True)
    for number in range(KEPT + 3):
        (folder / f"20200101-0000{number:02}-1.txt").touch()

    CliRunner().invoke(broken, env={"XDG_DATA_HOME": str(tmp_path), "OPENAI_API_KEY": "x" * 20})

    kept = sorted(path.name for path in folder.iterdir())
    assert len(kept) == KEPT
    assert not kept[-1].startswith("2020")


def test_a_command_that_cannot_be_loaded_is_a_crash_too(tmp_path: Path) -> None:
    tree = Tree(name="tree", lazy={"lost": ("no_such_module:lost", "Lost.")})

    done = CliRunner().invoke(tree, ["lost"], env={"XDG_DATA_HOME": str(tmp_path)})

    assert done.exit_code == 1
    assert "Turnstone broke where it should not (ModuleNotFoundError)" in done.output


def config(*words: str, folder: Path, text: str = "", **env: str) -> Result:
    file = folder / "config.toml"
    file.write_text(text)
    file.chmod(0o600)
    return run("config", *words, "--config", str(file), **env)


def test_the_settings_are_shown_with_where_each_is_from(tmp_path: Path) -> None:
    text = '[api]\napi_key = "a-secret-key"\n[server]\nport = 1234\n'

    done = config("show", "--sources", folder=tmp_path, text=text, TURNSTONE_MODEL_NAME="mine")

    rows = {line.split()[0]: line for line in done.output.splitlines()}
    assert f"file: {tmp_path}/config.toml:4" in rows["server.port"]
    assert '"mine"' in rows["model.name"]
    assert "environment: TURNSTONE_MODEL_NAME" in rows["model.name"]
    assert rows["server.host"].endswith("default")
    assert "a-secret-key" not in done.output


def test_a_program_shows_its_own_settings(tmp_path: Path) -> None:
    own = config("show", "--program", "turnstone-bridge", folder=tmp_path).output
    every = config("show", "--program", "turnstone-bridge", "--all", folder=tmp_path).output
    assert "bridge.server_url" in own and "web.search" not in own
    assert "web.search" in every


def test_all_that_is_wrong_with_the_settings_is_told(tmp_path: Path) -> None:
    done = config("check", folder=tmp_path, text='[server]\nport = 99999\n[model]\nnmae = "x"\n')
    assert done.exit_code == 1
    assert "server.port is 99999" in done.output and "nmae" in done.output
    assert config("check", folder=tmp_path).exit_code == 0


def test_the_place_of_the_file_is_told_though_it_is_not_there(tmp_path: Path) -> None:
    done = run("config", "path", XDG_CONFIG_HOME=str(tmp_path), TURNSTONE_CONFIG="")
    assert done.output == f"{tmp_path}/turnstone/config.toml\n"
