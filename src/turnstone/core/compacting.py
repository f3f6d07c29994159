"""Compacts the conversation of a workstream: when it is full, when it is asked for, and when a
provider refuses it as too long.

What goes and what stays is decided in `core.compaction`; the account of it is written in
`core.summarising`. All of it becomes one record, with a fresh system prompt beside it: before
that record the conversation is as it was, and whoever cancels leaves it so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import msgspec

from turnstone.core import events as ev
from turnstone.core import prompts, tokens
from turnstone.core.carried import stand_in
from turnstone.core.compaction import ACCOUNT, Plan, due_at, plan, stretch
from turnstone.core.engine import Engine
from turnstone.core.errors import StoreError
from turnstone.core.event_base import counted
from turnstone.core.journal import Journal
from turnstone.core.paid import Paid
from turnstone.core.prompting import Prompting
from turnstone.core.summarising import Account, Summarising
from turnstone.core.transcript import Transcript

log = logging.getLogger(__name__)

_Why: TypeAlias = Literal["full", "asked", "refused"]

#: What a provider refuses is brought to this share of what it was, where nothing better is known.
_REFUSED = 0.5

#: The room is at least this share of the messages: what cannot be reached is not aimed at.
_LEAST_ROOM = 0.2

_BEGUN = {
    "full": "The conversation is nearly full, and is being compacted",
    "asked": "The conversation is being compacted",
    "refused": "The model server says that the conversation is too long: it is being compacted",
}


@dataclass(frozen=True, slots=True)
class Compaction:
    """What came of it, in a sentence for people; and the record, if there is one."""

    text: str
    record: ev.Compacted | None = None


_NOTHING = Compaction("There is nothing to compact yet.")
LATER = Compaction(
    "The turn waits for a person. If there is anything to compact by then, that is done before "
    "the turn's next request."
)
_OVERTAKEN = Compaction(
    "The conversation became another one while it was summed up: nothing was compacted."
)
_STOPPED = Compaction("The compaction was stopped; the conversation is as it was.")


@dataclass(frozen=True, slots=True)
class Measure:
    """How large the next request is, and may be, in tokens."""

    window: int  # 0: unknown
    answer: int  # the most that one may have; 0: as the server likes
    prompt: float  # uncorrected, as is all here but the window and the answer
    tools: float
    messages: float
    ratio: float  # that corrects estimates
    recall: bool  # the model can look into what is archived
    learnt: int = 0  # the window, where a refusal has just told it

    @property
    def fixed(self) -> float:
        return self.prompt + self.tools

    @property
    def uncorrected(self) -> float:
        """Tokens of the whole request."""
        return self.fixed + self.messages

    @property
    def tokens(self) -> float:
        """Of the whole request, corrected."""
        return self.ratio * self.uncorrected


class Compacting:
    """One per workstream. `measure` is asked whenever something is to be compacted."""

    def __init__(
        self,
        journal: Journal,
        engine: Engine,
        prompting: Prompting,
        paid: Paid,
        measure: Callable[[], Measure],
    ) -> None:
        self._journal = journal
        self._engine = engine
        self._prompting = prompting
        self._summarising = Summarising(journal, engine, paid)
        self._measure = measure
        self._wanted: asyncio.Future[Compaction] | None = None
        self._working: asyncio.Task[Compaction | None] | None = None
        self._told_full = False

    @property
    def wanted(self) -> bool:
        """Somebody has asked for it, and it is not done."""
        return self._wanted is not None

    def want(self) -> asyncio.Future[Compaction]:
        """Ask for it, once for all who ask: it is done before the next request of the turn that
        runs, or by `carry_out`."""
        if self._wanted is None:
            self._wanted = asyncio.get_running_loop().create_future()
        return self._wanted

    def give_up(self, error: Exception) -> None:
        """Tell those who have asked that it will not be done."""
        wanted, self._wanted = self._wanted, None
        if wanted is not None and not wanted.done():
            wanted.set_exception(error)
            wanted.exception()  # where nobody waits any more, nobody is to be told

    async def carry_out(self) -> None:
        """Do what was asked for, where no turn runs. Raises StoreError."""
        self._working = asyncio.create_task(self._compact("asked", ""))
        try:
            await asyncio.wait({self._working})
        finally:
            working, self._working = self._working, None
            working.cancel()
            await asyncio.wait({working})
        if working.cancelled():
            self._journal.publish(ev.Info(message=_STOPPED.text))
            self._done(_STOPPED)
        elif (error := working.exception()) is not None:
            if isinstance(error, Exception):
                self.give_up(error)
            if isinstance(error, StoreError):
                raise error
            log.error("workstream %s was not compacted", self._journal.ws_id, exc_info=error)
        else:
            self._done(working.result())

    def stop(self) -> bool:
        """Stop what `carry_out` does; False if it does nothing."""
        return self._working is not None and self._working.cancel()

    async def before_request(self, correlation_id: str) -> None:
        """Compact if somebody has asked for it, or the next request passes what the settings
        allow. Raises StoreError."""
        if self._wanted is not None:
            try:
                self._done(await self._compact("asked", correlation_id))
            except asyncio.CancelledError:
                self._done(_STOPPED)
                raise
        measure = self._measured()
        due = self._due(measure)
        if not due or measure.tokens <= due:
            return
        if measure.ratio * measure.fixed < due:
            await self._compact("full", correlation_id)
        elif not self._told_full:
            self._told_full = True
            text = (
                f"The prompt and the tools alone have about {measure.ratio * measure.fixed:,.0f} "
                f"tokens, and the window of the model is {measure.window:,}: compacting the "
                "conversation would not help."
            )
            self._journal.publish(ev.Info(message=text), correlation_id)

    async def after_refusal(self, stated: int | None, correlation_id: str) -> bool:
        """Compact what a provider has refused as too long; whether asking again is worth it.

        `stated`: the window that it told. Where it told none, the size that it has refused is
        taken for the window from then on. Raises StoreError.
        """
        made = await self._compact("refused", correlation_id, stated or 0)
        return made is not None and made.record is not None

    @property
    def _model(self) -> str:
        return self._engine.models.name_for(self._journal.transcript.summary)

    @property
    def _key(self) -> str:
        return self._engine.models.key(self._journal.transcript.summary)

    def _measured(self) -> Measure:
        """The measure, its window no larger than what was refused as too long."""
        measure = self._measure()
        refused = self._journal.transcript.learnt.refused.get(self._key, 0)
        smaller = 0 < refused < (measure.window or refused + 1)
        return replace(measure, window=refused) if smaller else measure

    def _due(self, measure: Measure) -> int:
        return due_at(measure.window, measure.answer, self._engine.auto_compact)

    async def _compact(self, why: _Why, correlation_id: str, stated: int = 0) -> Compaction | None:
        """None: there was nothing to gain. Only where it has a record, anything was changed."""
        transcript = self._journal.transcript
        conversation = transcript.conversation
        measure = _told(self._measure(), stated) if stated else self._measured()
        refused = round(measure.tokens) if why == "refused" and not stated else 0
        room = self._room(measure, why)
        planned = plan(
            conversation.messages,
            conversation.history,
            _requests(transcript),
            room=room,
            compacted=conversation.compactions > 0,
        )
        if planned is None and not measure.learnt:
            return None
        if planned is None:
            planned = Plan(0, kept=measure.messages)
        else:
            self._say(f"{_BEGUN[why]} (about {measure.tokens:,.0f} tokens) …", correlation_id)
        count = len(conversation.messages)
        generation = transcript.conversations, conversation.compactions
        account = await self._account(planned, room, measure)
        prompt = await self._prompting.fresh(measure.window)
        compacted = self._record(planned, account, measure, why, correlation_id, prompt)
        compacted = msgspec.structs.replace(
            compacted, asked=self._model, model_key=self._key, refused=refused
        )

        def made() -> list[ev.Event]:
            now = transcript.conversations, conversation.compactions
            if now != generation or len(conversation.messages) != count:
                return []  # it became another conversation meanwhile
            return [ev.PromptSet(text=prompt, correlation_id=correlation_id), compacted]

        if not (await self._journal.append_from(made)).events:
            self._say(_OVERTAKEN.text, correlation_id)
            return _OVERTAKEN
        told = _in_words(compacted)
        self._say(told, correlation_id)
        return Compaction(told, compacted)

    def _room(self, measure: Measure, why: _Why) -> float:
        """Tokens, uncorrected, that the messages may have."""
        due = self._due(measure)
        room = due / measure.ratio - measure.fixed if due else measure.messages
        if why == "refused" and (not due or measure.tokens < due):
            room = min(room, measure.messages) * _REFUSED
        return max(room, measure.messages * _LEAST_ROOM)

    async def _account(self, planned: Plan, room: float, measure: Measure) -> Account:
        conversation = self._journal.transcript.conversation
        told = stretch(
            conversation.messages,
            conversation.history,
            planned.archived,
            known=conversation.compactions > 0,
        )
        window = measure.window / measure.ratio if measure.window else room + measure.fixed
        most = min(room * ACCOUNT, self._engine.compact_max_tokens / measure.ratio)
        return await self._summarising.account(
            conversation.account, told, most=most, window=window, ratio=measure.ratio
        )

    def _record(
        self,
        planned: Plan,
        account: Account,
        measure: Measure,
        why: _Why,
        correlation_id: str,
        prompt: str,
    ) -> ev.Compacted:
        notes = {
            "recall": prompts.text("recall") if measure.recall else "",
            "unsummarised": prompts.text("unsummarised") if account.missing else "",
        }
        message = stand_in(planned.carried, account.text, prompts.text("compacted"), notes)
        sent = planned.kept + (tokens.of_message(message) if planned.archived else 0.0)
        after = measure.ratio * (tokens.of_text(prompt) + measure.tools + sent)
        return ev.Compacted(
            archived=planned.archived,
            messages=[message] if planned.archived else [],
            shortened=list(planned.shortened),
            cut=planned.carried.cut if planned.archived else 0,
            left_out=planned.carried.left_out if planned.archived else 0,
            summary=account.text,
            unsummarised=account.missing,
            why=why,
            tokens_before=round(measure.tokens),
            tokens_after=round(after),
            window=measure.learnt,
            correlation_id=correlation_id,
        )

    def _done(self, compaction: Compaction | None) -> None:
        wanted, self._wanted = self._wanted, None
        if wanted is not None and not wanted.done():
            wanted.set_result(compaction or _NOTHING)

    def _say(self, text: str, correlation_id: str) -> None:
        self._journal.publish(ev.Info(message=text), correlation_id)


def _told(measure: Measure, stated: int) -> Measure:
    """The measure with the window that a provider has told, where that is news."""
    if stated and (not measure.window or stated < measure.window):
        return replace(measure, window=stated, learnt=stated)
    return measure


def _requests(transcript: Transcript) -> list[str]:
    """What the turn in progress is to answer, word for word."""
    turn = transcript.turn
    if turn is None:
        return []
    return [message.message for message in (turn.message, *turn.steered)]


def _in_words(compacted: ev.Compacted) -> str:
    before, after = f"{compacted.tokens_before:,}", f"{compacted.tokens_after:,}"
    if compacted.archived:
        told = f"Compacted: about {before} tokens became {after}; what was archived stays readable."
    elif compacted.shortened:
        told = f"Compacted: long results are sent shortened; about {before} tokens became {after}."
    else:
        told = f"The window of the model has {compacted.window:,} tokens, as its server says."
    lost = {"cut": compacted.cut, "left out": compacted.left_out}
    if any(lost.values()):
        parts = (f"{counted(number, 'text')} {how}" for how, number in lost.items() if number)
        told += f" There was no room for every word of yours: {' and '.join(parts)}."
    if compacted.archived and compacted.unsummarised:
        told += (
            " It could not be summed up, and only what is kept word for word stands for it "
            f"({compacted.unsummarised})."
        )
    return told
