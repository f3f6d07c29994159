"""The example tools: the weather over loopback, and facts about this machine."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from typing import Any

import pytest

from oturn import EXAMPLE_TOOLS, BaseTool, HostConfigTool, WeatherTool
from weather import WeatherService

FACTS = [
    "hostname",
    "fqdn",
    "platform",
    "system",
    "release",
    "machine",
    "processor",
    "python_version",
    "cpu_count_logical",
    "loadavg",
    "cpu_count_physical",
]


@pytest.fixture
def public_url() -> Iterator[None]:
    kept = WeatherTool.base_url
    yield
    WeatherTool.base_url = kept


@pytest.mark.usefixtures("public_url")
async def test_the_weather_is_fetched_and_told_in_the_services_own_figures() -> None:
    with WeatherService() as service:
        WeatherTool.base_url = service.url
        result = await WeatherTool.run({"location": " São Paulo/BR ", "lang": "pt"})
        await WeatherTool.run({"location": "Tokyo", "lang": None})
    assert result.content == {
        "location": " São Paulo/BR ",
        "temperature_c": "18",
        "feels_like_c": "17",
        "humidity": "60",
        "wind_kmph": "11",
        "description": "Partly cloudy",
        "source": "wttr.in",
    }
    assert list(result.content)[-1] == "source"
    assert service.paths == [
        "/S%C3%A3o%20Paulo%2FBR?format=j1&lang=pt",
        "/Tokyo?format=j1&lang=en",
    ]
    assert service.agents == ["oturn-weather/0.1"] * 2


@pytest.mark.usefixtures("public_url")
@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [({}, 500, "did not answer"), ({"current_condition": []}, 200, "no weather"), (3, 200, "no")],
)
async def test_a_service_that_fails_is_told_in_a_sentence(
    answer: Any, status: int, said: str
) -> None:
    with WeatherService(answer, status) as service:
        WeatherTool.base_url = service.url
        result = await WeatherTool.run({"location": "Tokyo"})
    assert result.status == "failure"
    assert said in str(result.error)


@pytest.mark.parametrize(
    "args", [{}, {"location": " "}, {"location": 3}, {"location": "x", "lang": 3}]
)
async def test_a_place_must_be_named(args: dict[str, Any]) -> None:
    assert (await WeatherTool.run(args)).status == "failure"


async def test_the_machine_is_described_and_its_environment_only_when_asked() -> None:
    facts = (await HostConfigTool.run({"include_env": None})).content
    assert facts["python_version"] == platform.python_version()
    assert list(facts) == FACTS
    assert facts["loadavg"] is None or len(facts["loadavg"]) == 3
    assert list((await HostConfigTool.run({"include_env": False})).content) == FACTS
    assert list((await HostConfigTool.run({"include_env": True})).content) == [*FACTS, "env"]
    assert set((await HostConfigTool.run({"include_env": True})).content["env"]) == {
        "HOME",
        "SHELL",
        "USER",
    }
    assert not (await HostConfigTool.run({"include_env": "yes"})).success


def test_previews_tell_what_a_call_is_about() -> None:
    assert "Tokyo" in str(WeatherTool.get_preview({"location": " Tokyo "}))
    assert WeatherTool.get_preview({}) is None
    assert "True" in str(HostConfigTool.get_preview({"include_env": True}))
    assert list(EXAMPLE_TOOLS) == [WeatherTool, HostConfigTool]


def test_the_schemas_are_those_of_the_contract() -> None:
    def shape(tool: type[BaseTool]) -> dict[str, Any]:
        function = tool.get_schema()["function"]
        assert tool.get_schema()["type"] == "function"
        assert list(function) == ["name", "description", "parameters"]
        properties = function["parameters"]["properties"]
        assert function["description"]
        assert all(described["description"] for described in properties.values())
        kinds = {name: described["type"] for name, described in properties.items()}
        return {**function["parameters"], "properties": kinds, "name": function["name"]}

    assert shape(WeatherTool) == {
        "name": "get_weather",
        "type": "object",
        "properties": {"location": "string", "lang": "string"},
        "required": ["location"],
    }
    assert shape(HostConfigTool) == {
        "name": "get_host_config",
        "type": "object",
        "properties": {"include_env": "boolean"},
        "required": [],
    }
    assert WeatherTool().schema == WeatherTool.get_schema()
    assert HostConfigTool().schema == HostConfigTool.get_schema()
