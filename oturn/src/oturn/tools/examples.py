"""Two tools to try the runtime with, and to read before writing one."""

from __future__ import annotations

import os
import platform
import socket
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import httpx2

from oturn.tools.base import BaseTool, ToolExecutionError, ToolType

#: Seconds that the weather service gets.
WEATHER_TIMEOUT = 10.0
#: What is shown of the environment when asked for; nothing else of it may hold no secret.
SHOWN_VARIABLES = ("HOME", "SHELL", "USER")


class WeatherTool(BaseTool):
    """The present weather, from wttr.in (a public service that needs no key)."""

    name = "get_weather"
    description = "Get the current weather at a place."
    base_url: ClassVar[str] = "https://wttr.in"

    @property
    def schema(self) -> dict[str, Any]:
        return self.get_schema()

    @property
    def tool_type(self) -> ToolType:
        return ToolType.ASYNC

    @classmethod
    def get_schema(cls) -> dict[str, Any]:
        return _function_tool(
            cls.name,
            cls.description,
            {
                "location": {"type": "string", "description": "City or place, e.g. Tokyo."},
                "lang": {"type": "string", "description": "Language code of the description."},
            },
            required=["location"],
        )

    @classmethod
    def validate_arguments(cls, args: dict[str, Any]) -> str | None:
        location = args.get("location")
        if not isinstance(location, str) or not location.strip():
            return "'location' must name a place."
        if not isinstance(args.get("lang"), str | None):
            return "'lang' must be a language code."
        return None

    @classmethod
    def get_preview(cls, args: dict[str, Any]) -> str | None:
        location = str(args.get("location") or "").strip()
        return f"Weather in {location}" if location else None

    @staticmethod
    async def execute(location: str, lang: str | None = None) -> dict[str, Any]:
        url = f"{WeatherTool.base_url}/{quote(location.strip(), safe='')}"
        headers = {"User-Agent": "oturn-weather/0.1"}
        query = {"format": "j1", "lang": lang or "en"}
        try:
            async with httpx2.AsyncClient(timeout=WEATHER_TIMEOUT, headers=headers) as client:
                response = await client.get(url, params=query)
                response.raise_for_status()
            now = response.json()["current_condition"][0]
            words = now["weatherDesc"][0]["value"]
        except httpx2.HTTPError as problem:
            raise ToolExecutionError(f"The weather service did not answer: {problem}") from problem
        except (ValueError, LookupError, TypeError) as problem:
            raise ToolExecutionError("The weather service answered with no weather.") from problem
        return {
            "location": location,
            "temperature_c": now.get("temp_C"),
            "feels_like_c": now.get("FeelsLikeC"),
            "humidity": now.get("humidity"),
            "wind_kmph": now.get("windspeedKmph"),
            "description": words,
            "source": "wttr.in",
        }


class HostConfigTool(BaseTool):
    """What this machine is."""

    name = "get_host_config"
    description = "Get facts about the machine that this program runs on."

    @property
    def schema(self) -> dict[str, Any]:
        return self.get_schema()

    @classmethod
    def get_schema(cls) -> dict[str, Any]:
        include_env = {
            "type": "boolean",
            "description": "Also tell the home folder, shell and user.",
        }
        return _function_tool(cls.name, cls.description, {"include_env": include_env}, required=[])

    @classmethod
    def validate_arguments(cls, args: dict[str, Any]) -> str | None:
        if not isinstance(args.get("include_env"), bool | None):
            return "'include_env' must be true or false."
        return None

    @classmethod
    def get_preview(cls, args: dict[str, Any]) -> str | None:
        return f"Facts about this machine (include_env={bool(args.get('include_env'))})"

    @staticmethod
    def execute(include_env: bool | None = None) -> dict[str, Any]:
        facts: dict[str, Any] = {
            "hostname": socket.gethostname(),
            "fqdn": socket.getfqdn(),
            "platform": platform.platform(),
            "system": platform.system(),
            "release": platform.release(),
            "machine": platform.machine(),
            "processor": platform.processor(),
            "python_version": platform.python_version(),
            "cpu_count_logical": os.cpu_count(),
            "loadavg": _load(),
            "cpu_count_physical": _cores(Path("/proc/cpuinfo")),
        }
        if include_env:
            facts["env"] = {name: os.environ.get(name) for name in SHOWN_VARIABLES}
        return facts


EXAMPLE_TOOLS: list[type[BaseTool]] = [WeatherTool, HostConfigTool]


def _function_tool(
    name: str, description: str, properties: dict[str, Any], *, required: list[str]
) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": required}
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


def _load() -> tuple[float, float, float] | None:
    try:
        return os.getloadavg()
    except (OSError, AttributeError):
        return None


def _cores(cpuinfo: Path) -> int | None:
    """Physical cores as Linux lists them: distinct pairs of package and core."""
    try:
        blocks = cpuinfo.read_text(encoding="utf-8", errors="replace").split("\n\n")
    except OSError:
        return None
    found = set()
    for block in blocks:
        facts = dict(line.split(":", 1) for line in block.splitlines() if ":" in line)
        facts = {name.strip(): value.strip() for name, value in facts.items()}
        if "core id" in facts:
            found.add((facts.get("physical id"), facts["core id"]))
    return len(found) or None
