"""A transport that answers from a script: for tests, demonstrations and simulations. No model.

    transport = ScriptedTransport([call_tools(call("clock")), say("It is noon.")])

It is a whole implementation of the contract in `oturn.transport.base`, under the same tests.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from oturn.errors import ModelError, ModelErrorKind
from oturn.transport.base import (
    Failed,
    Finished,
    ModelRequest,
    ReasoningDelta,
    StreamItem,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)

Reply: TypeAlias = Sequence[StreamItem]
"""One answer. A missing ending is added, and what stands behind an ending is left out."""

Script: TypeAlias = Sequence[Reply] | Callable[[ModelRequest], Reply]
"""The answers in order, or a function that finds one for each request."""

#: Characters per piece of text: small enough that answers arrive in several.
DEFAULT_CHUNK = 8
#: As `id` of a fragment that opens a call: the transport makes one that no other request has.
MAKE_ID = ""


@dataclass(frozen=True, slots=True)
class ScriptedCall:
    """One tool call of a reply; `arguments` is the text as sent."""

    name: str
    arguments: str
    id: str = MAKE_ID


class ScriptedTransport:
    """A `ModelTransport` that plays a script; `requests` holds what it was asked.

    `delay`: seconds before each item. Each item lets other tasks run, as a network would.
    """

    def __init__(self, script: Script, *, delay: float = 0.0) -> None:
        self.requests: list[ModelRequest] = []
        self._script = script
        self._delay = delay

    async def stream(self, request: ModelRequest) -> AsyncIterator[StreamItem]:
        self.requests.append(request)
        number = len(self.requests)
        for item in _whole(self._reply(request, number)):
            await asyncio.sleep(self._delay)
            if isinstance(item, ToolCallDelta) and item.id == MAKE_ID:
                yield replace(item, id=f"call_{number}_{item.index or 0}")
            else:
                yield item

    async def aclose(self) -> None:
        pass

    def _reply(self, request: ModelRequest, number: int) -> Reply:
        if callable(self._script):
            try:
                return self._script(request)
            except Exception as problem:  # a stream never throws: the fault is told in it
                return fail("server", f"The script failed: {problem!r}")
        if number > len(self._script):
            return fail("broken", f"The script has no reply to request number {number}.")
        return self._script[number - 1]


def say(
    text: str,
    *,
    reasoning: str = "",
    chunk: int = DEFAULT_CHUNK,
    usage: Mapping[str, Any] | None = None,
    finish: str | None = "stop",
) -> Reply:
    """An answer in words."""
    return [
        *(ReasoningDelta(part) for part in _parts(reasoning, chunk)),
        *(TextDelta(part) for part in _parts(text, chunk)),
        *_usage(usage),
        Finished(finish),
    ]


def call(name: str, /, **arguments: Any) -> ScriptedCall:
    """A tool call with these arguments, for `call_tools`."""
    return ScriptedCall(name, json.dumps(arguments, ensure_ascii=False))


def call_tools(
    *calls: ScriptedCall,
    text: str = "",
    reasoning: str = "",
    chunk: int = DEFAULT_CHUNK,
    usage: Mapping[str, Any] | None = None,
) -> Reply:
    """An answer that calls tools, after some words if `text` is given."""
    fragments: list[StreamItem] = []
    for index, made in enumerate(calls):
        fragments.append(ToolCallDelta(index, made.id, made.name, ""))
        fragments += [
            ToolCallDelta(index, arguments=part) for part in _parts(made.arguments, chunk)
        ]
    words = say(text, reasoning=reasoning, chunk=chunk)[:-1]
    return [*words, *fragments, *_usage(usage), Finished("tool_calls")]


def fail(kind: ModelErrorKind, message: str, *, after: str = "") -> Reply:
    """A failure, after some words if `after` is given."""
    return [*(TextDelta(part) for part in _parts(after, DEFAULT_CHUNK)), _failed(kind, message)]


def _failed(kind: ModelErrorKind, message: str) -> Failed:
    return Failed(ModelError(kind, message))


def _usage(usage: Mapping[str, Any] | None) -> list[StreamItem]:
    return [] if usage is None else [UsageReport(usage)]


def _parts(whole: str, size: int) -> list[str]:
    return [whole[start : start + size] for start in range(0, len(whole), size)]


def _whole(reply: Reply) -> Iterator[StreamItem]:
    for item in reply:
        yield item
        if isinstance(item, (Finished, Failed)):
            return
    yield Finished()
