"""`acreate` of the OpenAI-compatible transport: a program's own requests, as 0.1 made them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import modelserver
from oturn import Oturn, OturnConfig, OturnModelConfig, OturnProviderConfig
from oturn.errors import ModelServerError
from oturn.runtime_config import OturnAgentConfig

SAID = [{"role": "user", "content": "hi"}]
TOOLS = [{"type": "function", "function": {"name": "clock", "parameters": {"type": "object"}}}]
COUNTS = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def client_of(server: modelserver.ModelServer, **provider: Any) -> Any:
    """`Oturn.client`, as a program takes it to write a summary, say."""
    settings = OturnConfig(
        "openai/fake",
        OturnProviderConfig(server.base_url, "sk-secret", **provider),
        OturnModelConfig(64, 0.5, extra_body={"seed": 1}),
        OturnAgentConfig(),
    )
    return Oturn(Path.cwd(), settings).client


def serve(*replies: modelserver.Reply) -> modelserver.ModelServer:
    left = iter(replies)
    return modelserver.ModelServer(lambda _: next(left), api_key="sk-secret")


async def test_a_whole_answer_is_the_servers_object_and_the_settings_are_sent() -> None:
    with serve(modelserver.text("A summary.")) as server:
        client = client_of(server)
        answer = await client.acreate(SAID, stream=False, top_p=0.9, seed=2)
        await client.aclose()
        (asked,) = server.requests
    assert answer["choices"][0]["message"]["content"] == "A summary."
    assert asked["messages"] == SAID
    assert (asked["model"], asked["max_tokens"], asked["temperature"]) == ("fake", 64, 0.5)
    assert (asked["top_p"], asked["seed"]) == (0.9, 1)
    assert not asked.get("stream")
    assert "tool_choice" not in asked


async def test_a_stream_gives_the_normalised_events() -> None:
    answer = modelserver.text("Hello, you.", reasoning="hm", usage=COUNTS)
    with serve(answer) as server:
        client = client_of(server)
        events = [event async for event in await client.acreate(SAID, stream=True)]
        await client.aclose()
    assert events == [
        {"type": "assistant_reasoning_delta", "text": "hm", "model": "fake"},
        {"type": "assistant_delta", "text": "Hello, y", "model": "fake"},
        {"type": "assistant_delta", "text": "ou.", "model": "fake"},
        {"type": "assistant_done", "usage": COUNTS, "id": None, "model": "fake"},
    ]


@pytest.mark.parametrize("tool_stream", [True, False])
async def test_tool_calls_are_streamed_where_they_are_wanted(tool_stream: bool) -> None:
    with serve(modelserver.calls(modelserver.call("clock"), modelserver.call("look"))) as server:
        client = client_of(server)
        stream = await client.acreate(
            SAID, stream=True, tools=TOOLS, tool_choice="auto", tool_stream=tool_stream
        )
        events = [event async for event in stream]
        await client.aclose()
        (asked,) = server.requests
    fragments = [e for e in events if e["type"] == "tool_call_delta"]
    names = [(e["output_index"], e["name"]) for e in fragments if "name" in e]
    assert names == ([(0, "clock"), (1, "look")] if tool_stream else [])
    assert [e["type"] for e in events[-2:]] == ["tool_calls_done", "assistant_done"]
    assert (asked["tools"], asked["tool_choice"]) == (TOOLS, "auto")


@pytest.mark.parametrize("stream", [True, False])
async def test_a_refusal_is_raised_with_its_sentence(stream: bool) -> None:
    with serve(modelserver.error(400, "no such field")) as server:
        client = client_of(server)
        with pytest.raises(ModelServerError, match="no such field") as told:
            answer = await client.acreate(SAID, stream=stream)
            async for _ in answer:
                pass
        assert told.value.error.status == 400
        await client.aclose()


async def test_debugging_prints_what_is_asked_and_what_comes_without_the_key(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with serve(modelserver.text("Hello.")) as server:
        client = client_of(server)
        stream = await client.acreate(SAID, stream=True, debug=True, sse_debug=True)
        async for _ in stream:
            pass
        await client.aclose()
    printed = capsys.readouterr().err
    assert "'content': 'hi'" in printed
    assert "Hello." in printed
    assert "sk-secret" not in printed


async def test_the_debug_settings_and_headers_of_a_configuration_reach_the_transport(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with serve(modelserver.text("Hello.")) as server:
        client = client_of(
            server, debug_request=True, debug_sse=True, extra_headers={"X-Room": "12"}
        )
        async for _ in await client.acreate(SAID, stream=True):
            pass
        await client.aclose()
        assert server.headers[0]["x-room"] == "12"
    printed = capsys.readouterr().err
    assert "POST " in printed
    assert "chat.completion.chunk" in printed
    assert "sk-secret" not in printed
