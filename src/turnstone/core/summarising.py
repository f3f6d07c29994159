"""Has a model write the account of messages that are about to be archived.

Long stretches are given to it in parts that fit its window, each with the account so far. The
requests are paid for like any other, told to no reader, and offer no tools. Decides nothing
about what is archived, and records nothing but what the requests cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from oturn.transport.base import ModelRequest
from turnstone.core import effort, prompts, tokens
from turnstone.core.carried import cut, filled
from turnstone.core.compaction import next_part
from turnstone.core.engine import Engine
from turnstone.core.errors import UnknownModel
from turnstone.core.journal import Journal
from turnstone.core.models import Model
from turnstone.core.paid import NotAnswered, Paid
from turnstone.core.purse import OverBudget

#: Words that a token stands for, in an account.
_WORDS_PER_TOKEN = 0.6

#: An answer may have so many times the tokens of the account, and so many at least: models that
#: reason count that among them.
_REASONING, _LEAST_ANSWER = 2, 1_024

#: What a request may take of the window: its size is only estimated.
_SHARE = 0.9

#: Tokens of a part of the conversation, at least; and how often parts are made smaller where a
#: provider says that they are too long.
_LEAST_PART, _TRIES = 200, 3


class _NoAccount(Exception):
    """And why."""


@dataclass(frozen=True, slots=True)
class Account:
    """`missing`: why it does not have everything in it; empty if it has."""

    text: str
    missing: str = ""


class Summarising:
    """One per workstream."""

    def __init__(self, journal: Journal, engine: Engine, paid: Paid) -> None:
        self._journal = journal
        self._engine = engine
        self._paid = paid

    async def account(
        self, so_far: str, told: Sequence[str], *, most: float, window: float, ratio: float
    ) -> Account:
        """The account so far, gone on with: `told`, oldest first, is what it has to take in.

        In at most `most` tokens; `window`: those of a request, with its answer. Both are
        estimates, uncorrected; `ratio` corrects them. Raises StoreError; all else that goes
        wrong is told in the answer.
        """
        own = self._window()
        window = min(window, own / ratio) if own else window
        answer = max(_LEAST_ANSWER, round(_REASONING * most * ratio))
        answer = min(answer, max(1, round(window * ratio / 4)))
        instructions = prompts.text("compact").format(words=round(most * ratio * _WORDS_PER_TOKEN))
        fixed = tokens.of_text(instructions) + most + answer / ratio
        room = max(_LEAST_PART, window * _SHARE - fixed)
        left, text, tries = list(told), so_far, _TRIES
        while left:
            part, count = next_part(left, room)
            asked = filled(prompts.text("stretch"), {"account": text, "stretch": part})
            try:
                answered = await self._ask(instructions, asked, answer)
            except (NotAnswered, OverBudget, UnknownModel, _NoAccount) as error:
                too_long = isinstance(error, NotAnswered) and error.error.kind == "too_long"
                if not too_long or not tries:
                    return Account(text, self._engine.masking.text(str(error)))
                tries, room = tries - 1, max(_LEAST_PART, room / 2)
                continue
            text = answered if tokens.of_text(answered) <= most else cut(answered, most)
            left = left[count:]
        return Account(text)

    async def _ask(self, instructions: str, text: str, most: int) -> str:
        model = self._model()
        asked = [
            {"role": "system", "content": instructions},
            {"role": "user", "content": text},
        ]
        reasons = effort.chosen(self._journal.transcript.settings, self._engine.effort)
        params: dict[str, Any] = {
            **self._engine.params,
            **effort.params("low" if reasons else ""),
            "max_tokens": most,
        }
        request = ModelRequest(model.id, asked, params=model.fitted(params))
        message = await self._paid.message(
            model, request, "compaction", most=most, tell=self._paid.tell
        )
        if not message.text.strip():
            raise _NoAccount("the model's account was empty")
        return message.text.strip()

    def _model(self) -> Model:
        """Who is asked: the role `compaction`. Raises UnknownModel."""
        return self._engine.models.of(self._journal.transcript.summary, "compaction")

    def _window(self) -> int:
        """Of the model that is asked, in tokens; 0: unknown."""
        try:
            return self._model().context_window
        except UnknownModel:
            return 0
