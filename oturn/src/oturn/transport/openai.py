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
from oturn.transport.failures import hiding
from oturn.transport.providers import parses_calls
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

    `timeout`: seconds of silence that are endured, None for any; ten times as many in which only
    comments come. `query` is added to every URL. A `client` that is given is used as it is and
    never closed here. `think_tags`: see `oturn.transport.think_tags`. `text_tool_calls`: calls
    that come as text are recognised, see `oturn.text_calls`; None: unless a provider is asked
    that is known to parse them. `retry`: how often a request is sent; `on_retry` hears of each
    further one. `rephrase`: what a server refuses for one of its fields is sent again at once
    without it; where that is off, the error of a stream says that it may be (`rephrased`), and
    the next request for the model is sent so. `debug_request` and `debug_sse` print what is sent and what comes to stderr,
    without the key. Raises ConfigError for a base URL, key or timeout that cannot be used.
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
        text_tool_calls: bool | None = None,
        retry: RetryPolicy | None = None,
        on_retry: Callable[[RetryNotice], None] | None = None,
        rephrase: bool = True,
        debug_request: bool = False,
        debug_sse: bool = False,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._base = endpoint.checked(base_url)
        self._hide = hiding([(api_key or "").strip()])
        self._headers = endpoint.headers(api_key, extra_headers)
        self._query = dict(query or {})
        self._timeout = endpoint.checked_timeout(timeout)
        self._url = endpoint.shown(self._base, "chat/completions")
        url = self._base.copy_with(path=endpoint.path(self._base, "chat/completions"))
        self._address = url.copy_merge_params(query or {})
        self._client = client
        self._clients = endpoint.Clients(self._base, self._timeout)
        self._think_tags = think_tags
        if text_tool_calls is None:
            text_tool_calls = not parses_calls(self._base.host)
        self._text_tool_calls = text_tool_calls
        self._debug_request = debug_request
        self._told = self._tell_event if debug_sse else None
        policy = retry or RetryPolicy()
        self._asker = Asker(
            self.url,
            timeout,
            self._hide,
            policy,
            on_retry,
            sleep,
            chance,
            clock,
            rephrase=rephrase,
        )

    @property
    def url(self) -> str:
        """Where requests go, as shown to people: without query and credentials."""
        return self._url

    async def stream(self, request: ModelRequest) -> AsyncIterator[StreamItem]:
        try:
            asking = Asking(self._asker, request, stream=True)
        except ModelServerError as problem:
            yield Failed(problem.error)
            return
        while True:
            decoder = ChatDecoder(self._think_tags, self._told, server=self.url, hide=self._hide)
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
                        silence = endpoint.Silence(self._timeout, self._asker.clock)
                        chunks = endpoint.chunks(response)
                        async for chunk in chunks:
                            items = feed(chunk)
                            if decoder.ended and type(items[-1]) is Failed:
                                last = items  # it may be asked again
                            else:
                                for item in calls.feed_all(items):
                                    begun = True
                                    yield item
                            if decoder.ended:
                                await endpoint.drain(chunks)
                                break
                            if not items:
                                broken = silence.too_long(decoder.heard, self.url)
                                if broken is not None:
                                    break
                    else:
                        broken = await asking.refused(response)
            except httpx2.HTTPError as problem:
                broken = asking.broken(problem)
            for item in calls.feed_all([*last, *decoder.close(broken)]):
                if type(item) is not Failed:
                    begun = True
                    yield item
                elif begun:
                    yield item
                    return
                elif not await asking.again(item.error):
                    yield Failed(asking.told(item.error))
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
                        body = await endpoint.read(response, MAX_ANSWER_BYTES)
                        answer = whole_answer(body, self.url, self._hide)
                    else:
                        answer = await asking.refused(response)
            except httpx2.HTTPError as problem:
                answer = asking.broken(problem)
            if not isinstance(answer, ModelError):
                return answer
            if not await asking.again(answer):
                raise ModelServerError(answer)

    async def aclose(self) -> None:
        await self._clients.aclose()

    @contextlib.asynccontextmanager
    async def _open(self, asking: Asking) -> AsyncIterator[httpx2.Response]:
        if self._debug_request:
            _tell(self._described(asking))
        given = self._client
        async with (
            self._clients.one() if given is None else contextlib.nullcontext(given) as client,
            client.stream(
                "POST", self._address, content=asking.content, headers=self._headers
            ) as response,
        ):
            yield response

    def _described(self, asking: Asking) -> str:
        """A request for people: headers and query that may hold secrets by their names only."""
        lines = [f"POST {self.url}"]
        for kind, fields in (("header", self._headers), ("query", self._query)):
            for name, value in fields.items():
                shown = "…" if _SECRET.search(name) else self._hide(value)
                lines.append(f"{kind} {name}: {shown}")
        lines.append(self._hide(json.dumps(asking.body, ensure_ascii=False, indent=1)))
        return "\n".join(lines)

    def _tell_event(self, data: str) -> None:
        _tell(self._hide(data))


def _tell(text: str) -> None:
    sys.stderr.write(f"oturn: {_CONTROL.sub('?', text)}\n")


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
    hide = hiding([(api_key or "").strip()])
    try:
        async with (
            endpoint.new_client(base, endpoint.checked_timeout(timeout)) as client,
            client.stream("GET", url, headers=headers) as response,
        ):
            body = await endpoint.read(response, MAX_LIST_BYTES)
            if not response.is_success:
                said = body.decode("utf-8", "replace")
                raise ModelServerError(refusal(response, said, shown, "", hide))
    except httpx2.HTTPError as problem:
        raise ModelServerError(endpoint.broken(problem, shown, timeout, hide)) from problem
    return _models(body, shown)


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
