"""The example tools: the weather over loopback, and facts about this machine."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from typing import Any

import pytest

from oturn import EXAMPLE_TOOLS, HostConfigTool, WeatherTool
from weather import WeatherService


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
    assert result.content == {
        "location": " São Paulo/BR ",
        "temperature_c": "18",
        "feels_like_c": "17",
        "humidity": "60",
        "wind_kmph": "11",
        "description": "Partly cloudy",
        "source": "wttr.in",
    }
    assert service.paths == ["/S%C3%A3o%20Paulo%2FBR?format=j1&lang=pt"]
    assert service.agents == ["oturn-weather/0.1"]


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
    facts = (await HostConfigTool.run({})).content
    assert facts["python_version"] == platform.python_version()
    assert "env" not in facts
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
