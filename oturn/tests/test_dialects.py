"""Servers that refuse a part of a request are asked again without it, once, and that is kept."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from modelserver import ModelServer, Reply, error, text
from oturn.transport.base import Failed, Finished, ModelRequest, StreamItem
from oturn.transport.dialects import DIALECTS, dialect_for
from oturn.transport.openai import OpenAITransport
from oturn.transport.retry import ONE_REQUEST

USER = {"role": "user", "content": "hi"}
DEVELOPER = {"role": "developer", "content": "be brief"}

REFUSED: list[tuple[str, dict[str, Any], Callable[[dict[str, Any]], bool], int, str]] = [
    # name, params, whether a body is refused, status, words
    (
        "stream_options of an older Azure",
        {},
        lambda body: "stream_options" in body,
        400,
        "Unrecognized request argument supplied: stream_options",
    ),
    (
        "max_tokens of the o-series",
        {"max_tokens": 5},
        lambda body: "max_tokens" in body,
        400,
        (
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead."
        ),
    ),
    (
        "max_completion_tokens of an older server",
        {"max_completion_tokens": 5},
        lambda body: "max_completion_tokens" in body,
        422,
        "Extra inputs are not permitted: body.max_completion_tokens",
    ),
    (
        "the developer role of DeepSeek",
        {},
        lambda body: any(m["role"] == "developer" for m in body["messages"]),
        422,
        (
            "Failed to deserialize the JSON body: messages[0].role: unknown variant `developer`, "
            "expected one of `system`, `user`, `assistant`, `tool`"
        ),
    ),
    (
        "tool_choice of DeepSeek's reasoner",
        {"tool_choice": "required"},
        lambda body: "tool_choice" in body,
        400,
        "deepseek-reasoner does not support this tool_choice",
    ),
    (
        "temperature of the o-series",
        {"temperature": 0.7},
        lambda body: "temperature" in body,
        400,
        (
            "Unsupported value: 'temperature' does not support 0.7 with this model. "
            "Only the default (1) value is supported."
        ),
    ),
    (
        "top_p of the o-series",
        {"top_p": 0.5},
        lambda body: "top_p" in body,
        400,
        "Unsupported parameter: 'top_p' is not supported with this model.",
    ),
]


async def ask(transport: OpenAITransport, model: str = "m", **params: Any) -> StreamItem:
    request = ModelRequest(model, [DEVELOPER, USER], params=params)
    return [item async for item in transport.stream(request)][-1]


@pytest.mark.parametrize(
    ("params", "refused", "status", "words"),
    [case[1:] for case in REFUSED],
    ids=[case[0] for case in REFUSED],
)
async def test_what_a_server_refuses_is_left_out_now_and_in_later_requests(
    params: dict[str, Any],
    refused: Callable[[dict[str, Any]], bool],
    status: int,
    words: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "oturn")
    with ModelServer(lambda body: error(status, words) if refused(body) else text("hi")) as server:
        transport = OpenAITransport(server.base_url, retry=ONE_REQUEST)
        for _ in range(2):
            assert isinstance(await ask(transport, **params), Finished)
        await transport.aclose()
        assert [refused(body) for body in server.requests] == [True, False, False]
        for body in server.requests[1:]:
            assert all(body[key] == params[key] for key in params if key in body)
            assert [m["content"] for m in body["messages"]] == ["be brief", "hi"]
    assert len([record for record in caplog.records if "asked again" in record.message]) == 1


async def test_a_renamed_limit_keeps_its_value() -> None:
    def picky(body: dict[str, Any]) -> Reply:
        if "max_tokens" in body:
            return error(400, "Unsupported parameter: 'max_tokens'")
        return text("hi")

    with ModelServer(picky) as server:
        transport = OpenAITransport(server.base_url)
        await ask(transport, max_tokens=5)
        await transport.aclose()
        assert server.requests[1]["max_completion_tokens"] == 5
        assert "max_tokens" not in server.requests[1]


async def test_several_refusals_are_answered_one_after_the_other() -> None:
    def picky(body: dict[str, Any]) -> Reply:
        for key in ("stream_options", "temperature", "tool_choice"):
            if key in body:
                return error(422, f"{key}: Extra inputs are not permitted")
        return text("hi")

    with ModelServer(picky) as server:
        transport = OpenAITransport(server.base_url)
        assert isinstance(await ask(transport, temperature=1, tool_choice="auto"), Finished)
        await transport.aclose()
        assert len(server.requests) == 4


async def test_a_server_that_refuses_everything_is_asked_each_way_once() -> None:
    words = "unsupported: " + " ".join(dialect.field for dialect in DIALECTS)
    with ModelServer(lambda _: error(400, words)) as server:
        transport = OpenAITransport(server.base_url)
        last = await ask(
            transport,
            max_tokens=5,
            temperature=1,
            top_p=1,
            tool_choice="auto",
        )
        assert isinstance(last, Failed)
        assert last.error.kind == "refused"
        assert len(server.requests) == 1 + len(DIALECTS)
        await ask(transport)
        await transport.aclose()
        assert "stream_options" in server.requests[1 + len(DIALECTS)]  # nothing was accepted


async def test_what_one_model_refuses_is_still_sent_to_another() -> None:
    def picky(body: dict[str, Any]) -> Reply:
        if body["model"] == "o" and "temperature" in body:
            return error(400, "Unsupported parameter: 'temperature'")
        return text("hi")

    with ModelServer(picky) as server:
        transport = OpenAITransport(server.base_url)
        await ask(transport, "o", temperature=1)
        await ask(transport, "g", temperature=1)
        await transport.aclose()
        assert server.requests[-1]["temperature"] == 1


@pytest.mark.parametrize(
    ("status", "words", "params"),
    [
        (400, "temperature must be below 2", {"temperature": 3}),
        (400, "max_tokens is too large: 99999", {"max_tokens": 99999}),
        (400, "Unknown model", {"temperature": 1}),
        (400, "Unsupported parameter: 'top_k'", {"top_k": 1}),
        (400, "Unsupported parameter: 'temperature'", {}),
        (404, "Unsupported parameter: 'temperature'", {"temperature": 1}),
        (400, "unsupported max_temperature_x", {"temperature": 1}),
    ],
)
async def test_any_other_refusal_is_told_and_nothing_is_asked_again(
    status: int, words: str, params: dict[str, Any]
) -> None:
    with ModelServer(lambda _: error(status, words)) as server:
        transport = OpenAITransport(server.base_url)
        assert isinstance(await ask(transport, **params), Failed)
        await transport.aclose()
        assert len(server.requests) == 1


def test_a_body_without_messages_is_left_as_it_is() -> None:
    assert dialect_for({"model": "m"}, 400, "unknown role developer", ()) is None


@pytest.mark.parametrize(
    ("refusal", "field"),
    [
        # FastAPI and pydantic, as vLLM and Mistral answer
        (
            (
                '{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"],'
                '"msg":"Extra inputs are not permitted","input":{"include_usage":true}}]}'
            ),
            "stream_options",
        ),
        # OpenAI names the parameter beside the words
        (
            (
                '{"error":{"message":"Unsupported parameter","type":"invalid_request_error",'
                '"param":"stream_options","code":"unsupported_parameter"}}'
            ),
            "stream_options",
        ),
        ('{"message":"property \'stream_options\' is unsupported"}', "stream_options"),
        ('{"error":"json: unknown field \\"stream_options\\""}', "stream_options"),
    ],
)
def test_a_refusal_is_understood_in_any_shape(refusal: str, field: str) -> None:
    found = dialect_for({"messages": [], "stream_options": {}}, 400, refusal, ())
    assert found is not None
    assert found.field == field
