"""What a model server's refusal means, as a `ModelError` with one sentence. Pure, no I/O.

Status codes and the words of error bodies are told apart here and nowhere else. A sentence
never holds a key or a password.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from oturn.errors import ModelError, ModelErrorKind

#: How much of an error body is quoted: enough for a sentence, not for a web page.
QUOTED_CHARACTERS = 300

#: How much of a text is looked at for that.
_LOOKED_AT = 4_000
#: Error bodies are no deeper: `{"error": {"message": {"detail": [{"msg": …}]}}}`.
_DEEPEST = 8

#: How servers say that a prompt does not fit: OpenAI, vLLM, llama.cpp, Anthropic, Google, Ollama.
_TOO_LONG = re.compile(
    r"context[_ ](length|window|size)|maximum context|too many tokens|prompt is too long"
    r"|input is too long|exceeds? the (available |maximum )?(context|number of tokens)"
    r"|exceed_context_size|input token count",
    re.IGNORECASE,
)
#: Codes of error objects that are HTTP statuses.
_STATUS_CODES = {str(status) for status in range(400, 600)}
#: What other codes and types of them stand for: OpenAI and Groq, Anthropic, Google.
_STATUS_NAMES = {
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "resource_exhausted": 429,
    "server_error": 500,
    "internal_server_error": 500,
    "api_error": 500,
    "unavailable": 503,
    "overloaded_error": 529,
}
_NO_MODEL = re.compile(r"model", re.IGNORECASE)


def from_response(
    url: str, status: int, body: str, *, model: str = "", retry_after: float | None = None
) -> ModelError:
    """The error that an HTTP answer other than 2xx stands for."""
    detail = detail_of(body)
    kind = _kind(status, detail)
    if kind == "not_found":
        text = _not_found(url, model, detail)
    else:
        text = _SENTENCES[kind].format(url=url, status=status)
        text = f"{text} {_wait(retry_after)}" if kind == "rate_limited" else text
        text = f"{text} The server says: {detail}" if detail else text
    return ModelError(kind, text, status, retry_after)


def from_error_object(problem: object) -> ModelError:
    """The error that an `error` object inside a stream stands for."""
    detail = _words(problem) or "no reason given"
    status = _status_of(problem)
    kind: ModelErrorKind = "server"
    if _TOO_LONG.search(detail):
        kind = "too_long"
    elif status == 429:
        kind = "rate_limited"
    text = f"The model server broke off its answer with an error: {detail}"
    return ModelError(kind, text, status)


def _status_of(problem: object) -> int | None:
    """The HTTP status that an error object stands for, from its code or type."""
    if not isinstance(problem, Mapping):
        return None
    for key in ("code", "type", "status"):
        code = problem.get(key)
        if isinstance(code, int | str) and str(code) in _STATUS_CODES:
            return int(code)
        if isinstance(code, str) and code.lower() in _STATUS_NAMES:
            return _STATUS_NAMES[code.lower()]
    return None


def detail_of(body: str) -> str:
    """The sentence inside an error body of any usual shape; empty when there is none to quote."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        plain = " ".join(body[:_LOOKED_AT].split())
        return "" if plain.startswith("<") else plain[:QUOTED_CHARACTERS]
    return _words(value)


def _words(value: object, depth: int = 0) -> str:
    if isinstance(value, str):
        return " ".join(value[:_LOOKED_AT].split())[:QUOTED_CHARACTERS]
    if depth == _DEEPEST:
        return ""
    if isinstance(value, list) and value:
        return _words(value[0], depth + 1)
    if isinstance(value, Mapping):
        for key in ("error", "message", "detail", "msg"):
            found = _words(value.get(key), depth + 1)
            if found:
                return _with_code(found, value)
    return ""


def _with_code(words: str, value: Mapping[str, Any]) -> str:
    """Keep a telling code (`context_length_exceeded`) that the words leave out."""
    code = value.get("code") or value.get("type")
    if isinstance(code, str) and "_" in code and code not in words:
        return f"{words} ({code[:QUOTED_CHARACTERS]})"
    return words


def _kind(status: int, detail: str) -> ModelErrorKind:
    if status in (400, 413, 422, 500) and _TOO_LONG.search(detail):
        return "too_long"
    if status == 413:
        return "too_long"
    if status in (401, 403):
        return "auth"
    if status in (404, 405):
        return "not_found"
    if status == 408:
        return "timeout"
    if status == 429:
        return "rate_limited"
    return "server" if status >= 500 else "refused"


_SENTENCES: Mapping[ModelErrorKind, str] = {
    "auth": "{url} refused the API key (HTTP {status}): set one that this server accepts.",
    "rate_limited": "{url} allows no more requests for now (HTTP {status}).",
    "too_long": (
        "The conversation is too long for the model at {url} (HTTP {status}): "
        "shorten it, or choose a model with a larger context."
    ),
    "timeout": "{url} gave up waiting (HTTP {status}): try again.",
    "refused": "{url} refused the request (HTTP {status}).",
    "server": "{url} failed with HTTP {status}: try again, or look into the server's log.",
}


def _wait(retry_after: float | None) -> str:
    if retry_after is None:
        return "Wait a little, then try again."
    return f"Try again in {retry_after:g} s."


def _not_found(url: str, model: str, detail: str) -> str:
    said = f" The server says: {detail}" if detail else ""
    if model and _NO_MODEL.search(detail):
        return (
            f"There is no model {model!r} at {url}: choose one that it lists under /models.{said}"
        )
    return (
        f"{url} answers, but there is no such path (HTTP 404): "
        f"check the base URL, which usually ends in /v1.{said}"
    )
