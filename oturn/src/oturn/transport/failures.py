"""What a model server's refusal means, as a `ModelError` with one sentence. Pure, no I/O.

Status codes and the words of error bodies are told apart here and nowhere else. A sentence
never holds a key or a password.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from oturn.errors import ModelError, ModelErrorKind

#: How much of an error body is quoted: enough for a sentence, not for a web page.
QUOTED_CHARACTERS = 300

Hide: TypeAlias = Callable[[str], str]
"""Takes secrets out of a text that others wrote."""

#: Secrets of at least this many characters are taken out wherever they stand, shorter ones where
#: they stand alone: `local` is a usual key of servers that want none, and is also half a word.
LONG_SECRET = 8

#: How much of a text is looked at for that.
_LOOKED_AT = 4_000
#: Error bodies are no deeper: `{"error": {"message": {"detail": [{"msg": …}]}}}`.
_DEEPEST = 8

#: How servers say that a prompt does not fit: OpenAI, vLLM, llama.cpp, Anthropic, Google, Ollama,
#: xAI, text-generation-inference.
_TOO_LONG = re.compile(
    r"context[_ ](length|window|size|limit)|maximum (context|model length|prompt length)"
    r"|too many tokens|(prompt|input) is too long"
    r"|exceeds? the (available |maximum )?(context|number of tokens)"
    r"|input tokens exceed|exceed_context_size|input token count|`max_new_tokens` must be",
    re.IGNORECASE,
)
#: How they say how much would: the first number that stands so, in the whole body.
_WINDOW = re.compile(
    r'"n_ctx"\s*:\s*(?P<n_ctx>\d+)'  # llama.cpp
    r"|(?:context|model|prompt) (?:length|window|size)(?: is| of)?(?: only)? (?P<length>\d[\d,]*)"
    r"|(?:context|model|prompt) (?:length|window|size) \((?P<within>\d[\d,]*) tokens"
    r"|(?P<mistral>\d[\d,]*) maximum context length"
    r"|configured limit of (?P<limit>\d[\d,]*)"  # OpenAI
    r"|> (?P<maximum>\d[\d,]*)"  # Anthropic: 215000 tokens > 200000 maximum
    r"|tokens allowed \((?P<allowed>\d[\d,]*)\)"  # Google
    r"|`max_new_tokens` must be <= (?P<tgi>\d[\d,]*)",
    re.IGNORECASE,
)
#: What is smaller is no window, but another number in the sentence.
_LEAST_WINDOW = 128
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


def hiding(secrets: Iterable[str], shown: str = "[the API key]") -> Hide:
    """Puts `shown` in the place of each secret in what a server sent, or a library says.

    Not for our own sentences: the address in them may hold the same letters.
    """
    # The longest first: one may begin with another.
    wanted = sorted({secret for secret in secrets if secret.strip()}, key=len, reverse=True)
    if not wanted:
        return str
    found = re.compile("|".join(map(_secret_pattern, wanted)))
    return lambda text: found.sub(lambda _: shown, text)


def _secret_pattern(secret: str) -> str:
    pattern = re.escape(secret)
    return pattern if len(secret) >= LONG_SECRET else rf"(?<![\w-]){pattern}(?![\w-])"


def from_response(
    url: str,
    status: int,
    body: str,
    *,
    model: str = "",
    retry_after: float | None = None,
    hide: Hide = str,
) -> ModelError:
    """The error that an HTTP answer other than 2xx stands for."""
    detail = detail_of(body, hide)
    kind = _kind(status, detail)
    if kind == "not_found":
        text = _not_found(url, model, detail)
    else:
        text = _SENTENCES[kind].format(url=url, status=status)
        text = f"{text} {_wait(retry_after)}" if kind == "rate_limited" else text
        text = f"{text} The server says: {detail}" if detail else text
    window = stated_window(body) if kind == "too_long" else None
    return ModelError(kind, text, status, retry_after, window)


def from_error_object(problem: object, hide: Hide = str) -> ModelError:
    """The error that an `error` object inside a stream stands for."""
    detail = _words(problem, hide) or "no reason given"
    status = _status_of(problem)
    kind: ModelErrorKind = "server"
    if _TOO_LONG.search(detail):
        kind = "too_long"
    elif status == 429:
        kind = "rate_limited"
    text = f"The model server broke off its answer with an error: {detail}"
    window = stated_window(json.dumps(problem, default=str)) if kind == "too_long" else None
    return ModelError(kind, text, status, context_window=window)


def stated_window(body: str) -> int | None:
    """The size of the context window, in tokens, that a refusal of a long prompt says."""
    for found in _WINDOW.finditer(body[:_LOOKED_AT]):
        size = int((found[found.lastgroup or 0]).replace(",", ""))
        if size >= _LEAST_WINDOW:
            return size
    return None


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


def no_answer(text: str, server: str = "The model server", hide: Hide = str) -> ModelError:
    """The error of a body that came with a good status and is no answer of a model."""
    start = " ".join(hide(text[:_LOOKED_AT]).split())
    cure = "check the base URL, and whether a login page or a proxy stands before the API."
    if not start:
        said = f"{server} sent an empty answer, as no OpenAI-compatible API does: {cure}"
    elif start.startswith("<"):
        said = f"{server} sent a web page, and is no OpenAI-compatible API: {cure}"
    else:
        said = (
            f"{server} sent something that is no chat-completions stream ({start[:80]!r}): "
            "check that the base URL is that of an OpenAI-compatible API."
        )
    return ModelError("broken", said)


def detail_of(body: str, hide: Hide = str) -> str:
    """The sentence inside an error body of any usual shape; empty when there is none to quote."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        plain = " ".join(hide(body[:_LOOKED_AT]).split())
        return "" if plain.startswith("<") else plain[:QUOTED_CHARACTERS]
    return _words(value, hide)


def _words(value: object, hide: Hide, depth: int = 0) -> str:
    if isinstance(value, str):
        return " ".join(hide(value[:_LOOKED_AT]).split())[:QUOTED_CHARACTERS]
    if depth == _DEEPEST:
        return ""
    if isinstance(value, list) and value:
        return _words(value[0], hide, depth + 1)
    if isinstance(value, Mapping):
        for key in ("error", "message", "detail", "msg"):
            found = _words(value.get(key), hide, depth + 1)
            if found:
                return _with_code(found, value, hide)
    return ""


def _with_code(words: str, value: Mapping[str, Any], hide: Hide) -> str:
    """Keep a telling code (`context_length_exceeded`) that the words leave out."""
    code = value.get("code") or value.get("type")
    if isinstance(code, str) and "_" in code and code not in words:
        return f"{words} ({hide(code)[:QUOTED_CHARACTERS]})"
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
