"""One question to a model outside of any conversation: instructions and a text in, text out.

For tools that need a reader. Protocol only; see `core.extraction`.
"""

from __future__ import annotations

from typing import Protocol


class Ask(Protocol):
    async def __call__(self, system: str, user: str, max_tokens: int) -> str:
        """The answer, of at most `max_tokens` tokens. Raises ModelUnavailable with a sentence."""
