"""What [web] makes of the web tools: where they may go, who reads pages, who searches."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelserver import ModelServer
from modelserver.plans import echo
from oturn.transport.openai import OpenAITransport
from support.web import reply, web_server
from turnstone.core.config import Settings, load_settings
from turnstone.core.endpoint import Endpoint, practice
from turnstone.core.errors import ConfigurationError, ToolRefused
from turnstone.core.tool import ToolContext
from turnstone.sandbox import Unconfined
from turnstone.tools import load_tools
from turnstone.wiring import find_model, web_access


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint(OpenAITransport("http://127.0.0.1:9/v1"), "m", "nowhere")


def settings(folder: Path, text: str = "", **variables: str) -> Settings:
    file = folder / "config.toml"
    file.write_text(text)
    env = {"HOME": str(folder), "TURNSTONE_CONFIG": str(file), **variables}
    return load_settings("turnstone", flags={}, env=env)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("", ""),
        ('[api]\ntavily_key = "k"', "api.tavily.com"),
        ('[web]\nsearxng_url = "http://searx.lan:8888/x/"', "searx.lan"),
        ('[api]\ntavily_key = "k"\n[web]\nsearxng_url = "http://searx.lan"', "api.tavily.com"),
        ('[api]\ntavily_key = "k"\n[web]\nsearch = "provider"', "127.0.0.1"),
        (
            '[api]\ntavily_key = "k"\n[web]\nsearch = "searxng"\nsearxng_url = "http://s.lan"',
            "s.lan",
        ),
    ],
)
def test_who_searches_is_what_the_settings_say(
    text: str, host: str, endpoint: Endpoint, tmp_path: Path
) -> None:
    service = web_access(settings(tmp_path, text), endpoint).service

    assert (service.host if service else "") == host


def test_the_variable_of_tavily_is_enough(endpoint: Endpoint, tmp_path: Path) -> None:
    service = web_access(settings(tmp_path, TAVILY_API_KEY="k"), endpoint).service

    assert service is not None
    assert service.name == "Tavily"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('search = "tavily"', r"\[web\] search is tavily, and \[api\] tavily_key is not set"),
        ('search = "searxng"', r"\[web\] search is searxng, and \[web\] searxng_url is not set"),
        ('allow_private = ["10.0.0.1/8"]', r"\[web\] allow_private has '10.0.0.1/8'"),
        ('ports = ["http"]', r"\[web\] ports has 'http'"),
    ],
)
def test_settings_that_cannot_be_are_refused_at_the_start(
    text: str, said: str, endpoint: Endpoint, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        web_access(settings(tmp_path, f"[web]\n{text}"), endpoint)


def test_the_practice_model_searches_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no provider"):
        web_access(settings(tmp_path, '[web]\nsearch = "provider"'), practice())


async def test_what_a_person_has_opened_is_fetched_and_its_neighbour_is_not(
    tmp_path: Path, context: ToolContext
) -> None:
    async with web_server({"/": reply("inner")}) as server:
        opened = f'[web]\nallow_private = ["127.0.0.1"]\nports = ["{server.port}"]'
        with ModelServer(echo, model="m") as model:
            text = f'[api]\nbase_url = "{model.base_url}"\n{opened}'
            found = settings(tmp_path, text)
            endpoint = await find_model(found)
            tool = load_tools(Unconfined(), web=web_access(found, endpoint))["web_fetch"]
            prepared = await tool.prepare({"url": server.url(), "question": "What?"}, context)
            result = await tool.run(prepared, context, lambda _: None)
            await endpoint.transport.aclose()
        with pytest.raises(ToolRefused, match="a loopback address"):
            url = server.url(host="127.0.0.2")
            await tool.prepare({"url": url, "question": "What?"}, context)

    assert result.status == "ok"
    assert "inner" in result.output


async def test_the_tools_of_a_node_that_says_nothing_reach_public_addresses_only(
    context: ToolContext,
) -> None:
    tools = load_tools(Unconfined())

    with pytest.raises(ToolRefused, match="a private address"):
        await tools["web_fetch"].prepare({"url": "http://10.0.0.1/", "question": "x"}, context)
    with pytest.raises(ToolRefused, match="no search service is set up"):
        await tools["web_search"].prepare({"query": "x"}, context)
    assert tools["web_fetch"].spec.untrusted
    assert tools["web_search"].spec.untrusted
    assert not tools["read_file"].spec.untrusted
