"""The context window is found where a server tells it, and never made up."""

from __future__ import annotations

import pytest

from modelserver import ModelServer
from modelserver.plans import echo
from modelserver.server import TRAINED, Make
from oturn.errors import ConfigError
from oturn.transport.windows import Window, ask_window


@pytest.mark.parametrize(
    ("make", "found"),
    [
        ("llama.cpp", Window(4096, "/props")),
        ("ollama loaded", Window(4096, "/api/ps")),
        ("ollama set", Window(4096, "/api/show")),
        ("ollama", Window(4096, "/api/show", trained=True)),
        ("lm studio", Window(4096, "/api/v0/models")),
        ("plain", None),
    ],
)
async def test_a_server_is_asked_in_the_way_of_its_make(make: Make, found: Window | None) -> None:
    with ModelServer(echo, model="m", context_window=4096, make=make) as server:
        assert await ask_window(server.base_url, "m") == found


async def test_a_window_of_another_model_is_none() -> None:
    with ModelServer(echo, model="m", context_window=4096, make="ollama loaded") as server:
        assert await ask_window(server.base_url, "other") is None


async def test_what_the_model_was_made_for_is_told_only_where_nothing_else_is() -> None:
    with ModelServer(echo, model="m", context_window=4096, make="llama.cpp") as server:
        found = await ask_window(f"{server.base_url}/", "m")
    assert found is not None
    assert found.tokens < TRAINED
    assert not found.trained


async def test_a_server_that_is_not_there_tells_nothing_and_a_wrong_url_is_refused() -> None:
    assert await ask_window("http://127.0.0.1:9/v1", "m") is None
    with pytest.raises(ConfigError):
        await ask_window("localhost", "m")
