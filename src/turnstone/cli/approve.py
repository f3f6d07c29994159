"""A question to the person at the terminal: shown with its preview, asked, answered.

What is asked and what an answer means is decided by the node; here it is only read from what
was typed. Whatever is not plainly a yes is a no.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TypeAlias

from turnstone.cli.feed import Feed
from turnstone.cli.lines import EndOfInput, Interrupted, Lines
from turnstone.cli.render import Screen
from turnstone.core import events as ev
from turnstone.core.errors import UnknownRequest
from turnstone.core.host import Answer, Host, PlanReply

Asked: TypeAlias = ev.ApprovalAsked | ev.PlanAsked

#: Who answered, in the record and in what the model is told.
PERSON = "the person at the terminal"

#: `y`, `yes, but …`, `n`, `no …`, `a`, `always, …`. A word of feedback may begin with "a",
#: so "always" wants a comma before anything that follows it.
_YES = re.compile(r"(?:y|yes)(?:[,\s]+(?P<said>.*))?", re.IGNORECASE | re.DOTALL)
_NO = re.compile(r"(?:n|no)(?:[,\s]+(?P<said>.*))?", re.IGNORECASE | re.DOTALL)
_ALWAYS = re.compile(r"(?:a|always)(?:\s*,\s*(?P<said>.*))?", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Reply:
    approved: bool
    feedback: str = ""
    always: bool = False


def parse_reply(text: str) -> Reply | None:
    """What was typed, as an answer; None for nothing, which is asked again.

    Text that begins with none of the keys is a no, and told to the model.
    """
    text = text.strip()
    if not text:
        return None
    if found := _YES.fullmatch(text):
        return Reply(approved=True, feedback=found["said"] or "")
    if found := _ALWAYS.fullmatch(text):
        return Reply(approved=True, feedback=found["said"] or "", always=True)
    found = _NO.fullmatch(text)
    return Reply(approved=False, feedback=(found["said"] or "") if found else text)


class Approver:
    """Asks on a terminal. `__call__` is a `turn.Question`."""

    def __init__(self, host: Host, feed: Feed, screen: Screen, lines: Lines) -> None:
        self._host = host
        self._feed = feed
        self._screen = screen
        self._lines = lines

    async def __call__(self, asked: Asked) -> ev.Event | None:
        """Ask until somebody has answered: here, elsewhere, or by stopping the turn; and so of
        every other question that comes up meanwhile, in its turn.

        Returns the event that settled the last one elsewhere; None if it was answered here.
        """
        waiting, settled = [asked], None
        while waiting:
            settled = await self._settled(waiting[0], waiting)
            del waiting[0]
            if settled is not None and _ends_all(settled):
                return settled
            if settled is not None and waiting:
                self._screen.show(settled)
        return settled

    async def _settled(self, asked: Asked, waiting: list[Asked]) -> ev.Event | None:
        """One question. `waiting` are those that wait, this one first: others are added."""
        self._screen.question(asked)
        self._screen.line(_keys(asked), "dim", indent="  ")
        asking = asyncio.create_task(self._typed(asked))
        try:
            while not asking.done():
                event = await self._news_before(asking)
                if event is None:
                    continue
                if _settles(event, asked):
                    return event
                _take_note(event, waiting)
                self._screen.show(event)
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        await self._give(asked, asking.result())
        return None

    async def _news_before(self, asking: asyncio.Task[Reply | None]) -> ev.Event | None:
        coming = asyncio.create_task(self._feed.next())
        try:
            await asyncio.wait({asking, coming}, return_when=asyncio.FIRST_COMPLETED)
            return coming.result() if coming.done() else None
        finally:
            coming.cancel()

    async def _typed(self, asked: Asked) -> Reply | None:
        """What was typed; None for Ctrl-C. Where no terminal is left, a no."""
        of_plan = isinstance(asked, ev.PlanAsked)
        reply = None
        try:
            while reply is None:
                typed = await self._lines.answer("plan? " if of_plan else "allow? ")
                reply = Reply(True, typed.strip()) if of_plan else parse_reply(typed)
        except Interrupted:
            return None
        except EndOfInput:
            return Reply(approved=False, feedback="reject" if of_plan else "")
        return reply

    async def _give(self, asked: Asked, reply: Reply | None) -> None:
        """Ctrl-C stops the turn, and with it the question: nothing of it is run."""
        if reply is None:
            self._screen.line("Stopping …", "yellow")
            await self._host.cancel(asked.ws_id)
            return
        self._screen.is_known(asked.request_id)
        try:
            if isinstance(asked, ev.PlanAsked):
                await self._host.answer_plan(_review(asked, reply))
            else:
                await self._host.approve(_answer(asked, reply))
        except UnknownRequest:
            self._screen.line("It was settled elsewhere in the meantime.", "dim")


def _answer(asked: ev.ApprovalAsked, reply: Reply) -> Answer:
    return Answer(
        ws_id=asked.ws_id,
        request_id=asked.request_id,
        approved=reply.approved,
        feedback=reply.feedback,
        always=reply.always,
        by=PERSON,
    )


def _review(asked: ev.PlanAsked, reply: Reply) -> PlanReply:
    return PlanReply(
        ws_id=asked.ws_id, request_id=asked.request_id, feedback=reply.feedback, by=PERSON
    )


def _keys(asked: Asked) -> str:
    """The keys; `a` only where it would permit something, and then exactly what."""
    if isinstance(asked, ev.PlanAsked):
        return "Enter accept · n reject · or say what to change"
    asked_for = (item.grant for item in asked.items if item.needs_approval)
    grants = " and ".join(dict.fromkeys(grant for grant in asked_for if grant))
    where = "this sub-agent" if asked.origin is not None else "this workstream"
    always = f"a always {grants}, in {where} · " if grants else ""
    return f"y yes · n no · {always}or say what to do instead"


def _take_note(event: ev.Event, waiting: list[Asked]) -> None:
    """Of a question that has to be asked too, or that was answered elsewhere."""
    match event:
        case ev.ApprovalAsked() | ev.PlanAsked():
            if all(event.request_id != asked.request_id for asked in waiting):
                waiting.append(event)
        case ev.ApprovalAnswered() | ev.PlanAnswered():
            waiting[1:] = [a for a in waiting[1:] if a.request_id != event.request_id]


def _settles(event: ev.Event, asked: Asked) -> bool:
    match event:
        case ev.ApprovalAnswered() | ev.PlanAnswered():
            return event.request_id == asked.request_id
        case ev.CallsDecided():
            return asked.origin is None and isinstance(asked, ev.ApprovalAsked)
    return _ends_all(event)


def _ends_all(event: ev.Event) -> bool:
    """No question of the turn waits any more."""
    return isinstance(event, ev.CancelRequested | ev.TurnEnded | ev.WsClosed)
