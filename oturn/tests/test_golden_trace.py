"""The golden traces of the minimal example: a server that sends exactly these chunks, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_session import (
    LONG,
    SHORT,
    Session,
    config,
    resolve,
)
from modelserver import ModelServer, raw
from oturn import (
    Oturn,
    WeatherTool,
)
from weather import WeatherService


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "chatcmpl-fake", "model": "fake-model", "choices": [choice], **more}


def arguments(text: str) -> dict[str, Any]:
    return chunk({"tool_calls": [{"index": 0, "function": {"arguments": text}}]})


USAGE_1 = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
USAGE_2 = {
    "prompt_tokens": 31,
    "completion_tokens": 9,
    "total_tokens": 40,
    "prompt_tokens_details": {"cached_tokens": 5},
    "completion_tokens_details": {"reasoning_tokens": 3},
}
GOLDEN = [
    raw(
        chunk({"role": "assistant", "content": None}),
        chunk(
            {
                "tool_calls": [
                    {
                        "index": 0,
                        "id": "call_abc123",
                        "type": "function",
                        "function": {"name": "get_weather", "arguments": ""},
                    }
                ]
            }
        ),
        arguments('{"loc'),
        arguments('ation": "'),
        arguments('Tokyo"}'),
        chunk({}, "tool_calls"),
        {"id": "chatcmpl-fake", "model": "fake-model", "choices": [], "usage": USAGE_1},
        "[DONE]",
    ),
    raw(
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "It is "}),
        chunk({"content": "18 C "}),
        chunk({"content": "in Tokyo."}),
        chunk({}, "stop"),
        {"id": "chatcmpl-fake", "model": "fake-model", "choices": [], "usage": USAGE_2},
        "[DONE]",
    ),
]


def fragment(tool: str, args: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "tool_call_delta",
        "tool": tool,
        "args": args,
        "delta_id": "idx:0",
        "index": 0,
        **more,
    }


BEFORE_THE_GATE: list[dict[str, Any]] = [
    {"type": "message_sent"},
    fragment("get_weather", "", tool_call_id="call_abc123"),
    fragment("", '{"loc'),
    fragment("", 'ation": "'),
    fragment("", 'Tokyo"}'),
    {"type": "tool_call", "tool": "get_weather", "delta_id": "idx:0"},
]
AFTER_THE_GATE: list[dict[str, Any]] = [
    {"type": "message_sent"},
    {"type": "assistant_delta", "text": "It is ", "model": "fake"},
    {"type": "assistant_delta", "text": "18 C ", "model": "fake"},
    {"type": "assistant_delta", "text": "in Tokyo.", "model": "fake"},
    {"type": "assistant_final", "text": "It is 18 C in Tokyo.", "usage_data": USAGE_2},
]
KEYS_IN_ORDER = [[*event] for event in BEFORE_THE_GATE] + [[*event] for event in AFTER_THE_GATE]
UNANSWERED = {
    "type": "unanswered",
    "request": "tool_call",
    "id": "idx:0",
    "tool": "get_weather",
    "decision": "allowed",
}


@pytest.fixture
def golden() -> Iterator[ModelServer]:
    replies = iter(GOLDEN)
    public = WeatherTool.base_url
    with WeatherService() as weather, ModelServer(lambda _: next(replies)) as server:
        WeatherTool.base_url = weather.url
        yield server
        WeatherTool.base_url = public


def only_print(event: dict[str, Any]) -> None:
    print(event)


def golden_agent(server: ModelServer, grace: float) -> Oturn:
    return Oturn(Path.cwd(), config(api_base=server.base_url, grace=grace), tools=[WeatherTool])


async def test_golden_trace_a_with_a_consumer_that_resolves_the_future(
    golden: ModelServer,
) -> None:
    async with Session(golden_agent(golden, LONG), resolve(None)) as session:
        events = await session.ask("What's the weather in Tokyo?")
    assert events == [*BEFORE_THE_GATE, *AFTER_THE_GATE]
    assert [list(e) for e in events] == KEYS_IN_ORDER


async def test_golden_trace_b_of_a_consumer_that_only_prints_goes_on_to_the_end(
    golden: ModelServer,
) -> None:
    async with Session(golden_agent(golden, SHORT), only_print) as session:
        events = await session.ask("What's the weather in Tokyo?")
    assert events == [*BEFORE_THE_GATE, UNANSWERED, *AFTER_THE_GATE]


async def test_the_golden_requests_reach_the_server(golden: ModelServer) -> None:
    async with Session(golden_agent(golden, LONG), resolve(None)) as session:
        await session.ask("What's the weather in Tokyo?")
        total = session.agent.get_last_total_tokens(session.context)
    first, second = golden.requests
    (user,) = first.pop("messages")
    assert user["role"] == "user"
    lines = user["content"].split("\n")
    assert lines[0] == "From: User"
    assert lines[1].startswith("Date: ")
    assert lines[2:] == ["", "What's the weather in Tokyo?"]
    assert first == {
        "model": "fake",
        "max_tokens": 4096,
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.7,
        "tool_choice": "auto",
        "tools": [WeatherTool.get_schema()],
    }
    assert second["messages"][1:] == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {
                    "id": "call_abc123",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": '{"location": "Tokyo"}'},
                }
            ],
        },
        {
            "role": "tool",
            "tool_call_id": "call_abc123",
            "content": json.dumps(
                {
                    "status": "success",
                    "data": {
                        "location": "Tokyo",
                        "temperature_c": "18",
                        "feels_like_c": "17",
                        "humidity": "60",
                        "wind_kmph": "11",
                        "description": "Partly cloudy",
                        "source": "wttr.in",
                    },
                    "error": None,
                    "metadata": None,
                    "info": None,
                }
            ),
            "name": "get_weather",
        },
    ]
    assert golden.headers[0]["authorization"] == "Bearer key-of-the-tests"
    assert total == 40
