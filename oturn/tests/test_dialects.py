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
    (
        "reasoning_effort of a model that does not reason",
        {"reasoning_effort": "low"},
        lambda body: "reasoning_effort" in body,
        400,
        "Unrecognized request argument supplied: reasoning_effort",
    ),
    (
        "reasoning_effort of such a model on Ollama",
        {"reasoning_effort": "low"},
        lambda body: "reasoning_effort" in body,
        400,
        '"llama3.2:latest" does not support thinking',
    ),
    (
        "chat_template_kwargs of OpenAI",
        {"chat_template_kwargs": {"reasoning_effort": "low"}},
        lambda body: "chat_template_kwargs" in body,
        400,
        "Unknown parameter: 'chat_template_kwargs'.",
    ),
    (
        "chat_template_kwargs of Mistral",
        {"chat_template_kwargs": {"reasoning_effort": "low"}},
        lambda body: "chat_template_kwargs" in body,
        422,
        '{"type":"extra_forbidden","loc":["body","chat_template_kwargs"],"msg":"Extra inputs are not permitted"}',
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
    words = "; ".join(f"unsupported: {dialect.field}" for dialect in DIALECTS)
    with ModelServer(lambda _: error(400, words)) as server:
        transport = OpenAITransport(server.base_url)
        last = await ask(
            transport,
            max_tokens=5,
            temperature=1,
            top_p=1,
            tool_choice="auto",
            reasoning_effort="low",
            chat_template_kwargs={"reasoning_effort": "low"},
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
        (400, "temperature should be in [0.0, 2.0)", {"temperature": 3}),
        (400, "Range of max_tokens should be [1, 8192]", {"max_tokens": 99999}),
        (400, "temperature: range is 0..1; 3.0 is not allowed", {"temperature": 3}),
        (400, "unexpected value for temperature; permitted: 0..2", {"temperature": 3}),
        (400, "temperature 3 is not allowed", {"temperature": 3}),
        (400, "Unsupported value: 'temperature' does not support 3", {"temperature": 3}),
        (
            400,
            "max_tokens: 99999 > 8192, the maximum of output tokens; larger is not allowed",
            {"max_tokens": 99999},
        ),
        (422, "tool_choice must be one of auto, none: unsupported value", {"tool_choice": "x"}),
        (400, "Unknown model", {"temperature": 1}),
        (400, "unknown model; request was {temperature: 1}", {"temperature": 1}),
        (400, "Unknown model m. The temperature was 1.", {"temperature": 1}),
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


@pytest.mark.parametrize(
    "refusal",
    [
        # Alibaba Cloud says of every value that it does not like that the parameter is invalid
        (
            '{"error":{"message":"temperature should be in [0.0, 2.0)","type":'
            '"invalid_request_error","param":"temperature","code":"invalid_parameter_error"}}'
        ),
        '{"error":{"message":"Invalid value","param":"temperature","code":"decimal_above_max_value"}}',
        '{"detail":[{"loc":["body","temperature"],"msg":"unexpected value; permitted: 0..2"}]}',
        (
            '{"detail":[{"type":"less_than_equal","loc":["body","temperature"],"msg":"Input should be '
            'less than or equal to 2","input":3}]}'
        ),
        '{"error":{"message":"Unknown model","param":"model","body":{"temperature":3}}}',
    ],
)
def test_a_value_that_a_server_refuses_is_never_left_out(refusal: str) -> None:
    assert dialect_for({"temperature": 3}, 400, refusal, ()) is None


@pytest.mark.parametrize(
    ("refusal", "field"),
    [
        ("body -> stream_options: extra fields not permitted (type=value_error.extra)", None),
        ("Extra inputs are not permitted, field: 'stream_options', value: {}", None),
        ("Additional properties are not allowed ('stream_options' was unexpected)", None),
        ("This model does not support the temperature parameter.", None),
        ("litellm: m does not support parameters: ['top_p', 'temperature']", "top_p"),
        ("`temperature` is deprecated for this model.", None),
        ("Argument not supported on this model: temperature", None),
        ("'developer' is not one of ['system', 'user'] - 'messages.0.role'", None),
        ("Input should be 'system', 'user' or 'tool', input: developer", None),
        ("role must be one of ['system', 'user'], and is 'developer'", None),
    ],
)
def test_the_words_of_known_servers_are_understood(refusal: str, field: str | None) -> None:
    fields = ("stream_options", "temperature", "top_p", "developer")
    body: dict[str, Any] = {"messages": [DEVELOPER], "stream_options": {}}
    found = dialect_for(body | {"temperature": 1, "top_p": 1}, 400, refusal, ())
    assert found is not None
    assert found.field == (field or next(one for one in fields if one in refusal))
