"""The configuration file: which one is read, and what is said of mistakes in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnstone.core.config import SETTINGS, Setting, Settings, load_settings
from turnstone.core.config.tomlfile import read_config_file
from turnstone.core.errors import ConfigurationError

#: The example of the README of 0.2, as it stands there.
README_0_2 = """\
[api]
base_url = "http://localhost:8000/v1"
api_key = ""
tavily_key = ""

[model]
name = ""              # empty = auto-detect
temperature = 0.5
reasoning_effort = "medium"

[tools]
timeout = 30
skip_permissions = false

[server]
host = "0.0.0.0"
port = 8080

[redis]
host = "localhost"
port = 6379
password = ""

[bridge]
server_url = "http://localhost:8080"
node_id = ""           # empty = hostname_xxxx

[console]
host = "0.0.0.0"
port = 8090
url = "http://localhost:8090"  # used by CLI /cluster commands
poll_interval = 10
"""

Load = Callable[..., Settings]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


@pytest.fixture
def load(file: Path, tmp_path: Path) -> Load:
    def load(text: str | bytes, **env: str) -> Settings:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        file.chmod(0o600)
        return load_settings(
            "turnstone-server", flags={"config": str(file)}, env=env, home=tmp_path, cwd=tmp_path
        )

    return load


@pytest.fixture
def refused(load: Load) -> Callable[..., str]:
    def refused(text: str | bytes, **env: str) -> str:
        with pytest.raises(ConfigurationError) as caught:
            load(text, **env)
        return str(caught.value)

    return refused


def test_the_file_of_the_0_2_readme_loads_as_it_stands(load: Load) -> None:
    settings = load(README_0_2)
    assert settings.server.host == "0.0.0.0"
    assert settings.console.poll_interval == 10.0
    assert settings.console.url == "http://localhost:8090"
    assert settings.model.name == ""
    assert not settings.api.api_key
    assert settings.warnings == ()


def test_tokens_stand_in_tables_of_their_own(load: Load) -> None:
    settings = load(
        '[[auth.tokens]]\nvalue = "abc"\nrole = "full"\n[[auth.tokens]]\nvalue = "def"\n'
    )
    tokens = [(token.value.reveal(), token.role) for token in settings.auth.tokens]
    assert tokens == [("abc", "full"), ("def", "read")]


def test_a_missing_file_is_no_mistake_unless_it_was_named(tmp_path: Path) -> None:
    def load(flags: dict[str, object], env: dict[str, str]) -> Settings:
        return load_settings("turnstone", flags=flags, env=env, home=tmp_path, cwd=tmp_path)

    assert load({}, {}).file is None
    with pytest.raises(ConfigurationError, match=r"no configuration file .*mine\.toml, which --c"):
        load({"config": "mine.toml"}, {})
    with pytest.raises(ConfigurationError, match=r"no configuration .*the variable TURNSTONE_CONF"):
        load({}, {"TURNSTONE_CONFIG": "~/mine.toml"})


def test_the_flag_names_the_file_before_the_variable_does(load: Load, file: Path) -> None:
    settings = load("", TURNSTONE_CONFIG="/does/not/exist.toml")
    assert settings.file == file


def test_a_directory_is_no_configuration_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be read: Is a directory\."):
        load_settings("turnstone", flags={"config": str(tmp_path)}, env={}, home=tmp_path)


def test_without_a_home_only_what_needs_one_is_missing(tmp_path: Path) -> None:
    settings = load_settings("turnstone", flags={"store": "s.db"}, env={}, cwd=tmp_path)
    assert settings.store.path == tmp_path / "s.db"
    with pytest.raises(
        ConfigurationError, match=r"path is not set and neither is HOME; .*--store FILE"
    ):
        load_settings("turnstone", flags={}, env={}, cwd=tmp_path)
    with pytest.raises(ConfigurationError, match=r'store\.path is "~/x" .* HOME is not set\.'):
        load_settings("turnstone", flags={"store": "~/x"}, env={}, cwd=tmp_path)
    load_settings("turnstone-bridge", flags={}, env={}, cwd=tmp_path)  # it has no store


def test_bad_toml_is_named_with_file_and_line(refused: Callable[..., str], file: Path) -> None:
    said = refused('[api]\nbase_url = "http://localhost:1"\n[model]\nname = gpt\n')
    assert said.startswith(f"The configuration file {file} is not valid TOML at line 4: ")
    assert '"value"' in said


def test_toml_that_stops_too_early_is_named_with_its_last_line(
    refused: Callable[..., str], file: Path
) -> None:
    assert f"{file} is not valid TOML at line 2" in refused('[api]\nbase_url = "http')


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 5000])
def test_toml_that_is_too_much_for_the_parser_is_named(
    value: str, refused: Callable[..., str], file: Path
) -> None:
    assert f"{file} is not valid TOML" in refused(f"[server]\nport = {value}\n")


def test_a_file_that_is_no_text_is_named(refused: Callable[..., str], file: Path) -> None:
    assert f"{file} is not UTF-8 text" in refused(b'[api]\nbase_url = "\xff"\n')


def test_a_byte_order_mark_is_no_mistake(load: Load) -> None:
    assert load(b"\xef\xbb\xbf[server]\nport = 1\n").server.port == 1


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("[sever]\nport = 1\n", 1, "no section [sever], which stands in {}; did you mean [server]"),
        (
            "[zzz]\n",
            1,
            "no section [zzz], which stands in {}; there are api, model, roles, session,",
        ),
        ("[api]\n\nbase_ulr = 1\n", 3, '[api] has no key "base_ulr", which stands in {}; did you'),
        ("[api]\n\nbase_ulr = 1\n", 3, 'did you mean "base_url"?'),
        ("[api]\nheartbeat_ttl = 1\n", 2, "which stands in {}; it belongs in [bridge]."),
        ("[redis]\nzzz = 1\n", 2, "in {}; there are host, port, user, password, prefix, db, tls,"),
        ("base_url = 1\n", 1, 'key "base_url" in {} stands in no section; put it below [api]'),
        ("zzz = 1\n", 1, "stands in no section; put it below the section it belongs to"),
        ("api = 1\n", 1, "api in {} must be a section; write [api] on a line of its own"),
        ("[[api]]\nbase_url = 1\n", 1, "api in {} must be a section; write [api]"),
    ],
)
def test_what_is_not_known_is_named_with_its_place_and_what_was_meant(
    text: str, line: int, said: str, refused: Callable[..., str], file: Path
) -> None:
    assert said.format(f"{file}:{line}") in refused(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[server]\nport = "80"', 'server.port is "80" in {}:2; it must be a whole number from 0'),
        ("[server]\nport = 65536", "server.port is 65536 in {}:2; it must be a whole number"),
        ("[server]\nport = 80.0", "server.port is 80.0 in {}:2"),
        ("[server]\nport = true", "server.port is true in {}:2"),
        ('[server]\nhost = ""', 'server.host is "" in {}:2; it must be a text that is not empty.'),
        ("[server]\nhost = 1", "server.host is 1 in {}:2; it must be a text"),
        ("[server]\nqueue = 1", "server.queue is 1 in {}:2; it must be true or false."),
        ('[server]\nallowed_hosts = "a"', 'server.allowed_hosts is "a" in {}:2; it must be a list'),
        ('[server]\nallowed_hosts = ["a", 1]', 'server.allowed_hosts is ["a", 1] in {}:2'),
        ("[model]\ntemperature = nan", "model.temperature is nan in {}:2; it must be a number"),
        ("[model]\ntemperature = 2.5", "a number from 0 to 2."),
        ("[model]\ntemperature = 1" + "0" * 400, "temperature is a number of more than eighteen"),
        ("[tools]\nagent_max_turns = -1" + "0" * 30, "more than eighteen"),
        ('[server]\nport = "\\u001b[2J"', r'server.port is "\u001b[2J" in {}:2'),
        ('[server]\nport = "\u202e80"', r'server.port is "\u202e80" in {}:2'),
        ("[server]\nport = [[1, 1979-05-27]]", 'server.port is [[1, "1979-05-27"]] in {}:2'),
        ("[model]\nname = 2026-11-21", "model.name is 2026-11-21 in {}:2; it must be a text."),
        ('[model]\nreasoning_effort = "huge"', "it must be one of low, medium, high."),
        ("[tools]\ntimeout = 0", "tools.timeout is 0 in {}:2; it must be a whole number not below"),
        ('[api]\nbase_url = "localhost:8000"', "api.base_url is"),
        ('[api]\nbase_url = "http://a:99999"', "must be a URL that begins with http://"),
        ('[api]\nbase_url = "http://a b/"', "must be a URL that begins with http://"),
        ('[api]\nbase_url = ""', 'api.base_url is "" in {}:2; it must be a URL'),
        ('[store]\npath = ""', 'store.path is "" in {}:2; it must be a path.'),
        ('[store]\npath = "a\\u0000b"', "it must be a path."),
        ("[auth]\ntokens = 1", "it must be a list of tokens, each with a value and a role"),
        ('[[auth.tokens]]\nrole = "full"', "auth.tokens is a token without a value in {}:1"),
        ('[[auth.tokens]]\nvalue = "v"\nrole = "root"', "auth.tokens is a token with another role"),
        ('[[auth.tokens]]\nvalue = "v"\nrule = "full"', 'a token with the unknown key "rule"'),
        ('[auth]\ntokens = ["v"]', "auth.tokens is a list with something else in it in {}:2"),
    ],
)
def test_a_wrong_value_is_named_with_its_place_and_what_is_right(
    text: str, said: str, refused: Callable[..., str], file: Path
) -> None:
    assert said.format(file) in refused(text)


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("TURNSTONE_SERVER_PORT", "tcp://10.0.0.1:80"),
        ("TURNSTONE_SERVER_PORT", "1_000"),
        ("TURNSTONE_SERVER_QUEUE", "maybe"),
        ("TURNSTONE_MODEL_TEMPERATURE", "inf"),
        ("TURNSTONE_MODEL_TEMPERATURE", "warm"),
        ("TURNSTONE_MODEL_REASONING_EFFORT", "huge"),
        ("TURNSTONE_API_BASE_URL", "localhost"),
        ("LLM_BASE_URL", "localhost"),
        ("TURNSTONE_AUTH_ENABLED", "si"),
        ("TURNSTONE_AUTH_TOKENS", "root:abc"),
        ("TURNSTONE_MODEL_NAME", "caf\udce9"),
        ("TURNSTONE_SERVER_PORT", "9" * 30),
    ],
)
def test_a_wrong_variable_is_named(variable: str, text: str, refused: Callable[..., str]) -> None:
    said = refused("", **{variable: text})
    assert f" in the variable {variable}; it must be " in said


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, True) for text in ("1", "TRUE", "yes", "On", " true ")),
        *((text, False) for text in ("0", "false", "NO", "off")),
    ],
)
def test_the_spellings_of_true_and_false(text: str, value: bool, load: Load) -> None:
    assert load("", TURNSTONE_SERVER_QUEUE=text).server.queue is value


def test_choices_are_taken_in_either_case(load: Load) -> None:
    assert load('[bridge]\nlog_level = "debug"\n').bridge.log_level == "DEBUG"


def test_the_closing_slash_of_an_address_is_dropped(load: Load) -> None:
    assert load('[bridge]\nserver_url = "http://a:1/"\n').bridge.server_url == "http://a:1"


def test_several_mistakes_are_told_at_once(refused: Callable[..., str]) -> None:
    said = refused(
        "[server]\nport = -1\nprot = 2\n[sever]\n", TURNSTONE_REDIS_DB="x", TURNSTONE_REDIS_TLS="y"
    )
    assert said.startswith("5 settings are wrong:\n  - ")
    assert all(name in said for name in ("port", "prot", "[sever]", "redis.db", "redis.tls"))


def test_a_mistake_in_the_file_is_told_even_where_it_is_overridden(
    refused: Callable[..., str],
) -> None:
    assert "server.port is -1" in refused("[server]\nport = -1\n", TURNSTONE_SERVER_PORT="1")


def test_a_misspelt_variable_is_a_warning(load: Load) -> None:
    settings = load("", TURNSTONE_SERVER_PROT="1", TURNSTONE_SEVER_PORT="1", TURNSTONE_API_X="1")
    meant = "is no setting and is ignored; did you mean TURNSTONE_SERVER_PORT?"
    assert settings.warnings == (
        "The variable TURNSTONE_API_X is no setting and is ignored.",
        f"The variable TURNSTONE_SERVER_PROT {meant}",
        f"The variable TURNSTONE_SEVER_PORT {meant}",
    )


def test_variables_of_others_are_none_of_our_business(load: Load, file: Path) -> None:
    others = {
        "TURNSTONE_TEST_SIZE": "long",
        "TURNSTONE_SERVER_SERVICE_HOST": "10.0.0.1",
        "TURNSTONE_SERVER_PORT_8080_TCP": "tcp://10.0.0.1:8080",
        "TURNSTONE_CONFIG": str(file),
        "PATH": "/bin",
    }
    assert load("", **others).warnings == ()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("# a\n[server] # b\n# port = 2\nport = 1\n", 4),
        ("[ server ]\n'port' = 1\n", 2),
        ("server.port = 1\n", 1),
        ('[session]\ninstructions = """\n[server]\nport = 2\n"""\n[server]\nport = 1\n', 7),
        ("[console]\nport = 5\n[server]\nport = 1\n", 4),
    ],
)
def test_the_line_of_a_setting_is_found_in_the_usual_spellings(
    text: str, line: int, load: Load, file: Path
) -> None:
    settings = load(text)
    assert settings.server.port == 1
    assert settings.source("server.port").where == f"{file}:{line}"


def test_a_spelling_whose_line_is_not_found_is_named_with_its_file(load: Load, file: Path) -> None:
    settings = load("server = { port = 1 }\n")
    assert settings.server.port == 1
    assert settings.source("server.port").where == str(file)


@given(text=st.text())
def test_whatever_stands_in_the_file_it_is_settings_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.mktemp("any") / "config.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        read_config_file(path)
    except ConfigurationError as error:
        assert str(path) in error.message


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(row=st.sampled_from(SETTINGS), given_=_VALUES)
def test_whatever_is_given_for_a_setting_it_is_a_value_or_a_sentence(
    row: Setting, given_: object
) -> None:
    try:
        settings = load_settings(
            "turnstone", flags={row.name: given_}, env={}, home=Path("/home"), cwd=Path("/cwd")
        )
    except ConfigurationError as error:
        assert row.name in error.message
    else:
        assert (given_ is None) == (settings.source(row.name).kind == "default")


@given(row=st.sampled_from(SETTINGS), text=st.text(min_size=1))
def test_whatever_stands_in_a_variable_it_is_a_value_or_a_sentence(row: Setting, text: str) -> None:
    try:
        settings = load_settings(
            "turnstone", flags={}, env={row.variable: text}, home=Path("/home"), cwd=Path("/cwd")
        )
    except ConfigurationError as error:
        assert row.variable in error.message
    else:
        assert settings.source(row.name).where == row.variable
