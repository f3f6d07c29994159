"""`turnstone token`: made, listed and taken back on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from turnstone.api.token_file import TokenFile, digest_of
from turnstone.main import turnstone


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "config.toml"
    path.write_text('[store]\npath = "turnstone.db"\n')
    return str(path)


def run(*arguments: str) -> tuple[int, str]:
    found = CliRunner().invoke(turnstone, ["token", *arguments])
    return found.exit_code, found.output


def test_a_token_is_shown_once_listed_by_name_and_taken_back(tmp_path: Path, config: str) -> None:
    code, said = run("new", "ann", "--role", "approve", "--config", config)
    token = said.splitlines()[0]
    assert code == 0
    [known] = TokenFile(tmp_path).known()
    assert (known.name, known.role, known.digest) == ("ann", "approve", digest_of(token))

    code, said = run("list", "--config", config)
    assert (code, said.split()[:2]) == (0, ["ann", "approve"])
    assert token not in said

    assert run("revoke", "ann", "--config", config)[0] == 0
    assert TokenFile(tmp_path).known() == []


def test_what_is_wrong_is_one_sentence_and_the_exit_code_says_so(config: str) -> None:
    for arguments in (("new", "local"), ("revoke", "nobody"), ("new", "a b")):
        code, said = run(*arguments, "--config", config)
        assert code == 1
        assert said.startswith("error: ")
        assert "Traceback" not in said
