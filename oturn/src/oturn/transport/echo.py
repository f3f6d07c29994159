"""A transport that says what the user said: to try an agent with no model at all. No I/O.

    agent = Oturn(work_dir, config, transport=EchoTransport())

Deterministic, in pieces of a few characters, under the contract of `oturn.transport.base`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

from oturn.transport.base import Finished, ModelRequest, StreamItem, TextDelta
from oturn.transport.scripted import DEFAULT_CHUNK

Sleep: TypeAlias = Callable[[float], Awaitable[None]]
"""Waits so many seconds; lets other tasks run even for 0."""

#: What is answered where nobody has said anything.
NOTHING_SAID = "(nothing was said)"


class EchoTransport:
    """A `ModelTransport` that repeats the last user message, without its From and Date header.

    `chunk`: characters per piece, at least 1. `delay`: seconds before each piece.
    """

    def __init__(
        self, *, chunk: int = DEFAULT_CHUNK, delay: float = 0.0, sleep: Sleep = asyncio.sleep
    ) -> None:
        if chunk < 1:
            raise ValueError(f"chunk is {chunk}: it must be at least 1, in characters.")
        self._chunk = chunk
        self._delay = delay
        self._sleep = sleep

    async def stream(self, request: ModelRequest) -> AsyncIterator[StreamItem]:
        words = last_words(request.messages) or NOTHING_SAID
        for start in range(0, len(words), self._chunk):
            await self._sleep(self._delay)
            yield TextDelta(words[start : start + self._chunk])
        yield Finished("stop", request.model)

    async def aclose(self) -> None:
        pass


def last_words(messages: Sequence[Mapping[str, Any]]) -> str:
    """The text of the last user message, without the header that `Oturn` puts before it."""
    said = next((m.get("content") for m in reversed(messages) if m.get("role") == "user"), None)
    if isinstance(said, list):
        texts = [part.get("text") for part in said if isinstance(part, Mapping)]
        said = "".join(text for text in texts if isinstance(text, str))
    if not isinstance(said, str):
        return ""
    header, gap, words = said.partition("\n\n")
    return words if gap and header.startswith("From: ") else said
