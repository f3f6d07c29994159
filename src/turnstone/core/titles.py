"""A short title for a conversation, asked for beside it, after its first exchange.

Never in the way of a turn, and never a reason for one to fail: whatever goes wrong is a line in
the log at level debug. A conversation has one title at most; where asking came to nothing, it is
tried again after the next two exchanges, and then no more. Where the budget does not suffice for
asking, its first words are its title.
"""

from __future__ import annotations

import asyncio
import logging

from oturn.transport.base import ModelRequest
from turnstone.core import effort, prompts
from turnstone.core import events as ev
from turnstone.core.engine import Engine
from turnstone.core.errors import StoreError, UnknownModel
from turnstone.core.journal import Journal
from turnstone.core.paid import NotAnswered, Paid, unheard
from turnstone.core.purse import OverBudget
from turnstone.core.transcript import Transcript

log = logging.getLogger(__name__)

#: Characters that a title may have, and of each side of the exchange that it is made of.
LONGEST, READ = 80, 2_000

#: Tokens of the answer, and how freely it is chosen (contract, section 8.5).
_MAX_TOKENS, _TEMPERATURE = 200, 0.3

#: Exchanges after which it is tried, the first included.
_TRIES = 3

#: Seconds for the request: it is of no use to wait longer.
_PATIENCE = 60.0


class _NoTitle(Exception):
    """And why."""


class Titles:
    """One per workstream."""

    def __init__(self, journal: Journal, engine: Engine, paid: Paid) -> None:
        self._journal = journal
        self._engine = engine
        self._paid = paid
        self._asking: asyncio.Task[None] | None = None

    @property
    def asking(self) -> bool:
        """A title is being asked for."""
        return self._asking is not None and not self._asking.done()

    def ended(self, ending: ev.TurnEnded) -> None:
        """A turn has ended, and is in the fold: ask for a title if one is wanted now."""
        if self._engine.titles and not self.asking and wanted(self._journal.transcript, ending):
            name = f"title-{self._journal.ws_id}"
            self._asking = asyncio.create_task(self._ask(), name=name)

    async def stop(self) -> None:
        """Leave off asking."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    async def _ask(self) -> None:
        transcript = self._journal.transcript
        conversation = transcript.conversations
        try:
            async with asyncio.timeout(_PATIENCE):
                title = await self._found(transcript)

            def fresh() -> list[ev.Event]:
                # Of another conversation than the one that is there by now, it says nothing.
                same = transcript.conversations == conversation
                return [ev.Titled(title=title)] if same and not transcript.title else []

            await self._journal.append_from(fresh)
        except (_NoTitle, NotAnswered, StoreError, TimeoutError, UnknownModel) as error:
            log.debug("workstream %s has no title: %s", self._journal.ws_id, error)
        except Exception:
            log.debug("workstream %s has no title", self._journal.ws_id, exc_info=True)

    async def _found(self, transcript: Transcript) -> str:
        """The model's; where that cannot be paid for, the first words of the conversation."""
        material = _material(transcript)
        words = self._engine.masking.text(first_words(transcript))
        try:
            return await self._answer(material)
        except OverBudget:
            return words

    async def _answer(self, material: str) -> str:
        model = self._engine.models.of(self._journal.transcript.summary, "title")
        asked = [
            {"role": "system", "content": prompts.text("title")},
            {"role": "user", "content": material},
        ]
        reasons = effort.chosen(self._journal.transcript.settings, self._engine.effort)
        params = {
            **self._engine.params,
            **effort.params("low" if reasons else ""),
            "max_tokens": _MAX_TOKENS,
            "temperature": _TEMPERATURE,
        }
        request = ModelRequest(model.id, asked, params=model.fitted(params))
        message = await self._paid.message(model, request, "title", most=_MAX_TOKENS, tell=unheard)
        title = title_of(self._engine.masking.text(message.text))
        if not title:
            raise _NoTitle("the model gave none")
        return title


def wanted(transcript: Transcript, ending: ev.TurnEnded) -> bool:
    """Whether this is the end of an exchange after which a title is asked for."""
    if transcript.title or transcript.created.parent:
        return False
    if not ending.ends_turn or ending.outcome != "done":
        return False
    answers = [m for m in transcript.history if m.role == "assistant" and not m.tool_calls]
    return 1 <= len(answers) <= _TRIES


def title_of(text: str) -> str:
    """What a model has said, as a title: its first line, without marks around it, cut."""
    lines = [line.strip(" \t\"'`*#“”„«».") for line in text.splitlines()]
    first = " ".join(next(filter(None, lines), "").split())
    return first if len(first) <= LONGEST else f"{first[: LONGEST - 1].rstrip()}…"


def first_words(transcript: Transcript) -> str:
    """The beginning of the first thing that was asked, as a title; cut between words."""
    words = " ".join(_first(transcript)[:READ].split())
    if len(words) <= LONGEST:
        return words
    whole, _, part = words[:LONGEST].rpartition(" ")
    return f"{(whole or part[:-1]).rstrip()}…"


def _first(transcript: Transcript) -> str:
    return next((m.content for m in transcript.history if m.content and m.role == "user"), "")


def _material(transcript: Transcript) -> str:
    """The first thing that was asked, and the newest answer."""
    said = [m for m in transcript.history if m.content and not m.tool_calls]
    first = _first(transcript)
    answer = next((m.content for m in reversed(said) if m.role == "assistant"), "")
    return f"Person:\n{first[:READ]}\n\nAssistant:\n{answer[:READ]}"
