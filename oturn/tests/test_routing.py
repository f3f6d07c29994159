"""From a configuration to the transport it describes: known providers, keys, LiteLLM or not."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from modelserver import ModelServer, text
from oturn import OturnConfig, OturnModelConfig, OturnProviderConfig
from oturn.errors import ConfigError, MissingExtraError
from oturn.runtime_config import OturnAgentConfig
from oturn.transport.base import Finished, ModelRequest
from oturn.transport.choose import sent_model, transport_for
from oturn.transport.litellm import LiteLLMTransport
from oturn.transport.openai import OpenAITransport
from oturn.transport.providers import KNOWN
from oturn.transport.routing import PROVIDERS, Route, model_as_sent, route, server_and_model


def config(model: str, api_base: str = "", api_key: str | None = None) -> OturnConfig:
    return OturnConfig(
        model, OturnProviderConfig(api_base, api_key), OturnModelConfig(), OturnAgentConfig()
    )


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_a_known_provider_is_found_by_its_prefix_with_its_key(name: str) -> None:
    known = KNOWN[name]
    environment = {known.key_env[0]: " secret "}
    found = route(f"{name}/some/model", "", None, environment)
    assert found == Route(known.base_url, "some/model", "secret")
    assert model_as_sent(f"{name}/some/model", "") == "some/model"


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_every_row_of_the_table_is_whole(name: str) -> None:
    known = KNOWN[name]
    assert known.name == name
    local = known.base_url.startswith("http://localhost:")
    assert local is not known.needs_key
    assert known.base_url.startswith(("https://", "http://localhost:"))
    assert not known.base_url.endswith("/")
    assert known.source.startswith("https://")
    assert all(re.fullmatch(r"[A-Z_]+", env) for env in (*known.key_env, *known.base_env))


@pytest.mark.parametrize("name", sorted(n for n, known in KNOWN.items() if known.needs_key))
def test_a_hosted_provider_without_a_key_is_told_in_one_sentence(name: str) -> None:
    variable = KNOWN[name].key_env[0]
    with pytest.raises(ConfigError, match=f"no API key .* set api_key .* {variable}"):
        route(f"{name}/m", "", "  ", {variable: ""})


def test_a_local_server_needs_no_key_and_takes_its_address_from_the_environment() -> None:
    assert route("ollama/qwen3", "", None, {}).base_url == "http://localhost:11434/v1"
    environment = {"OLLAMA_API_BASE": "http://box:11434/"}
    assert route("ollama/qwen3", "", None, environment).base_url == "http://box:11434/v1"
    environment = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "https://proxy/v1"}
    assert route("openai/m", "", None, environment) == Route("https://proxy/v1", "m", "k")


def test_a_key_of_the_configuration_comes_before_that_of_the_environment() -> None:
    assert route("groq/m", "", "mine", {"GROQ_API_KEY": "other"}).api_key == "mine"


def test_a_key_of_the_environment_is_never_sent_to_an_address_that_api_base_names() -> None:
    found = route("openai/m", "http://localhost:8000/v1", None, {"OPENAI_API_KEY": "secret"})
    assert found == Route("http://localhost:8000/v1", "m", None)


def test_a_route_does_not_show_its_key() -> None:
    assert "secret" not in repr(Route("https://x/v1", "m", "secret"))


@pytest.mark.parametrize(
    ("model", "sent"),
    [
        ("openai/gpt-5", "gpt-5"),
        ("openai/openai/gpt-oss-20b", "openai/gpt-oss-20b"),
        ("cerebras/llama", "llama"),
        ("openai_like/m", "m"),
        ("Qwen/Qwen3-8B", "Qwen/Qwen3-8B"),
        ("anthropic/claude", "anthropic/claude"),  # as OpenRouter names it
        ("plain", "plain"),
    ],
)
def test_with_api_base_the_prefix_of_a_provider_is_not_sent(model: str, sent: str) -> None:
    base = "https://gateway.example/v1"
    assert server_and_model(model, base) == (base, sent)
    assert route(model, base, "k", {}) == Route(base, sent, "k")
    assert model_as_sent(model, base) == sent


@pytest.mark.parametrize(
    ("base", "used"),
    [
        ("http://localhost:11434", "http://localhost:11434/v1"),
        ("http://localhost:11434/", "http://localhost:11434/v1"),
        ("http://localhost:11434/v1", "http://localhost:11434/v1"),
        ("http://box/ollama/v1/", "http://box/ollama/v1/"),
        ("no address", "no address"),
    ],
)
def test_the_bare_address_of_an_ollama_leads_to_its_compatible_endpoint(
    base: str, used: str
) -> None:
    assert server_and_model("ollama_chat/qwen3", base) == (used, "qwen3")
    assert server_and_model("openai/qwen3", base) == (base, "qwen3")


@pytest.mark.parametrize("model", ["gpt-5", "cohere/command", "azure/deployment"])
def test_what_no_row_knows_is_left_to_litellm_under_its_whole_name(model: str) -> None:
    assert route(model, "", "k", {}) == Route(None, model, "k")
    assert model_as_sent(model, "") == model
    assert model.partition("/")[0] not in PROVIDERS


def test_a_protocol_of_its_own_is_left_to_litellm_even_with_an_address() -> None:
    base = "https://mine.openai.azure.com"
    assert route("azure/deployment", base, "k", {}) == Route(None, "azure/deployment", "k")
    assert model_as_sent("azure/deployment", base) == "azure/deployment"


async def test_the_transport_of_a_configuration_reaches_its_server() -> None:
    with ModelServer(lambda _: text("hello"), api_key="k") as server:
        settings = config("openai/fake", f" {server.base_url} ", "k")
        transport = transport_for(settings, {})
        request = ModelRequest(sent_model(settings), [{"role": "user", "content": "hi"}])
        items = [item async for item in transport.stream(request)]
        await transport.aclose()
        assert isinstance(items[-1], Finished)
        assert server.requests[0]["model"] == "fake"


def test_the_transport_of_a_known_provider_asks_that_provider() -> None:
    transport = transport_for(config("deepseek/deepseek-chat"), {"DEEPSEEK_API_KEY": "k"})
    assert isinstance(transport, OpenAITransport)
    assert transport.url == "https://api.deepseek.com/chat/completions"


def test_without_litellm_an_unknown_provider_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "litellm", None)
    with pytest.raises(MissingExtraError) as told:
        transport_for(config("cohere/command"), {})
    sentence = str(told.value)
    assert "'cohere/command'" in sentence
    assert "set api_base" in sentence
    assert sentence.endswith('pip install "oturn[litellm]".')


def test_with_litellm_an_unknown_provider_is_asked_through_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "litellm.py").touch()
    assert isinstance(transport_for(config("cohere/command"), {}), LiteLLMTransport)
