"""`turnstone doctor`: what it finds, how it says it, and how it ends."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from turnstone.cli.doctor import as_text, judged
from turnstone.core.sandbox import Confinement, Level
from turnstone.main import turnstone


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "ws").mkdir()
    yield tmp_path


def config(folder: Path, text: str) -> list[str]:
    (folder / "config.toml").write_text(text)
    os.chmod(folder / "config.toml", 0o600)
    return ["--config", str(folder / "config.toml")]


def examine(folder: Path, *arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code, and the findings by subject."""
    given = ["--workspace", str(folder / "ws"), "--store", str(folder / "state" / "t.db")]
    told = CliRunner().invoke(turnstone, ["doctor", "--json", *given, *arguments])
    answer = json.loads(told.stdout)
    assert answer["ok"] == (told.exit_code == 0)
    return told.exit_code, {finding["subject"]: finding for finding in answer["findings"]}


def test_a_machine_in_order_is_well(folder: Path) -> None:
    code, found = examine(folder, "--model", "practice")

    assert code == 0
    assert list(found) == [
        *("settings", "versions", "sandbox", "bash", "rg", "git", "man"),
        *("workspace", "disk", "store", "model"),
    ]
    assert found["store"]["text"] == f"{folder}/state/t.db can be made"
    assert found["model"]["text"] == "the practice model, in this process"
    assert not (folder / "state").exists()  # looking makes nothing


def test_a_store_where_no_file_can_be_made_is_a_problem(folder: Path) -> None:
    code, found = examine(folder, "--model", "practice", "--store", "/proc/nothing/t.db")

    assert (code, found["store"]["state"]) == (1, "problem")
    assert "/proc/nothing cannot be written to" in found["store"]["text"]


def test_a_model_that_does_not_answer_is_a_problem_with_a_hint(folder: Path) -> None:
    code, found = examine(folder, "--base-url", "http://127.0.0.1:9/v1")

    assert code == 1
    assert found["model"]["state"] == "problem"
    assert found["model"]["text"].startswith("No model at http://127.0.0.1:9/v1")
    assert "--base-url" in found["model"]["hint"]


def test_a_wrong_setting_is_told_and_the_machine_is_looked_at_all_the_same(folder: Path) -> None:
    code, found = examine(folder, *config(folder, "[server]\nport = 99999\n"))

    assert code == 1
    assert "server.port" in found["settings"]["text"]
    assert "sandbox" in found
    assert "store" not in found


def test_a_warning_about_a_setting_is_no_problem(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TURNSTONE_SERVER_PROT", "1")

    code, found = examine(folder, "--model", "practice")

    assert code == 0
    assert found["settings"]["state"] == "warning"
    assert "TURNSTONE_SERVER_PROT is no setting" in found["settings"]["details"][0]


def test_a_store_that_cannot_be_one_is_a_problem(folder: Path) -> None:
    (folder / "state" / "t.db").mkdir(parents=True)

    code, found = examine(folder, "--model", "practice")

    assert code == 1
    assert found["store"]["text"] == f"{folder}/state/t.db is not a file"


def test_a_workspace_that_is_none_is_a_problem(folder: Path) -> None:
    (folder / "ws").rmdir()

    code, found = examine(folder, "--model", "practice")

    assert code == 1
    assert found["workspace"]["text"] == f"{folder}/ws is not a directory"


def test_redis_is_asked_only_where_it_is_used(folder: Path) -> None:
    _, without = examine(folder, "--model", "practice")
    code, found = examine(
        folder, "--model", "practice", *config(folder, '[redis]\nhost = "127.0.0.1"\nport = 9\n')
    )

    assert "redis" not in without
    assert code == 1
    assert "Redis at 127.0.0.1:9 cannot be reached" in found["redis"]["text"]


def test_programs_that_are_missing_are_told_with_what_goes_without_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "bin").mkdir()
    (folder / "bin" / "bash").symlink_to("/bin/bash")
    monkeypatch.setenv("PATH", str(folder / "bin"))

    code, found = examine(folder, "--model", "practice")

    assert code == 0
    assert found["rg"]["state"] == "warning"
    assert "apt install ripgrep" in found["rg"]["hint"]


@pytest.mark.parametrize(
    ("level", "required", "state", "hint"),
    [
        (Level.L0, False, "warning", "Until then every command is asked"),
        (Level.L0, True, "problem", "Install bubblewrap"),
        (Level.L2, True, "warning", "for level L3"),
        (Level.L3, True, "ok", ""),
    ],
)
def test_a_level_is_shown_with_how_to_get_more(
    level: Level, required: bool, state: str, hint: str
) -> None:
    notes = () if level is Level.L3 else ("a note",)

    finding = judged(Confinement(level, f"{level.name} (test)", notes), required=required)

    assert finding.state == state
    assert hint in finding.hint
    lines = as_text([finding]).splitlines()
    assert lines[0].split() == [state, "sandbox", level.name, "(test)"]
    assert lines[1:2] == [] if level is Level.L3 else lines[1].strip() == "a note"
