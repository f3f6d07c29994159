"""The table of settings agrees with the typed settings, the options and the documentation."""

from __future__ import annotations

import subprocess
import sys
import typing
from pathlib import Path

import click
import msgspec
import pytest
from click.testing import CliRunner

from turnstone.core import config
from turnstone.core.config import PROGRAMS, SETTINGS, Setting, Settings, load_settings
from turnstone.core.config.docs import updated
from turnstone.core.config.flags import options_for
from turnstone.core.config.rows import MODEL_KEYS, SECTIONS
from turnstone.core.config.table import parameter
from turnstone.core.errors import ConfigurationError

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
TYPES = {
    "text": str,
    "secret": config.Secret,
    "integer": int,
    "number": float,
    "boolean": bool,
    "list": tuple[str, ...],
    "url": str,
    "path": Path,
    "tokens": tuple[config.AuthToken, ...],
}

#: Flags of the 0.2 programs that set something, by program.
CHAT_0_2 = """--base-url --model --persona --instructions --temperature --max-tokens --tool-timeout
    --reasoning-effort --context-window --compact-max-tokens --auto-compact-pct --agent-max-turns
    --tool-truncation --skip-permissions --api-key --session-retention-days"""
REDIS_0_2 = "--redis-host --redis-port --redis-password --redis-db"
FLAGS_0_2 = {
    "turnstone": f"{CHAT_0_2} --console-url --auth-token",
    "turnstone-server": f"{CHAT_0_2} --host --port --workstream-idle-timeout",
    "turnstone-bridge": f"""{REDIS_0_2} --server-url --approval-timeout --node-id --heartbeat-ttl
        --log-level --auth-token""",
    "turnstone-console": f"{REDIS_0_2} --host --port --poll-interval --log-level --auth-token",
    "turnstone-sim": REDIS_0_2,
    "turnstone-eval": """--base-url --model --temperature --max-tokens --reasoning-effort
        --context-window""",
}


def command_of(program: str) -> click.Command:
    @click.command()
    @options_for(program)
    @click.option("--resume")
    def command(flags: dict[str, object], resume: str | None) -> None:
        click.echo(f"{sorted(name for name, value in flags.items() if value is not None)} {resume}")

    assert isinstance(command, click.Command)
    return command


def test_every_row_is_a_field_of_its_section_and_every_field_a_row() -> None:
    hints = typing.get_type_hints(Settings)
    for section, keys in SECTIONS.items():
        assert keys == hints[section].__struct_fields__
    assert tuple(sorted(("name", *(row.key for row in MODEL_KEYS)))) == tuple(
        sorted(config.NamedModel.__struct_fields__)
    )
    plain = {"models", "program", "file", "sources", "warnings"}
    assert set(Settings.__struct_fields__) == {*SECTIONS, *plain}


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in SETTINGS])
def test_every_field_has_the_type_of_its_row(row: Setting) -> None:
    section = typing.get_type_hints(Settings)[row.section]
    hint = typing.get_type_hints(section)[row.key]
    if row.kind == "choice":
        assert typing.get_args(hint) == row.choices
    else:
        assert hint == TYPES[row.kind]


def test_the_roles_of_the_row_are_those_of_the_type() -> None:
    [row] = [row for row in SETTINGS if row.name == "auth.tokens"]
    assert row.choices == typing.get_args(typing.get_type_hints(config.AuthToken)["role"])


def test_names_flags_and_variables_are_told_apart() -> None:
    names = [row.name for row in SETTINGS]
    variables = [variable for row in SETTINGS for variable in row.all_variables]
    assert len(names) == len(set(names))
    assert len(variables) == len(set(variables))
    for program in PROGRAMS:
        flags = [parameter(flag) for row in SETTINGS if (flag := row.flag_of(program))]
        assert len(flags) == len(set(flags))
        assert "config" not in flags


def test_every_row_says_its_meaning_in_one_sentence_and_knows_its_programs() -> None:
    for row in SETTINGS:
        assert row.meaning[0].isupper(), row.name
        assert row.meaning.endswith("."), row.name
        assert row.meaning.count(". ") == 0, row.name
        assert set(row.programs) <= set(PROGRAMS), row.name
        assert set(row.flag_on) <= set(row.programs), row.name
        assert bool(row.derived) == (row.default is None), row.name
    assert {program for row in SETTINGS for program in row.programs} == set(PROGRAMS)


@pytest.mark.parametrize("program", FLAGS_0_2)
def test_every_flag_of_0_2_is_still_there(program: str) -> None:
    offered = {option for param in command_of(program).params for option in param.opts}
    assert set(FLAGS_0_2[program].split()) <= offered


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_tells_every_flag_with_its_meaning_and_its_default(program: str) -> None:
    result = CliRunner().invoke(command_of(program), ["--help"], terminal_width=400)
    assert result.exit_code == 0
    text = " ".join(result.output.split())
    for row in SETTINGS:
        if row.flag_of(program):
            assert row.flag in text
            assert row.meaning in text
    if program == "turnstone-eval":
        assert "[default: 0.7]" in text


def test_options_of_the_command_itself_stay_its_own() -> None:
    result = CliRunner().invoke(command_of("turnstone"), ["--resume", "x", "--model", "m"])
    assert result.output == "['model'] x\n"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--port", "http"], "'--port': \"http\"; it must be a whole number from 0 to 65535."),
        (["--base-url", "localhost"], "it must be a URL that begins with http:// or https://"),
        (["--reasoning-effort", "huge"], "'low', 'medium', 'high'"),
        (["--prot", "80"], "--port"),
    ],
)
def test_a_wrong_flag_is_a_usage_error_that_says_what_is_right(argv: list[str], said: str) -> None:
    result = CliRunner().invoke(command_of("turnstone-server"), argv)
    assert result.exit_code == 2
    assert said in result.output


def test_the_page_has_the_tables_that_the_settings_make() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == updated(page), "run: python -m turnstone.core.config.docs docs/configuration.md"


def test_a_page_without_room_for_a_table_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no block for flags, settings, variables"):
        updated("# Configuration\n")


def test_the_example_of_the_page_loads(tmp_path: Path) -> None:
    example = PAGE.read_text(encoding="utf-8").split("```toml\n")[1].split("```")[0]
    file = tmp_path / "config.toml"
    file.write_text(example)
    file.chmod(0o600)
    settings = load_settings("turnstone", flags={"config": file}, env={}, home=tmp_path)
    assert settings.tools.auto_approve_tools == ("write_file",)
    assert settings.auth.tokens[0].role == "read"


def test_settings_load_without_the_command_line_library() -> None:
    program = (
        "import sys, turnstone.core.config as c;"
        "c.load_settings('turnstone', flags={}, env={'HOME': '/nowhere'});"
        "sys.exit('click' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    settings = load_settings("turnstone", flags={}, env={}, home=tmp_path)
    with pytest.raises(AttributeError):
        settings.server.port = 1  # type: ignore[misc]
    changed = msgspec.structs.replace(settings.server, port=1)
    assert (settings.server.port, changed.port) == (8080, 1)
