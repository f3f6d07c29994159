"""Has a model answer a question from a text that a tool has read: the role `extraction`.

Keeps nothing of it, offers no tools, and never asks twice by itself. Paid for by the workstream
whose tool asks.
"""

from __future__ import annotations

from oturn.transport.base import ModelRequest
from turnstone.core.engine import Engine
from turnstone.core.errors import ModelUnavailable, StoreError, UnknownModel
from turnstone.core.journal import Journal
from turnstone.core.paid import NotAnswered, Paid
from turnstone.core.purse import OverBudget

#: Answers are to be what stands in a text, and not what could be written about it.
TEMPERATURE = 0.2


class Extraction:
    """Implements `core.ask.Ask`; one per workstream."""

    def __init__(self, journal: Journal, engine: Engine, paid: Paid) -> None:
        self._journal = journal
        self._engine = engine
        self._paid = paid

    async def __call__(self, system: str, user: str, max_tokens: int) -> str:
        """The answer. Raises ModelUnavailable: it cannot be asked, or paid for."""
        try:
            model = self._engine.models.of(self._journal.transcript.summary, "extraction")
        except UnknownModel as error:
            raise ModelUnavailable(error.message) from error
        if model.practice:
            raise ModelUnavailable("the practice model reads nothing")  # but tells its help
        request = ModelRequest(
            model.id,
            [{"role": "system", "content": system}, {"role": "user", "content": user}],
            params=model.fitted({"temperature": TEMPERATURE, "max_tokens": max_tokens}),
        )
        try:
            message = await self._paid.message(
                model, request, "extraction", most=max_tokens, tell=self._paid.tell
            )
        except (NotAnswered, OverBudget, StoreError) as error:
            raise ModelUnavailable(str(error)) from error
        return message.text
