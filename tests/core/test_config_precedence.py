"""Command line > environment > file > default, for every setting that there is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from turnstone.core.config import (
    PROGRAMS,
    SETTINGS,
    AuthToken,
    Secret,
    Setting,
    Settings,
    Source,
    load_settings,
)
from turnstone.core.config.flags import options_for

ROWS = [pytest.param(row, id=row.name) for row in SETTINGS]
FLAGS = [
    pytest.param(row, program, id=f"{program} {row.flag}")
    for row in SETTINGS
    for program in PROGRAMS
    if row.flag_of(program)
]
#: Which of two samples the weaker side gets: with both orders, no constant can pass.
ORDERS = pytest.mark.parametrize(("weak", "strong"), [(0, 1), (1, 0)])


def raw_sample(row: Setting, n: int) -> object:
    """A value as a file gives it; 0 and 1 differ from each other."""
    match row.kind:
        case "integer":
            return 7 + n
        case "number":
            return (row.minimum or 0) + 0.25 + n / 8
        case "boolean":
            return bool(n)
        case "choice":
            return row.choices[n]
        case "list":
            return [f"one-{n}", "two"]
        case "url":
            return f"http://host-{n}.example:81/v1"
        case "path":
            return f"/somewhere/{n}"
        case "tokens":
            return [{"value": f"token-{n}", "role": "approve"}, {"value": "other", "role": "full"}]
        case _:
            return f"some-{n}"


def typed_sample(row: Setting, n: int) -> object:
    raw = raw_sample(row, n)
    match row.kind:
        case "secret":
            return Secret(str(raw))
        case "path":
            return Path(str(raw))
        case "list":
            return (f"one-{n}", "two")
        case "tokens":
            return (
                AuthToken(value=Secret(f"token-{n}"), role="approve"),
                AuthToken(value=Secret("other"), role="full"),
            )
        case _:
            return raw


def text_sample(row: Setting, n: int) -> str:
    match row.kind:
        case "list":
            return f"one-{n},two"
        case "tokens":
            return f"approve:token-{n},full:other"
        case _:
            return str(raw_sample(row, n))


def toml_sample(row: Setting, n: int) -> str:
    raw = raw_sample(row, n)
    if row.kind == "tokens":
        raw = f'[{{ value = "token-{n}", role = "approve" }}, {{ value = "other", role = "full" }}]'
        return f"[{row.section}]\n{row.key} = {raw}\n"
    return f"[{row.section}]\n{row.key} = {json.dumps(raw)}\n"


def argv_sample(row: Setting, n: int) -> list[str]:
    if row.kind == "boolean":
        return [row.flag if n else f"--no-{row.flag.removeprefix('--')}"]
    return [row.flag, text_sample(row, n)]


def parsed_flags(program: str, argv: list[str]) -> dict[str, object]:
    """What `program`, a real click command, makes of its command line."""
    seen: dict[str, object] = {}

    @click.command()
    @options_for(program)
    def command(flags: dict[str, object]) -> None:
        seen.update(flags)

    result = CliRunner().invoke(command, argv)
    assert result.exit_code == 0, result.output
    return seen


class Home:
    """A home directory with a configuration file that a test may write."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path / ".config" / "turnstone" / "config.toml"

    def write(self, text: str) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(text)
        self.file.chmod(0o600)

    def load(
        self,
        program: str = "turnstone",
        *,
        flags: Mapping[str, object] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Settings:
        return load_settings(
            program, flags=flags or {}, env={"HOME": str(self.path), **(env or {})}, cwd=self.path
        )


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.mark.parametrize("row", ROWS)
def test_without_anything_given_every_setting_has_its_default(row: Setting, home: Home) -> None:
    settings = home.load()
    assert settings.source(row.name) == Source("default")
    expected: dict[str, object] = {
        "store.path": home.path / ".local/share/turnstone/turnstone.db",
        "tools.workspace": home.path,
    }
    default = Secret("") if row.kind == "secret" else row.default
    assert settings.value(row.name) == expected.get(row.name, default)


@ORDERS
@pytest.mark.parametrize("row", ROWS)
def test_the_file_overrides_the_default(row: Setting, weak: int, strong: int, home: Home) -> None:
    del weak
    home.write(toml_sample(row, strong))
    settings = home.load()
    assert settings.value(row.name) == typed_sample(row, strong)
    assert settings.source(row.name) == Source("file", f"{home.file}:2")


@ORDERS
@pytest.mark.parametrize("row", ROWS)
def test_the_environment_overrides_the_default(
    row: Setting, weak: int, strong: int, home: Home
) -> None:
    del weak
    settings = home.load(env={row.variable: text_sample(row, strong)})
    assert settings.value(row.name) == typed_sample(row, strong)


@ORDERS
@pytest.mark.parametrize("row", ROWS)
def test_the_environment_overrides_the_file(
    row: Setting, weak: int, strong: int, home: Home
) -> None:
    home.write(toml_sample(row, weak))
    settings = home.load(env={row.variable: text_sample(row, strong)})
    assert settings.value(row.name) == typed_sample(row, strong)
    assert settings.source(row.name) == Source("environment", row.variable)


@ORDERS
@pytest.mark.parametrize(("row", "program"), FLAGS)
def test_a_flag_overrides_the_environment(
    row: Setting, program: str, weak: int, strong: int, home: Home
) -> None:
    flags = parsed_flags(program, argv_sample(row, strong))
    settings = home.load(program, flags=flags, env={row.variable: text_sample(row, weak)})
    assert settings.value(row.name) == typed_sample(row, strong)
    assert settings.source(row.name) == Source("command line", row.flag)


@ORDERS
@pytest.mark.parametrize(("row", "program"), FLAGS)
def test_a_flag_overrides_the_file(
    row: Setting, program: str, weak: int, strong: int, home: Home
) -> None:
    home.write(toml_sample(row, weak))
    settings = home.load(program, flags=parsed_flags(program, argv_sample(row, strong)))
    assert settings.value(row.name) == typed_sample(row, strong)


@pytest.mark.parametrize("row", ROWS)
def test_a_setting_touches_no_other(row: Setting, home: Home) -> None:
    bare, settings = home.load(), home.load(env={row.variable: text_sample(row, 1)})
    others = [other.name for other in SETTINGS if other is not row]
    assert [settings.value(name) for name in others] == [bare.value(name) for name in others]


@ORDERS
@pytest.mark.parametrize(
    ("row", "variable"), [(row, variable) for row in SETTINGS for variable in row.variables]
)
def test_a_second_variable_stands_between_the_first_and_the_file(
    row: Setting, variable: str, weak: int, strong: int, home: Home
) -> None:
    home.write(toml_sample(row, weak))
    second = {variable: text_sample(row, strong)}
    settings = home.load(env=second)
    assert settings.value(row.name) == typed_sample(row, strong)
    assert settings.source(row.name) == Source("environment", variable)
    both = home.load(env={**second, row.variable: text_sample(row, weak)})
    assert both.source(row.name) == Source("environment", row.variable)
    assert both.value(row.name) == typed_sample(row, weak)


@pytest.mark.parametrize("program", PROGRAMS)
def test_flags_that_are_not_given_change_nothing(program: str, home: Home) -> None:
    assert home.load(program, flags=parsed_flags(program, [])) == home.load(program)


def test_the_same_flag_means_the_section_of_its_program(home: Home) -> None:
    server = home.load("turnstone-server", flags={"port": "1234"})
    console = home.load("turnstone-console", flags={"port": "1234"})
    assert (server.server.port, server.console.port) == (1234, 8090)
    assert (console.server.port, console.console.port) == (8080, 1234)


def test_a_flag_may_be_named_by_its_setting_and_typed(home: Home) -> None:
    settings = home.load(flags={"server.max_workstreams": 3, "store.path": Path("/x.db")})
    assert settings.server.max_workstreams == 3
    assert settings.store.path == Path("/x.db")


def test_an_empty_variable_counts_as_not_set_and_an_empty_flag_does_not(home: Home) -> None:
    home.write('[model]\nname = "from the file"\n')
    assert home.load(env={"TURNSTONE_MODEL_NAME": ""}).model.name == "from the file"
    assert home.load(flags={"model": ""}, env={"TURNSTONE_MODEL_NAME": "x"}).model.name == ""


def test_a_program_may_have_a_default_of_its_own(home: Home) -> None:
    assert home.load("turnstone").model.temperature == 0.5
    assert home.load("turnstone-eval").model.temperature == 0.7


def test_given_tells_what_somebody_has_set_from_what_nobody_has(home: Home) -> None:
    settings = home.load(env={"REDIS_PASSWORD": "x"})
    assert settings.given("redis")
    assert settings.given("redis.password")
    assert not settings.given("redis.host")
    assert not settings.given("api.base_url")
    with pytest.raises(KeyError):
        settings.given("redsi")


def test_a_flag_or_program_that_does_not_exist_is_a_mistake_of_the_caller(home: Home) -> None:
    with pytest.raises(ValueError, match="server_url"):
        home.load("turnstone", flags={"server_url": "http://localhost"})
    with pytest.raises(ValueError, match="turnstone-serve"):
        home.load("turnstone-serve")


def test_paths_in_the_file_start_from_the_file_and_others_from_the_current_directory(
    tmp_path: Path,
) -> None:
    home = Home(tmp_path / "home")
    home.write('[store]\npath = "a.db"\n[tools]\nworkspace = "~/work"\n')
    settings = home.load()
    assert settings.store.path == home.file.parent / "a.db"
    assert settings.tools.workspace == home.path / "work"
    assert home.load(flags={"store": "a.db"}).store.path == home.path / "a.db"


def test_the_xdg_directories_are_honoured_unless_they_are_relative(tmp_path: Path) -> None:
    config = tmp_path / "c" / "turnstone" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("[server]\nport = 4711\n")
    env = {"XDG_CONFIG_HOME": str(tmp_path / "c"), "XDG_DATA_HOME": str(tmp_path / "d")}
    settings = load_settings("turnstone-server", flags={}, env=env, home=tmp_path, cwd=tmp_path)
    assert settings.file == config
    assert settings.server.port == 4711
    assert settings.store.path == tmp_path / "d" / "turnstone" / "turnstone.db"
    relative = {"XDG_CONFIG_HOME": "c", "XDG_DATA_HOME": "d"}
    settings = load_settings("turnstone", flags={}, env=relative, home=tmp_path, cwd=tmp_path)
    assert settings.file is None
    assert settings.store.path == tmp_path / ".local/share/turnstone/turnstone.db"
