"""Which model a node asks: the one that was named, one on this machine, or practice."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from modelserver import ModelServer
from modelserver.plans import echo
from turnstone.core.endpoint import connect, look_around
from turnstone.core.errors import ConfigurationError, ModelUnavailable

NOBODY = "http://127.0.0.1:9/v1"


async def test_the_first_model_that_the_endpoint_lists_is_taken_with_its_window() -> None:
    with ModelServer(echo, model="first", context_window=8192) as model:
        found = await connect(model.base_url)
        await found.transport.aclose()

    assert found.model == "first"
    assert found.window is not None
    assert found.window.tokens == 8192
    assert model.base_url in found.found


async def test_a_model_that_is_not_there_is_told_with_those_that_are() -> None:
    with ModelServer(echo, model="first") as model:
        with pytest.raises(ModelUnavailable, match=r"no model 'second'; it lists: first"):
            await connect(model.base_url, model="second")


async def test_a_refused_key_is_told() -> None:
    with ModelServer(echo, api_key="right") as model:
        with pytest.raises(ModelUnavailable, match="API key"):
            await connect(model.base_url, "wrong")


async def test_nothing_there_and_no_url_at_all_are_told_apart() -> None:
    with pytest.raises(ModelUnavailable, match="Nothing answers"):
        await connect(NOBODY)
    with pytest.raises(ConfigurationError, match="no web address"):
        await connect("localhost:8000")


async def test_looking_around_finds_a_model_on_this_machine() -> None:
    with ModelServer(echo, model="here") as model:
        found = await look_around(usual={"nobody": NOBODY, "somebody": model.base_url})
        await found.transport.aclose()

    assert found.model == "here"
    assert "somebody" in found.found
    assert not found.practice


async def test_looking_around_never_takes_the_node_itself_for_a_model() -> None:
    with ModelServer(echo, model="here") as model:
        own_port = urlsplit(model.base_url).port
        assert own_port is not None
        found = await look_around(own_port, usual={"itself": model.base_url})

        assert model.requests == []
    assert found.practice


async def test_where_there_is_no_model_the_practice_model_answers() -> None:
    found = await look_around(usual={"nobody": NOBODY})

    assert found.practice
    assert found.model == "practice"
