"""Models by name: sections of the file, checked like all others."""

from __future__ import annotations

from pathlib import Path

import pytest

from turnstone.core.config import Settings, describe, load_settings
from turnstone.core.errors import ConfigurationError

TWO = """\
[models.big]
base_url = "https://models.example/v1/"
api_key = "hunter-1"
model = "big-70b"
context_window = 200000
max_concurrent = 4
price_input = 3
price_output = 15.5

[models.small-one]
model = "small"

[roles]
agent = "small-one"
"""


def load(path: Path, text: str, **env: str) -> Settings:
    file = path / "config.toml"
    file.write_text(text)
    file.chmod(0o600)
    return load_settings("turnstone", flags={"config": file}, env=env, home=path, cwd=path)


def refused(path: Path, text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(path, text)
    return str(caught.value).replace(str(path), "")


def test_each_section_is_a_model_with_its_values_and_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path, TWO)
    big, small = settings.models
    assert (big.name, big.model, big.base_url) == ("big", "big-70b", "https://models.example/v1")
    assert (big.context_window, big.max_concurrent) == (200_000, 4)
    assert (big.price_input, big.price_output) == (3.0, 15.5)
    assert (small.name, small.model, small.base_url, small.context_window) == (
        "small-one",
        "small",
        "",
        0,
    )
    assert settings.roles.agent == "small-one"
    assert settings.roles.chat == ""
    assert load(tmp_path, "").models == ()


def test_their_sources_are_told_and_their_keys_are_masked(tmp_path: Path) -> None:
    settings = load(tmp_path, TWO)
    assert "hunter" not in repr(settings)
    assert settings.secrets() == ["hunter-1"]
    assert str(settings.source("models.big.model")).endswith("config.toml:4")
    assert settings.given("models.big.model")
    assert not settings.given("models.small-one.base_url")
    rows = {row.name: row.value for row in describe(settings)}
    assert rows["models.big.api_key"] == '"********"'
    assert rows["models.small-one.model"] == '"small"'


def test_a_variable_overrides_a_key_of_a_model_that_the_file_names(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        TWO,
        TURNSTONE_MODELS_SMALL_ONE_API_KEY="hunter-2",
        TURNSTONE_MODELS_HUGE_MODEL="x",
    )
    assert settings.models[1].api_key.reveal() == "hunter-2"
    assert "TURNSTONE_MODELS_HUGE_MODEL" in " ".join(settings.warnings)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[models.big]\nmodle = "x"\n', 'has no key "modle"'),
        ('[models.big]\nmodel = ""\n', "[models.big] names no model"),
        ("[models.big]\nmax_concurrent = 1\n", "[models.big] names no model"),
        ("[models.big]\n", "is empty; it must say model ="),
        ('[models.Big]\nmodel = "x"\n', "it must be of lower-case letters"),
        ('[models.default]\nmodel = "x"\n', "that is the name of the model of [api] and [model]"),
        ('[models]\nbig = "x"\n', "models.big in /config.toml:2 must be a section of its own"),
        ('models = "x"\n', "must be sections, one for each model"),
        (
            '[models.big]\nmodel = "x"\nprice_input = -1\n',
            "models.big.price_input is -1.0 in /config.toml:3; it must be a number not below 0",
        ),
        ('[models.big]\nmodel = "x"\nbase_url = "x"\n', "models.big.base_url is"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    assert said in refused(tmp_path, text)
