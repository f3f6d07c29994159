"""Answers of people to what a workstream, or a sub-agent of it, asks.

The first answer to a question counts, and it becomes a record of the workstream that asked.
What an answer lets happen is decided elsewhere.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from turnstone.core import answered_calls
from turnstone.core import events as ev
from turnstone.core.errors import InvalidRequest, OtherArguments, UnknownRequest
from turnstone.core.host import Answer, PlanReply
from turnstone.core.journal import Journal
from turnstone.core.relay import Relay

AnyAnswer = TypeVar("AnyAnswer", Answer, PlanReply)


class Answering:
    """One per workstream."""

    def __init__(self, journal: Journal, relay: Relay) -> None:
        self._journal = journal
        self._relay = relay
        self._answering: set[str] = set()

    def routed(self, answer: AnyAnswer) -> AnyAnswer:
        """The answer under the ids that it goes to: those of the sub-agent right below where
        the question came from there. One that names no question goes to the oldest."""
        transcript, request_id = self._journal.transcript, answer.request_id
        if not request_id:
            of_plan = isinstance(answer, PlanReply)
            own = transcript.plan if of_plan else transcript.question
            below = self._relay.oldest(ev.PlanAsked if of_plan else ev.ApprovalAsked)
            question = own or below
            request_id = question.request_id if question is not None else ""
        ws_id = self._relay.route(request_id) or answer.ws_id
        return msgspec.structs.replace(answer, ws_id=ws_id, request_id=request_id)

    async def answer(self, answer: Answer) -> None:
        """Take an answer to the question that waits (`Host.approve`)."""
        await self._journal.catch_up()  # it may have been answered
        question = self._journal.transcript.question
        request_id = answer.request_id
        if question is None or question.request_id != request_id or request_id in self._answering:
            raise self._no_question(request_id)
        if answer.args_hash and answer.args_hash != question.args_hash:
            raise OtherArguments(
                f"Question {request_id} asks about other arguments than this answer is for.",
                hint="Look at the question again: its args_hash is the one to answer with.",
            )
        if answer.expired and answer.approved:
            raise InvalidRequest("expired: nobody has answered, so it cannot be approved too.")
        answered_calls.check(answer, question)
        self._answering.add(request_id)
        try:
            await self._journal.append(
                ev.ApprovalAnswered(
                    request_id=request_id,
                    approved=answer.approved,
                    feedback=answer.feedback,
                    always=answer.always,
                    expired=answer.expired,
                    by=answer.by,
                    granted=answered_calls.granted(answer, question),
                    refused=answer.refused,
                    edited=answer.edited,
                    correlation_id=question.correlation_id,
                )
            )
        finally:
            self._answering.discard(request_id)

    async def answer_plan(self, reply: PlanReply) -> None:
        """Take what a person says of the plan that waits (`Host.answer_plan`)."""
        journal = self._journal
        plan = journal.transcript.plan
        answered = ev.PlanAnswered(
            request_id=reply.request_id,
            feedback=reply.feedback.strip(),
            expired=reply.expired,
            unreviewed=reply.unreviewed,
            by=reply.by,
            correlation_id=plan.correlation_id if plan is not None else "",
        )
        appended = await journal.append_from(
            lambda: [answered] if self._waits(reply.request_id) else []
        )
        if not appended.events:
            raise UnknownRequest(
                f"No plan waits in workstream {journal.ws_id} under the id {reply.request_id!r}.",
                hint="It may have been answered, or its turn has ended.",
            )

    def _waits(self, request_id: str) -> bool:
        plan = self._journal.transcript.plan
        return plan is not None and plan.request_id == request_id

    def _no_question(self, request_id: str) -> UnknownRequest:
        where = f"in workstream {self._journal.ws_id}"
        earlier = self._journal.transcript.answers.get(request_id)
        if earlier is not None:
            said = "expired" if earlier.expired else "allowed" if earlier.approved else "refused"
            by = f" by {earlier.by}" if earlier.by and not earlier.expired else ""
            return UnknownRequest(
                f"Question {request_id} {where} was answered already: {said}{by}.",
                hint="The first answer counts; this one changes nothing.",
            )
        return UnknownRequest(
            f"No question {request_id} waits {where}."
            if request_id
            else f"No question waits {where}.",
            hint="It may have been answered, or its turn has ended.",
        )
