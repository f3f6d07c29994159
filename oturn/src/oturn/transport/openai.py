"""Talks to OpenAI-compatible servers over httpx2. Decodes nothing itself: see `chat_completions`.

Asks again where that helps, and only while nothing of the answer has reached the reader: see
`asking`. Every failure is a value with one sentence that names the URL.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import httpx2

from oturn.errors import ModelError, ModelServerError
from oturn.text_calls import TextCalls
from oturn.transport import endpoint
from oturn.transport.asking import Asker, Asking, refusal
from oturn.transport.base import Failed, ModelInfo, ModelRequest, StreamItem
from oturn.transport.chat_completions import (
    MAX_ANSWER_BYTES,
    ChatDecoder,
    whole_answer,
)
from oturn.transport.endpoint import CONNECT_TIMEOUT
from oturn.transport.retry import RetryNotice, RetryPolicy
from oturn.transport.think_tags import ThinkTags

#: Seconds of silence after which a server counts as lost (connecting, or between two chunks).
DEFAULT_TIMEOUT = 60.0
#: A list of models is not longer.
MAX_LIST_BYTES = 16 * 1024 * 1024

#: Where servers tell the context window in their list of models: vLLM, OpenRouter, Groq, LM Studio.
_WINDOW_KEYS = (
    "max_model_len",
    "context_length",
    "context_window",
    "loaded_context_length",
    "max_context_length",
)
_SECRET = re.compile(r"auth|key|token|secret|cookie|password", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class OpenAITransport:
    """A `ModelTransport` for `POST <base_url>/chat/completions`.

    `timeout`: seconds of silence that are endured, None for any. `query` is added to every
    URL. A `client` that is given is used as it is and never closed here. `think_tags`: see
    `oturn.transport.think_tags`. `text_tool_calls`: calls that come as text are recognised, see
    `oturn.text_calls`. `retry`: how often a request is sent; `on_retry` hears of each
    further one. `debug_request` and `debug_sse` print what is sent and what comes to stderr,
    without the key. Raises ConfigError for a base URL or key that cannot be sent at all.
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
        think_tags: ThinkTags = "auto",
        text_tool_calls: bool = True,
        retry: RetryPolicy | None = None,
        on_retry: Callable[[RetryNotice], None] | None = None,
        debug_request: bool = False,
        debug_sse: bool = False,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._base = endpoint.checked(base_url)
        self._key = (api_key or "").strip()
        self._headers = endpoint.headers(api_key, extra_headers)
        self._query = dict(query or {})
        self._timeout = timeout
        self._client = client
        self._owns_client = client is None
        self._think_tags = think_tags
        self._text_tool_calls = text_tool_calls
        self._debug_request = debug_request
        self._told = self._tell if debug_sse else None
        policy = retry or RetryPolicy()
        self._asker = Asker(self.url, timeout, self._hidden, policy, on_retry, sleep, chance, clock)

    @property
    def url(self) -> str:
        """Where requests go, as shown to people: without query and credentials."""
        return endpoint.shown(self._base, "chat/completions")

    async def stream(self, request: ModelRequest) -> AsyncIterator[StreamItem]:
        try:
            asking = Asking(self._asker, request, stream=True)
        except ModelServerError as problem:
            yield Failed(problem.error)
            return
        while True:
            decoder = ChatDecoder(self._think_tags, self._told)
            calls = TextCalls(request, on=self._text_tool_calls)
            last: list[StreamItem] = []
            broken: ModelError | None = None
            begun = False
            try:
                async with self._open(asking) as response:
                    if response.is_success:
                        asking.accepted()
                        whole = endpoint.is_plain_json(response)
                        feed = decoder.feed_body if whole else decoder.feed
                        chunks = endpoint.chunks(response)
                        async for chunk in chunks:
                            items = feed(chunk)
                            if decoder.ended:
                                last = items
                                await endpoint.drain(chunks)
                                break
                            for item in calls.feed_all(items):
                                begun = True
                                yield item
                    else:
                        broken = await asking.refused(response)
            except httpx2.HTTPError as problem:
                broken = asking.broken(problem)
            for item in calls.feed_all([*last, *decoder.close(broken)]):
                if type(item) is not Failed:
                    begun = True
                    yield item
                elif begun or not await asking.again(item.error):
                    yield Failed(self._hidden(item.error))
                    return
            if begun:
                return

    async def complete(self, request: ModelRequest) -> dict[str, Any]:
        """The answer as the server's one JSON object, without streaming.

        Raises ModelServerError when there is none, after the same retries as a stream.
        """
        asking = Asking(self._asker, request, stream=False)
        while True:
            try:
                async with self._open(asking) as response:
                    if response.is_success:
                        asking.accepted()
                        answer = whole_answer(await endpoint.read(response, MAX_ANSWER_BYTES))
                    else:
                        answer = await asking.refused(response)
            except httpx2.HTTPError as problem:
                answer = asking.broken(problem)
            if not isinstance(answer, ModelError):
                return answer
            if not await asking.again(answer):
                raise ModelServerError(self._hidden(answer))

    async def aclose(self) -> None:
        if self._client is not None and self._owns_client:
            await self._client.aclose()

    def _open(self, asking: Asking) -> contextlib.AbstractAsyncContextManager[httpx2.Response]:
        if self._debug_request:
            self._tell(self._described(asking))
        if self._client is None:
            self._client = endpoint.new_client(self._base, self._timeout)
        url = self._base.copy_with(path=endpoint.path(self._base, "chat/completions"))
        return self._client.stream(
            "POST",
            url.copy_merge_params(self._query),
            content=asking.content,
            headers=self._headers,
        )

    def _hidden(self, error: ModelError) -> ModelError:
        """The error without our key, which servers like to quote when they refuse it."""
        return _without(self._key, error)

    def _described(self, asking: Asking) -> str:
        """A request for people: headers and query that may hold secrets by their names only."""
        lines = [f"POST {self.url}"]
        for kind, fields in (("header", self._headers), ("query", self._query)):
            for name, value in fields.items():
                lines.append(f"{kind} {name}: {'…' if _SECRET.search(name) else value}")
        lines.append(json.dumps(asking.body, ensure_ascii=False, indent=1))
        return "\n".join(lines)

    def _tell(self, text: str) -> None:
        hidden = text.replace(self._key, "[the API key]") if self._key else text
        sys.stderr.write(f"oturn: {_CONTROL.sub('?', hidden)}\n")


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
    base = endpoint.checked(base_url)
    url = base.copy_with(path=endpoint.path(base, "models"))
    shown = endpoint.shown(base, "models")
    headers = endpoint.headers(api_key, extra_headers)
    try:
        async with (
            endpoint.new_client(base, timeout) as client,
            client.stream("GET", url, headers=headers) as response,
        ):
            body = await endpoint.read(response, MAX_LIST_BYTES)
            if not response.is_success:
                error = refusal(response, body.decode("utf-8", "replace"), shown, "")
                raise ModelServerError(_without((api_key or "").strip(), error))
    except httpx2.HTTPError as problem:
        raise ModelServerError(endpoint.broken(problem, shown, timeout)) from problem
    return _models(body, shown)


def _without(key: str, error: ModelError) -> ModelError:
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
