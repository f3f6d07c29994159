"""Every snippet of the README runs; the minimal agent as a program of its own, to its end."""

from __future__ import annotations

import ast
import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent_session import LONG, Session, config, kinds
from modelserver import ModelServer, Reply, call, calls, text
from oturn import Oturn
from weather import WeatherService

README = Path(__file__).parent.parent / "README.md"
SNIPPETS = re.findall(r"^```python\n(.*?)^```", README.read_text("utf-8"), re.DOTALL | re.MULTILINE)
#: Seconds that the program of the README gets; it needs about one.
PATIENCE = 30


def snippet(mark: str) -> str:
    (found,) = [code for code in SNIPPETS if mark in code]
    return str(found)


def weather_plan(body: dict[str, Any]) -> Reply:
    if body["messages"][-1]["role"] == "tool":
        return text("It is 18 C in Tokyo.")
    return calls(call("get_weather", location="Tokyo"))


def test_the_minimal_agent_runs_to_its_end_tool_call_included(tmp_path: Path) -> None:
    code = snippet("asyncio.run(main())")
    with ModelServer(weather_plan) as server, WeatherService() as weather:
        code = code.replace("http://localhost:8000/v1", server.base_url)
        redirect = f"import oturn; oturn.WeatherTool.base_url = {weather.url!r}\n"
        program = tmp_path / "agent.py"
        program.write_text(redirect + code, "utf-8")
        done = subprocess.run(
            [sys.executable, "-W", "error", str(program)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert done.stderr == ""
    assert done.returncode == 0
    shown = re.findall(r"^\{'type': '(\w+)'", done.stdout, re.MULTILINE)
    assert [kind for kind in shown if not kind.endswith("_delta")] == [
        "message_sent",
        "tool_call",
        "unanswered",
        "message_sent",
        "assistant_final",
    ]
    assert "It is 18 C in Tokyo." in done.stdout
    assert weather.paths == ["/Tokyo?format=j1&lang=en"]


async def test_the_snippets_of_a_tool_a_transport_and_answers_run_together() -> None:
    names: dict[str, Any] = {}
    for mark in ("class Greet", "ScriptedTransport", "def answer"):
        exec(snippet(mark), names)
    agent = Oturn(
        Path.cwd(), config(grace=LONG), tools=[names["Greet"]], transport=names["transport"]
    )
    async with Session(agent, names["answer"]) as session:
        events = await session.ask("greet Ann")
    assert "Hello, Ann!" in str(names["transport"].requests[1].messages)
    assert kinds(events)[-1] == "assistant_final"
    assert "unanswered" not in kinds(events)


@pytest.mark.parametrize("code", SNIPPETS)
def test_every_snippet_is_valid_python(code: str) -> None:
    ast.parse(code)


def test_the_answering_snippet_answers_all_three_questions() -> None:
    async def answered() -> list[Any]:
        names: dict[str, Any] = {}
        exec(snippet("def answer"), names)
        futures = []
        for kind in ("tool_call", "approval_request", "choice_request"):
            future = asyncio.get_running_loop().create_future()
            names["answer"]({"type": kind, "future": future, "choices": ["a"]})
            futures.append(future)
        return [future.result() for future in futures]

    assert asyncio.run(answered()) == [
        None,
        {"approved": True},
        {"selected": "a", "confirmed": True},
    ]
