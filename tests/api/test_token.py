"""The token file of a machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from turnstone.api.token import find_token, make_token, token_path
from turnstone.core.errors import ConfigurationError


def test_the_first_start_makes_a_token_and_every_later_one_finds_it(tmp_path: Path) -> None:
    state = tmp_path / "deep" / "state"
    assert find_token(state) is None

    made = make_token(state)

    assert len(made) >= 43  # 256 bits in base64
    assert made == make_token(state) == find_token(state)
    assert token_path(state).stat().st_mode & 0o777 == 0o600
    assert state.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in state.iterdir()] == ["token"]


def test_programs_that_start_at_once_get_the_same_token(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from turnstone.api.token import make_token\n"
        "print(make_token(Path(sys.argv[1])))"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    made = {process.communicate()[0].strip() for process in running}

    assert made == {find_token(tmp_path)}
    assert [path.name for path in tmp_path.iterdir()] == ["token"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o777])
def test_a_token_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    make_token(tmp_path)
    token_path(tmp_path).chmod(mode)
    for attempt in (find_token, make_token):
        with pytest.raises(ConfigurationError, match="can be read by others.*chmod 600"):
            attempt(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe", b"two\nlines"])
def test_a_damaged_file_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    token_path(tmp_path).write_bytes(content)
    token_path(tmp_path).chmod(0o600)
    with pytest.raises(ConfigurationError, match="holds no token"):
        make_token(tmp_path)
    assert token_path(tmp_path).read_bytes() == content


def test_what_is_no_plain_file_is_refused_and_does_not_hang(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("secret\n")
    elsewhere.chmod(0o600)
    for number, make in enumerate(
        [lambda p: p.symlink_to(elsewhere), lambda p: os.mkfifo(p, 0o600), lambda p: p.mkdir()]
    ):
        state = tmp_path / str(number)
        state.mkdir()
        make(token_path(state))
        with pytest.raises(ConfigurationError, match="plain file"):
            find_token(state)


def test_a_folder_that_cannot_be_made_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be"):
        make_token(tmp_path / "file" / "state")
