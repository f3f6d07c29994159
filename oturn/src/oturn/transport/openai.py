"""Talks to OpenAI-compatible servers over httpx2. Decodes nothing itself: see `chat_completions`.

No retries, no fallbacks: one request, one answer, and every failure as a value with one
sentence that names the URL.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

from oturn.errors import ConfigError, ModelError, ModelServerError
from oturn.transport import failures
from oturn.transport.base import Failed, ModelInfo, ModelRequest, StreamItem
from oturn.transport.chat_completions import ChatDecoder, request_body

#: Seconds of silence after which a server counts as lost (connecting, or between two chunks).
DEFAULT_TIMEOUT = 60.0
#: A server that is there accepts a connection at once; waiting longer only delays the message.
CONNECT_TIMEOUT = 10.0
#: How long an idle connection is kept. uvicorn (vLLM and many others) closes after 5 seconds; a
#: request sent into a connection that is just being closed would be lost.
KEEPALIVE_SECONDS = 3.0
#: After `[DONE]`, how long to wait for the end of the body, so that the connection can be reused.
DRAIN_SECONDS = 0.1

#: Where servers tell the context window in their list of models: vLLM, OpenRouter, Groq, LM Studio.
_WINDOW_KEYS = (
    "max_model_len",
    "context_length",
    "context_window",
    "loaded_context_length",
    "max_context_length",
)


class OpenAITransport:
    """A `ModelTransport` for `POST <base_url>/chat/completions`.

    `timeout`: seconds of silence that are endured, None for any. `query` is added to every
    URL. A `client` that is given is used as it is and never closed here. Raises ConfigError
    for a base URL or key that cannot be sent at all.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
        extra_headers: Mapping[str, str] | None = None,
        client: httpx2.AsyncClient | None = None,
        *,
        query: Mapping[str, str] | None = None,
    ) -> None:
        self._base = _checked(base_url)
        self._key = (api_key or "").strip()
        self._headers = _headers(api_key, extra_headers)
        self._query = dict(query or {})
        self._timeout = timeout
        self._client = client
        self._owns_client = client is None

    @property
    def url(self) -> str:
        """Where requests go, as shown to people: without query and credentials."""
        return _shown(self._base, "chat/completions")

    async def stream(self, request: ModelRequest) -> AsyncIterator[StreamItem]:
        try:
            content = _encoded(request_body(request))
        except (TypeError, ValueError, RecursionError) as problem:
            text = f"The request to {self.url} cannot be written as JSON: {problem}"
            yield Failed(ModelError("refused", text))
            return
        decoder = ChatDecoder()
        try:
            async with self._open(content) as response:
                if not response.is_success:
                    refusal = await _refusal(response, self.url, request.model)
                    yield self._told(Failed(refusal))
                    return
                if _is_plain_json(response):
                    body = await response.aread()
                    for item in decoder.feed_whole(body.decode("utf-8", "replace")):
                        yield self._told(item) if type(item) is Failed else item
                else:
                    chunks = response.aiter_bytes()
                    async for chunk in chunks:
                        items = decoder.feed(chunk)
                        if decoder.ended:
                            await _drain(chunks)
                        for item in items:
                            yield self._told(item) if type(item) is Failed else item
                        if decoder.ended:
                            return
        except httpx2.HTTPError as problem:
            for item in decoder.close(_broken(problem, self.url, self._timeout)):
                yield item
            return
        for item in decoder.close():
            yield item

    async def aclose(self) -> None:
        if self._client is not None and self._owns_client:
            await self._client.aclose()

    def _told(self, failed: Failed) -> Failed:
        return Failed(_without(self._key, failed.error))

    def _open(self, content: bytes) -> contextlib.AbstractAsyncContextManager[httpx2.Response]:
        if self._client is None:
            self._client = _new_client(self._base, self._timeout)
        url = self._base.copy_with(path=_path(self._base, "chat/completions"))
        return self._client.stream(
            "POST", url.copy_merge_params(self._query), content=content, headers=self._headers
        )


async def list_models(
    base_url: str,
    api_key: str | None = None,
    timeout: float | None = CONNECT_TIMEOUT,
    extra_headers: Mapping[str, str] | None = None,
) -> list[ModelInfo]:
    """The models that `GET <base_url>/models` names, in its order.

    Raises ModelServerError when the server cannot be asked or answers with something else,
    ConfigError for a base URL that is none.
    """
    base = _checked(base_url)
    url = base.copy_with(path=_path(base, "models"))
    shown = _shown(base, "models")
    try:
        async with _new_client(base, timeout) as client:
            response = await client.get(url, headers=_headers(api_key, extra_headers))
            if not response.is_success:
                refusal = await _refusal(response, shown, "")
                raise ModelServerError(_without((api_key or "").strip(), refusal))
    except httpx2.HTTPError as problem:
        raise ModelServerError(_broken(problem, shown, timeout)) from problem
    return _models(response.content, shown)


def _without(key: str, error: ModelError) -> ModelError:
    """The error without our key, which servers like to quote when they refuse it."""
    return replace(error, message=error.message.replace(key, "[the API key]")) if key else error


def _models(body: bytes, shown: str) -> list[ModelInfo]:
    try:
        value = json.loads(body)
        listed = value if isinstance(value, list) else value["data"]
        return [ModelInfo(str(entry["id"]), _window(entry)) for entry in listed]
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        text = f"{shown} answers, but not with a list of models: check the base URL."
        raise ModelServerError(ModelError("broken", text)) from problem


def _window(entry: Mapping[str, Any]) -> int | None:
    told = [entry.get(key) for key in _WINDOW_KEYS]
    return next((n for n in told if isinstance(n, int) and n > 0), None)


def _checked(base_url: str) -> httpx2.URL:
    try:
        url = httpx2.URL(base_url.strip())
    except (httpx2.InvalidURL, ValueError, TypeError) as problem:
        raise ConfigError(f"The base URL {base_url!r} is no URL: {problem}") from problem
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigError(
            f"The base URL {base_url!r} is no web address: "
            "write it like http://localhost:8000/v1, with http:// or https://."
        )
    return url


def _path(base: httpx2.URL, name: str) -> str:
    return f"{base.path.rstrip('/')}/{name}"


def _shown(base: httpx2.URL, name: str) -> str:
    address = base.copy_with(userinfo=b"", path=_path(base, name), query=None, fragment=None)
    return str(address)


def _headers(api_key: str | None, extra: Mapping[str, str] | None) -> dict[str, str]:
    # No compression: a proxy that compresses also holds back what has not filled its buffer.
    headers = {"content-type": "application/json", "accept-encoding": "identity"}
    if api_key and api_key.strip():
        headers["authorization"] = f"Bearer {api_key.strip()}"
    headers.update(extra or {})
    for name, value in headers.items():
        if not (value.isascii() and value.isprintable()):
            raise ConfigError(
                f"The header {name!r} (the API key, if it is 'authorization') holds characters "
                "that cannot be sent: use plain ASCII on one line."
            )
    return headers


def _new_client(base: httpx2.URL, timeout: float | None) -> httpx2.AsyncClient:
    connect = CONNECT_TIMEOUT if timeout is None else min(timeout, CONNECT_TIMEOUT)
    return httpx2.AsyncClient(
        timeout=httpx2.Timeout(timeout, connect=connect),
        limits=httpx2.Limits(max_connections=None, keepalive_expiry=KEEPALIVE_SECONDS),
        verify=_tls(base.scheme),
    )


@functools.cache
def _tls(scheme: str) -> ssl.SSLContext:
    """One for all clients: loading the certificates takes tens of milliseconds, each time.

    For plain http none are loaded; TLS with that context would trust nobody.
    """
    if scheme == "http":
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx2.create_ssl_context()


def _encoded(body: Mapping[str, Any]) -> bytes:
    # A lone surrogate, which JSON text may smuggle in, has no UTF-8: it goes out as "?".
    text = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def _is_plain_json(response: httpx2.Response) -> bool:
    return str(response.headers.get("content-type", "")).startswith("application/json")


async def _drain(chunks: AsyncIterator[bytes]) -> None:
    with contextlib.suppress(TimeoutError, httpx2.HTTPError):
        async with asyncio.timeout(DRAIN_SECONDS):
            async for _ in chunks:
                pass


async def _refusal(response: httpx2.Response, url: str, model: str) -> ModelError:
    body = (await response.aread()).decode("utf-8", "replace")
    if response.is_redirect:
        target = response.headers.get("location", "elsewhere")
        text = f"{url} points to {target}: use that address in the base URL."
        return ModelError("refused", text, response.status_code)
    return failures.from_response(
        url, response.status_code, body, model=model, retry_after=_retry_after(response.headers)
    )


def _retry_after(headers: httpx2.Headers) -> float | None:
    """Seconds, from a number or a date (RFC 9110, section 10.2.3)."""
    told = headers.get("retry-after")
    if not told:
        return None
    try:
        return max(0.0, float(told))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(told)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _broken(problem: httpx2.HTTPError, url: str, timeout: float | None) -> ModelError:
    why = str(problem) or type(problem).__name__
    if isinstance(problem, (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError)):
        text = f"Nothing answers at {url} ({why}): start the model server, or check the base URL."
        return ModelError("unreachable", text)
    if isinstance(problem, httpx2.TimeoutException):
        waited = "too long" if timeout is None else f"{timeout:g} s"
        text = f"{url} sent nothing for {waited}: try again, or allow more time (timeout)."
        return ModelError("timeout", text)
    text = f"The connection to {url} broke before the answer was whole ({why}): try again."
    return ModelError("broken", text)
