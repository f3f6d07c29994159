"""A prompt that does not fit: told apart from other refusals, with the window if it is said."""

from __future__ import annotations

import json

import pytest

from oturn.transport.failures import from_error_object, from_response, stated_window

#: How servers say it, and the window that they say.
REFUSALS = {
    "OpenAI": (
        (
            "This model's maximum context length is 8192 tokens. However, your messages resulted in "
            "9001 tokens. Please reduce the length of the messages."
        ),
        8_192,
    ),
    "OpenAI, later": (
        (
            "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in "
            "300123 tokens. Please reduce the length of the messages."
        ),
        272_000,
    ),
    "vLLM": (
        (
            "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens "
            "(4488 in the messages, 512 in the completion)."
        ),
        4_096,
    ),
    "vLLM, max_tokens": (
        (
            "'max_tokens' or 'max_completion_tokens' is too large: 32768. This model's maximum "
            "context length is 8192 tokens and your request has 120 input tokens"
        ),
        8_192,
    ),
    "vLLM, decoder": (
        "The decoder prompt (length 9000) is longer than the maximum model length of 8192.",
        8_192,
    ),
    "llama.cpp": (
        "request (9001 tokens) exceeds the available context size (4096 tokens), try increasing it",
        4_096,
    ),
    "Ollama": ("the input length exceeds the context length", None),
    "LM Studio": (
        (
            "Trying to keep the first 9000 tokens when context the overflows. However, the model is "
            "loaded with context length of only 4096 tokens, which is not enough."
        ),
        4_096,
    ),
    "SGLang": (
        "The input (9000 tokens) is longer than the model's context length (8192 tokens).",
        8_192,
    ),
    "Anthropic": ("prompt is too long: 215000 tokens > 200000 maximum", 200_000),
    "Anthropic, with the answer": (
        (
            "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease "
            "input length or `max_tokens` and try again"
        ),
        200_000,
    ),
    "Google": (
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        1_048_576,
    ),
    "Mistral": (
        (
            "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum "
            "context length"
        ),
        32_768,
    ),
    "xAI": (
        "This model's maximum prompt length is 131072 but the request contains 200000 tokens.",
        131_072,
    ),
    "TGI": (
        (
            "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 "
            "`inputs` tokens and 512 `max_new_tokens`"
        ),
        4_096,
    ),
}


@pytest.mark.parametrize(("message", "window"), REFUSALS.values(), ids=REFUSALS)
def test_a_long_prompt_is_told_apart_and_its_window_read(message: str, window: int | None) -> None:
    body = json.dumps({"error": {"message": message, "type": "invalid_request_error"}})
    refused = from_response("http://model/v1", 400, body)
    assert (refused.kind, refused.context_window) == ("too_long", window)
    broken_off = from_error_object({"message": message})
    assert (broken_off.kind, broken_off.context_window) == ("too_long", window)


def test_a_window_beside_the_sentence_is_read_too() -> None:
    body = {
        "code": 400,
        "message": "the request exceeds the available context size. try increasing it",
        "type": "exceed_context_size_error",
        "n_prompt_tokens": 9_001,
        "n_ctx": 4_096,
    }
    refused = from_response("http://model/v1", 400, json.dumps({"error": body}))
    assert (refused.kind, refused.context_window) == ("too_long", 4_096)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "unknown field: context"),
        (400, "temperature must be <= 2"),
        (429, "Limit 30000, requested 40000 tokens per min"),
        (404, "no such model; the context length is 4096 tokens"),
        (500, "CUDA out of memory"),
    ],
)
def test_other_refusals_are_none_of_a_long_prompt(status: int, message: str) -> None:
    refused = from_response("http://model/v1", status, json.dumps({"error": message}))
    assert refused.kind != "too_long"
    assert refused.context_window is None


@pytest.mark.parametrize("text", ["", "context length is 12", "> many", "n_ctx: none"])
def test_no_window_is_made_up(text: str) -> None:
    assert stated_window(text) is None
