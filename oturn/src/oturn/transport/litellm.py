"""Asks models through LiteLLM, which knows providers with protocols of their own.

The only file that imports LiteLLM, and only when a model is asked or a prewarm is wanted: the
import takes seconds and is not part of a plain installation (`pip install "oturn[litellm]"`).
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import os
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import httpx2

from oturn.errors import ConfigError, MissingExtraError, ModelError
from oturn.transport import failures
from oturn.transport.base import ModelRequest, StreamItem
from oturn.transport.chat_completions import ChatDecoder
from oturn.transport.litellm_events import ChunkReader, Event, without_none

#: Seconds for one request, as in 0.1.
DEFAULT_TIMEOUT = 60.0
PREWARM_THREAD = "oturn-litellm-prewarm"
MISSING = 'LiteLLM is not installed: pip install "oturn[litellm]".'
#: LiteLLM imports it for every request with tools, and says only that it is not there.
NO_MCP = 'LiteLLM needs the package mcp for requests with tools: pip install "oturn[litellm]".'

#: Parts of names of headers whose values are secrets.
_SECRET_HEADERS = ("auth", "cookie", "key", "secret", "token")
#: LiteLLM's own exceptions that say more than their HTTP status does.
_KINDS = {"APIConnectionError": "unreachable", "ContextWindowExceededError": "too_long"}


class LiteLLMMissingError(MissingExtraError, RuntimeError):
    """LiteLLM is not installed, or cannot be imported; the message says which, and what to do."""


def litellm_is_installed() -> bool:
    """Whether there is a LiteLLM to import; imports nothing."""
    return importlib.util.find_spec("litellm") is not None


class _Loader:
    """The import, done once, and what became of it. Safe from any thread."""

    def __init__(self) -> None:
        self.error: str | None = None
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def load(self) -> Any:
        """LiteLLM's `main`. Raises LiteLLMMissingError; a later call tries again."""
        os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "true")
        try:
            package: Any = importlib.import_module("litellm")
            package.suppress_debug_info = True
            main = importlib.import_module("litellm.main")
        except Exception as problem:  # foreign code runs at import
            self.error = f"{type(problem).__name__}: {problem}"
            if isinstance(problem, ModuleNotFoundError) and problem.name == "litellm":
                raise LiteLLMMissingError(MISSING) from problem
            text = f"LiteLLM is installed, but cannot be imported: {self.error}"
            raise LiteLLMMissingError(text) from problem
        self.error = None
        return main

    def prewarm(self, *, blocking: bool, timeout: float | None) -> bool:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._try, name=PREWARM_THREAD, daemon=True)
                self._thread.start()
            thread = self._thread
        if blocking:
            thread.join(timeout)
        return not thread.is_alive() and self.error is None

    def _try(self) -> None:
        try:
            self.load()
        except LiteLLMMissingError:
            pass  # `error` has it, and the request that needs LiteLLM tells it


_loader = _Loader()  # one for the process: so is the import


def start_global_litellm_prewarm(*, blocking: bool = False, timeout: float | None = None) -> bool:
    """Import LiteLLM in a daemon thread, once per process, and say whether it is ready now.

    `blocking` waits for the import, at most `timeout` seconds. A failure is not tried again
    here; the next request to a model does.
    """
    return _loader.prewarm(blocking=blocking, timeout=timeout)


def get_global_litellm_prewarm_error() -> str | None:
    """`<type>: <message>` of the last import if it failed, else None."""
    return _loader.error


class LiteLLMTransport:
    """A `ModelTransport`, with 0.1's `acreate` beside it.

    `model` is LiteLLM's `provider/model`; `timeout` in seconds; `extra_body` is merged into the
    top level of LiteLLM's arguments. `debug_request` and `debug_sse` write to stderr what is
    asked and what comes, without keys. Raises ConfigError for an `api_base` that is no URL.
    """

    def __init__(
        self,
        *,
        model: str,
        timeout: float = DEFAULT_TIMEOUT,
        max_tokens: int | None = None,
        temperature: float | None = None,
        extra_body: Mapping[str, Any] | None = None,
        api_base: str = "",
        api_key: str | None = None,
        extra_headers: Mapping[str, str] | None = None,
        extra_query_params: Mapping[str, str] | None = None,
        debug_request: bool = False,
        debug_sse: bool = False,
    ) -> None:
        self.model = model
        self._timeout = timeout
        self._limits: dict[str, Any] = {}
        if max_tokens:
            self._limits["max_tokens"] = int(max_tokens)
        if temperature is not None:
            self._limits["temperature"] = float(temperature)
        self._limits |= extra_body or {}
        self._access = _access(api_base, api_key, extra_headers, extra_query_params)
        self._secrets = _secrets(api_key, extra_headers)
        self._debug_request = debug_request
        self._debug_sse = debug_sse

    async def stream(self, request: ModelRequest) -> AsyncIterator[StreamItem]:
        decoder = ChatDecoder()
        begun = False
        arguments = self._arguments(
            request.messages, model=request.model, tools=list(request.tools) or None, streamed=True
        )
        arguments |= {k: v for k, v in request.params.items() if k not in ("messages", "stream")}
        arguments |= self._access
        try:
            answer = self._chunks(arguments, self._debug_request, self._debug_sse)
            async with aclosing(answer) as chunks:
                async for chunk in chunks:
                    for item in decoder.feed(_as_server_event(chunk)):
                        begun = True
                        yield item
                    if decoder.ended:
                        return
        except Exception as problem:  # whatever LiteLLM and its providers' libraries raise
            for item in decoder.close(self._told(problem, request.model, begun=begun)):
                yield item
            return
        for item in decoder.close():
            yield item

    async def acreate(
        self,
        api_messages: Sequence[Mapping[str, Any]],
        *,
        stream: bool = False,
        tools: Sequence[Mapping[str, Any]] | None = None,
        tool_choice: Any = None,
        tool_stream: bool = False,
        debug: bool = False,
        sse_debug: bool = False,
        **extra: Any,
    ) -> Any:
        """With `stream`, an async iterator of 0.1's normalised events; otherwise the whole answer
        as a dict. Raises LiteLLMMissingError (a RuntimeError), and whatever LiteLLM raises:
        with `stream` at the first item, where the request is made.
        """
        arguments = self._arguments(
            api_messages,
            tools=None if tools is None else list(tools),
            tool_choice=tool_choice,
            streamed=stream,
            extra=extra,
        )
        if stream:
            chunks = self._chunks(arguments, debug, sse_debug)
            return _events(chunks, ChunkReader(tool_stream=tool_stream))
        return _whole(await self._ask(arguments, debug))

    async def aclose(self) -> None:
        """Nothing is held between requests: LiteLLM keeps its connections to itself."""

    def _arguments(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        streamed: bool,
        model: str | None = None,
        tools: list[Mapping[str, Any]] | None = None,
        tool_choice: Any = None,
        extra: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The keyword arguments of `litellm.main.acompletion`; what comes later replaces."""
        arguments: dict[str, Any] = {
            "model": model or self.model,
            "messages": list(messages),
            "timeout": self._timeout,
            "drop_params": True,
        }
        if tools is not None:
            arguments["tools"] = tools
        if tool_choice is not None:
            arguments["tool_choice"] = tool_choice
        arguments |= extra or {}
        arguments |= self._limits
        arguments |= self._access
        arguments["stream"] = streamed
        if streamed:
            arguments["stream_options"] = {"include_usage": True}
        return arguments

    async def _ask(self, arguments: dict[str, Any], debug: bool) -> Any:
        # In a thread: the first import takes seconds, in which the loop would stand still.
        main = await asyncio.to_thread(_loader.load)
        self._secrets |= _secrets(arguments.get("api_key"), arguments.get("extra_headers"))
        if debug:
            shown = {key: value for key, value in arguments.items() if key != "api_key"}
            self._print("request", shown)
            arguments |= {"log_raw_request_response": True, "logger_fn": self._print_raw}
        return await main.acompletion(**arguments)

    async def _chunks(
        self, arguments: dict[str, Any], debug: bool, sse_debug: bool
    ) -> AsyncGenerator[Mapping[str, Any]]:
        answer = await self._ask(arguments, debug)
        try:
            async for chunk in answer:
                shown = _as_mapping(chunk)
                if sse_debug:
                    self._print("chunk", shown)
                yield shown
        finally:
            close = getattr(answer, "aclose", None)
            if close is not None:
                await close()

    def _print_raw(self, details: Any) -> None:
        """LiteLLM calls this with all it knows of a call, keys and headers among it."""
        if not isinstance(details, Mapping):
            return
        more = details.get("additional_args")
        body = more.get("complete_input_dict") if isinstance(more, Mapping) else None
        self._print("raw", {"request": body, "response": details.get("original_response")})

    def _print(self, what: str, value: object) -> None:
        print(f"oturn litellm {what}: {self._shown(str(value))}", file=sys.stderr, flush=True)  # noqa: T201 what the debug settings are for

    def _shown(self, text: str) -> str:
        for secret in sorted(self._secrets, key=len, reverse=True):  # one may begin with another
            text = text.replace(secret, "[secret]")
        return text

    def _told(self, problem: Exception, model: str, *, begun: bool) -> ModelError:
        said = self._shown(" ".join(str(problem).split()) or type(problem).__name__)
        if isinstance(problem, LiteLLMMissingError):
            return ModelError("refused", said)
        if "No module named 'mcp'" in said:
            return ModelError("refused", NO_MCP)
        told = getattr(problem, "status_code", None)
        status = told if isinstance(told, int) and 400 <= told < 600 else None
        if begun:
            text = f"The answer of {model!r} broke off before it was whole: {said}"
            return ModelError("broken", text, status)
        kind = _KINDS.get(type(problem).__name__)
        if kind == "unreachable" or status is None:
            text = f"LiteLLM could not ask the provider of {model!r}: {said}"
            return ModelError("unreachable", text)
        if kind == "too_long":
            status = 413
        where = f"The provider of {model!r} (through LiteLLM)"
        return failures.from_response(where, status, said, model=model)


async def _events(
    answer: AsyncGenerator[Mapping[str, Any]], reader: ChunkReader
) -> AsyncGenerator[Event]:
    async with aclosing(answer) as chunks:
        async for chunk in chunks:
            for event in reader.feed(chunk):
                yield event
    for event in reader.done():
        yield event


def _as_mapping(chunk: Any) -> Mapping[str, Any]:
    """A chunk as plain data: LiteLLM gives pydantic objects, some of its providers dicts."""
    if isinstance(chunk, Mapping):
        return chunk
    dump = getattr(chunk, "model_dump", None)
    value = dump(exclude_none=True, warnings=False) if callable(dump) else None
    if not isinstance(value, dict):
        return {}
    usage = getattr(chunk, "usage", None)  # set on the object, outside of its fields
    dump = getattr(usage, "model_dump", None)
    counts = dump(exclude_none=True) if callable(dump) else usage
    return value | {"usage": counts} if counts else value


def _as_server_event(chunk: Mapping[str, Any]) -> bytes:
    """The chunk as a server would have sent it: the codec knows every provider's oddities."""
    usage = chunk.get("usage")
    if isinstance(usage, Mapping):
        chunk = {**chunk, "usage": without_none(usage)}
    return f"data: {json.dumps(chunk, default=str)}\n\n".encode()


def _whole(answer: Any) -> dict[str, Any]:
    if isinstance(answer, dict):
        return answer
    dump = getattr(answer, "model_dump", None)
    value = dump(mode="json") if callable(dump) else None
    return value if isinstance(value, dict) else {"raw": str(answer)}


def _access(
    api_base: str,
    api_key: str | None,
    headers: Mapping[str, str] | None,
    query: Mapping[str, str] | None,
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    base = api_base.strip()
    if base and query:
        try:
            base = str(httpx2.URL(base).copy_merge_params(dict(query)))
        except (httpx2.InvalidURL, ValueError) as problem:
            raise ConfigError(f"The base URL {api_base!r} is no URL: {problem}") from problem
    if base:
        found["api_base"] = base
    if api_key:
        found["api_key"] = api_key
    if headers:
        found["extra_headers"] = dict(headers)
    return found


def _secrets(api_key: str | None, headers: Mapping[str, str] | None) -> frozenset[str]:
    secret: Iterable[str] = (
        value
        for name, value in (headers or {}).items()
        if any(part in name.lower() for part in _SECRET_HEADERS)
    )
    return frozenset(text for text in (api_key or "", *secret) if text.strip())
