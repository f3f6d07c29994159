"""One question to the model outside of any conversation: instructions and a text in, text out.

Keeps nothing, offers no tools, and never asks twice by itself. For tools that need a reader.
"""

from __future__ import annotations

from typing import Protocol

from oturn.transport.base import Failed, ModelRequest, ModelTransport, TextDelta
from oturn.transport.closing import closing
from turnstone.core.errors import ModelUnavailable

#: Answers are to be what stands in a text, and not what could be written about it.
TEMPERATURE = 0.2


class Ask(Protocol):
    async def __call__(self, system: str, user: str, max_tokens: int) -> str:
        """The answer, of at most `max_tokens` tokens. Raises ModelUnavailable with a sentence."""


class AskModel:
    """Asks one model at one endpoint."""

    def __init__(self, transport: ModelTransport, model: str) -> None:
        self._transport = transport
        self._model = model

    async def __call__(self, system: str, user: str, max_tokens: int) -> str:
        request = ModelRequest(
            self._model,
            [{"role": "system", "content": system}, {"role": "user", "content": user}],
            params={"temperature": TEMPERATURE, "max_tokens": max_tokens},
        )
        parts: list[str] = []
        async with closing(self._transport.stream(request)) as items:
            async for item in items:
                match item:
                    case TextDelta(text):
                        parts.append(text)
                    case Failed(error):
                        raise ModelUnavailable(error.message)
                    case _:
                        pass
        return "".join(parts)
