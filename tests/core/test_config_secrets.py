"""Secrets of the settings are shown to nobody, and a file that others can read is told of."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from turnstone.core.config import Secret, Settings, describe, load_settings
from turnstone.core.errors import ConfigurationError

SECRETS = """\
[api]
api_key = "hunter-1"
tavily_key = "hunter-2"
[redis]
password = "hunter-3"
[auth]
token = "hunter-4"
[[auth.tokens]]
value = "hunter-5"
role = "approve"
"""
NAMES = ["api.api_key", "api.tavily_key", "redis.password", "auth.token", "auth.tokens"]


def load(path: Path, text: str, mode: int = 0o600) -> Settings:
    file = path / "config.toml"
    file.write_text(text)
    file.chmod(mode)
    return load_settings("turnstone-server", flags={"config": file}, env={}, home=path, cwd=path)


def test_settings_never_show_a_secret_when_they_are_printed(tmp_path: Path) -> None:
    settings = load(tmp_path, SECRETS)
    assert settings.api.api_key.reveal() == "hunter-1"
    assert settings.auth.tokens[0].value.reveal() == "hunter-5"
    assert "hunter" not in f"{settings!r} {settings} {settings.auth.tokens} {settings.api.api_key}"


def test_settings_with_secrets_are_not_encoded_by_accident(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        msgspec.json.encode(load(tmp_path, SECRETS))


def test_the_table_of_settings_masks_secrets_and_tells_that_there_are_some(tmp_path: Path) -> None:
    rows = {row.name: row for row in describe(load(tmp_path, SECRETS), every=True)}
    assert "hunter" not in repr(rows)
    assert rows["redis.password"].value == '"********"'
    assert rows["auth.tokens"].value == '[{ value = "********", role = "approve" }]'
    assert str(rows["redis.password"].source) == f"file: {tmp_path}/config.toml:5"


def test_the_table_of_settings_shows_what_the_program_uses_as_the_file_spells_it(
    tmp_path: Path,
) -> None:
    settings = load(tmp_path, '[model]\nname = "m"\n[tools]\nauto_approve_tools = ["a", "b"]\n')
    rows = {row.name: row.value for row in describe(settings)}
    assert rows["model.name"] == '"m"'
    assert rows["api.api_key"] == '""'
    assert rows["tools.auto_approve_tools"] == '["a", "b"]'
    assert rows["server.queue"] == "false"
    assert rows["store.path"] == f'"{tmp_path}/.local/share/turnstone/turnstone.db"'
    assert "console.port" not in rows


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_file_with_secrets_that_others_can_read_is_warned_about(
    tmp_path: Path, mode: int
) -> None:
    [warning] = load(tmp_path, SECRETS, mode).warnings
    assert warning == (
        f"Others on this machine can read {tmp_path}/config.toml, which holds {', '.join(NAMES)};"
        f" run: chmod 600 {tmp_path}/config.toml"
    )


def test_a_file_of_ones_own_and_a_file_without_secrets_are_not_warned_about(tmp_path: Path) -> None:
    assert load(tmp_path, SECRETS, 0o600).warnings == ()
    assert load(tmp_path, '[api]\napi_key = ""\n[server]\nport = 1\n', 0o644).warnings == ()


@pytest.mark.parametrize(
    "text",
    [
        '[redis]\npassword = ["hunter"]\n',
        "[auth]\ntoken = { hunter = 1 }\n",
        '[auth]\ntokens = ["hunter"]\n',
        '[[auth.tokens]]\nvalue = "v"\nrole = "hunter"\n',
        '[api]\napi_key = "hunter\\nhunter"\n',
        '[api]\nbase_url = "http://me:hunter@localhost:8000/v1"\n',
    ],
)
def test_a_message_about_a_wrong_secret_does_not_repeat_it(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, text)
    assert "it must be" in str(caught.value)
    assert "hunter" not in str(caught.value)


def test_a_token_with_a_colon_in_it_is_not_repeated_either(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(
            "turnstone", flags={}, env={"TURNSTONE_AUTH_TOKENS": "hunter:x"}, home=tmp_path
        )
    assert "hunter" not in str(caught.value)


def test_a_line_break_at_the_end_of_a_secret_is_dropped(tmp_path: Path) -> None:
    env = {"OPENAI_API_KEY": "key\n"}
    settings = load_settings("turnstone", flags={}, env=env, home=tmp_path)
    assert settings.api.api_key == Secret("key")


def test_a_secret_is_true_when_there_is_one_and_equal_to_its_like() -> None:
    assert Secret("a")
    assert not Secret("")
    assert Secret("a") == Secret("a")
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
