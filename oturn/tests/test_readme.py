"""The README keeps what it shows: its snippets run, and so does the program of 0.1's README."""

from __future__ import annotations

import ast
import asyncio
import dataclasses
import importlib
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from modelserver import ModelServer, Reply, call, calls, text
from oturn import (
    Context,
    Oturn,
    OturnAgentConfig,
    OturnConfig,
    OturnModelConfig,
    OturnProviderConfig,
)
from pages import PATIENCE, ROOT, SHOWN_SERVER, blocks_of, program_of, run
from weather import WeatherService

README = ROOT / "README.md"
MCP_SERVER = ROOT / "tests" / "mcp_server.py"
SHOWN = ["message_sent", "tool_call", "unanswered", "message_sent", "assistant_final"]

#: The minimal example of 0.1, as its README has it.
MINIMAL_0_1 = """\
import asyncio
from pathlib import Path

from oturn import (
    Oturn,
    OturnConfig,
    OturnProviderConfig,
    OturnModelConfig,
    OturnAgentConfig,
    Context,
    WeatherTool,
)


async def main() -> None:
    cfg = OturnConfig(
        model="<provider/model>",
        provider=OturnProviderConfig(api_key="<API_KEY>"),
        model_config=OturnModelConfig(max_output_tokens=4096, temperature=0.7),
        agent_config=OturnAgentConfig(max_steps=50, user_name="User"),
    )

    agent = Oturn(work_dir=Path.cwd(), config=cfg, tools=[WeatherTool])
    ctx = Context(Path.cwd() / ".oturn" / "sessions" / "demo.md", work_dir=Path.cwd())

    q: asyncio.Queue[dict] = asyncio.Queue()
    agent.subscribe(q)

    agent.enqueue_user_input_nowait("What's the weather in Tokyo?")
    task = asyncio.create_task(agent.run_queues(ctx))

    try:
        while True:
            ev = await q.get()
            print(ev)
    finally:
        task.cancel()


asyncio.run(main())
"""


def weather_plan(body: dict[str, Any]) -> Reply:
    if body["messages"][-1]["role"] == "tool":
        return text("It is 18 C in Tokyo.")
    return calls(call("get_weather", location="Tokyo"))


def redirected(weather: WeatherService) -> str:
    return f"import oturn; oturn.WeatherTool.base_url = {weather.url!r}; "


def shown(output: str) -> list[str]:
    kinds = re.findall(r"^\{'type': '(\w+)'", output, re.MULTILINE)
    return [kind for kind in kinds if not kind.endswith("_delta")]


def test_the_snippets_run_as_one_program_the_minimal_agent_first(tmp_path: Path) -> None:
    with ModelServer(weather_plan) as server, WeatherService() as weather:
        program = program_of(README).replace(SHOWN_SERVER, server.base_url)
        output, problems = run(redirected(weather) + program, tmp_path)
    assert problems == ""
    assert shown(output) == SHOWN
    assert "It is 18 C in Tokyo." in output
    assert weather.paths == ["/Tokyo?format=j1&lang=en"]


async def test_the_program_of_the_readme_of_0_1_goes_on_to_its_end(tmp_path: Path) -> None:
    program = MINIMAL_0_1.replace("<provider/model>", "openai/fake")
    with ModelServer(weather_plan) as server, WeatherService() as weather:
        running = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-u", "-W", "error", "-c", redirected(weather) + program),
            cwd=tmp_path,
            env=os.environ | {"OPENAI_BASE_URL": server.base_url},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert running.stdout is not None and running.stderr is not None
        output = ""
        try:
            async with asyncio.timeout(PATIENCE):
                while "assistant_final" not in output:
                    line = (await running.stdout.readline()).decode()
                    assert line, (await running.stderr.read()).decode()
                    output += line
        finally:
            if running.returncode is None:
                running.send_signal(signal.SIGINT)
            await running.communicate()
    assert shown(output) == SHOWN
    assert (tmp_path / ".oturn" / "sessions" / "demo.md").is_file()


async def test_the_snippet_that_needs_an_mcp_client_runs_with_one(tmp_path: Path) -> None:
    (snippet,) = [block for block in blocks_of(README, "python") if block.marker == "fragment"]
    mcp: Any = pytest.importorskip("mcp", reason="the MCP SDK is not installed (oturn[mcp])")
    stdio: Any = importlib.import_module("mcp.client.stdio")
    config = OturnConfig("any", OturnProviderConfig(), OturnModelConfig(), OturnAgentConfig())
    names: dict[str, Any] = {
        "Path": Path,
        "Oturn": Oturn,
        "config": config,
        "context": Context(tmp_path / "s.md"),
    }
    server = mcp.StdioServerParameters(command=sys.executable, args=[str(MCP_SERVER)])
    with open(os.devnull, "w") as log:
        async with (
            stdio.stdio_client(server, errlog=log) as streams,
            mcp.ClientSession(*streams) as client,
        ):
            await client.initialize()
            names["client"] = client
            code = compile(snippet.text, README.name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            await eval(code, names)
    offered = names["MCPAdapter"](True).merge_tool_schemas(names["context"], [])
    assert [tool["function"]["name"] for tool in offered] == ["add", "refuse"]
    assert isinstance(names["agent"], Oturn)


def test_the_table_of_settings_has_every_field_with_its_default() -> None:
    section = README.read_text("utf-8").partition("## Settings")[2].partition("\n## ")[0]
    listed: dict[str, tuple[str, str]] = {}
    home = ""
    for row in section.splitlines():
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        if len(cells) != 4 or not cells[1].startswith("`"):
            continue
        home = cells[0].strip("`") or home
        names, defaults = (re.findall(r"`([^`]+)`", cell) for cell in cells[1:3])
        for place, name in enumerate(names):
            default = defaults[min(place, len(defaults) - 1)] if defaults else ""
            listed[f"{home}.{name}"] = (home, default)
    real = {
        f"{config.__name__}.{field.name}": "" if _required(field) else _shown(field.default)
        for config in (OturnConfig, OturnProviderConfig, OturnModelConfig, OturnAgentConfig)
        for field in dataclasses.fields(config)
        if field.name not in {"provider", "model_config", "agent_config"}
    }
    assert {name: default for name, (_, default) in listed.items()} == real


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING


def _shown(default: object) -> str:
    return f'"{default}"' if isinstance(default, str) else str(default)
