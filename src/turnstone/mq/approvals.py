"""Answers to questions, from Redis to the node: each is in the journal before it leaves Redis.

Looks into the response lists of the questions that wait, and at nothing while none does. A
question of a turn from the queue that nobody answers in time is answered as expired, which is
not a refusal. It decides nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec

from turnstone.core import events as ev
from turnstone.core.errors import (
    NodeUnavailable,
    TurnstoneError,
    UnknownRequest,
    UnknownWorkstream,
)
from turnstone.core.host import Answer, Host, PlanReply
from turnstone.mq.entry import read
from turnstone.mq.outbound import ErrorEvent
from turnstone.mq.rights import Rights
from turnstone.mq.work import Work
from turnstone.mq.worker_link import Link

log = logging.getLogger(__name__)

#: Seconds between two looks: a person does not notice, and Redis neither.
LOOK_EVERY = 0.2

#: Seconds in which a node that has a question shows it; it is a part of the snapshot.
_QUESTION_WAIT = 5.0

_FEEDBACK_EXPIRED = "Nobody answered in time."

#: What 0.2 said of a plan that nobody reviewed in time.
_PLAN_EXPIRED = "reject"

Question: TypeAlias = ev.ApprovalAsked | ev.PlanAsked


@dataclass
class _Question:
    ws_id: str
    of_plan: bool
    deadline: float | None  # of the event loop's clock; None: no limit


class Approvals:
    """The questions of one worker. `timeout` in seconds; 0: they wait without limit."""

    def __init__(self, host: Host, work: Work, link: Link, timeout: float, rights: Rights) -> None:
        self._host, self._work, self._link = host, work, link
        self._timeout, self._rights = timeout, rights
        self._waiting: dict[str, _Question] = {}
        self._some = asyncio.Event()

    def asked(self, question: Question, *, expires: bool) -> None:
        """Watch for the answer to this question, until it is `over`."""
        if question.request_id in self._waiting:
            return
        limited = expires and self._timeout > 0
        now = asyncio.get_running_loop().time()
        self._waiting[question.request_id] = _Question(
            question.ws_id,
            isinstance(question, ev.PlanAsked),
            now + self._timeout if limited else None,
        )
        self._some.set()

    def over(self, request_id: str) -> None:
        """It was answered."""
        self._waiting.pop(request_id, None)

    async def answered(self, request_id: str) -> None:
        """The node says so. Where this process did not wait for it, an earlier one did."""
        if self._waiting.pop(request_id, None) is None:
            await drop_left(self._work, self._link, request_id)

    def forget(self, ws_id: str) -> None:
        """No question of this workstream waits any more."""
        for request_id in [r for r, q in self._waiting.items() if q.ws_id == ws_id]:
            self.over(request_id)

    def waits(self, ws_id: str) -> bool:
        return any(question.ws_id == ws_id for question in self._waiting.values())

    async def find(self, ws_id: str) -> list[Question]:
        """The questions that wait since before this process; none if they were answered
        meanwhile."""
        found: list[Question] = []
        place = ""
        try:
            async with asyncio.timeout(_QUESTION_WAIT):
                async for event in self._host.follow(ws_id):
                    if found and event.id != place:  # behind the snapshot
                        break
                    place = event.id
                    if isinstance(event, ev.ApprovalAsked | ev.PlanAsked):
                        found.append(event)
        except (TimeoutError, UnknownWorkstream):
            if not found:
                log.info("the question of workstream %s was answered meanwhile", ws_id)
        return found

    async def run(self) -> None:
        """Look for answers, for ever."""
        while True:
            if not self._waiting:
                self._some.clear()
                await self._some.wait()
            await asyncio.sleep(LOOK_EVERY)
            looks = (self._look(r, q) for r, q in list(self._waiting.items()))
            await asyncio.gather(*looks)

    async def _look(self, request_id: str, question: _Question) -> None:
        raw = await self._link.insist(lambda: self._work.responses(request_id))
        if raw is None:
            await self._expire(request_id, question)
            return
        answer = _answer(raw, request_id, question, signed=self._rights.keyring is not None)
        if why := self._rights.problem(raw):
            await self._refuse(raw, question, why)
        elif answer is None:
            log.warning("what came as an answer to question %s is none: it is dropped", request_id)
        elif not await self._give(answer):
            return
        await self._link.insist(lambda: self._work.drop_response(request_id, raw))

    async def _refuse(self, raw: bytes, question: _Question, why: str) -> None:
        """An answer of somebody who may give none: told where its sender listens."""
        log.warning("an answer in workstream %s is dropped: %s", question.ws_id, why)
        told = ErrorEvent(
            ws_id=question.ws_id, correlation_id=read(raw).correlation_id, message=why
        )
        message = told.to_json().encode()
        await self._link.insist(lambda: self._work.publish(question.ws_id, message))

    async def _expire(self, request_id: str, question: _Question) -> None:
        if question.deadline is None or asyncio.get_running_loop().time() < question.deadline:
            return
        ws_id, by = question.ws_id, "queue"
        await self._give(
            PlanReply(
                ws_id=ws_id, request_id=request_id, expired=True, feedback=_PLAN_EXPIRED, by=by
            )
            if question.of_plan
            else Answer(
                ws_id=ws_id, request_id=request_id, expired=True, feedback=_FEEDBACK_EXPIRED, by=by
            )
        )

    async def accept_plan(self, asked: ev.PlanAsked) -> None:
        """Say yes to a plan for the sender of its message, who has permitted everything."""
        yes = PlanReply(ws_id=asked.ws_id, request_id=asked.request_id, unreviewed=True, by="queue")
        if not await self._give(yes):
            self.asked(asked, expires=True)

    async def _give(self, answer: Answer | PlanReply) -> bool:
        """To the node; False if that must be tried again."""
        try:
            if isinstance(answer, PlanReply):
                await self._host.answer_plan(answer)
            else:
                await self._host.approve(answer)
        except UnknownRequest:
            pass  # it was answered elsewhere, or its turn is over
        except NodeUnavailable:
            return False
        except TurnstoneError as error:
            log.warning("the answer to question %s was not taken: %s", answer.request_id, error)
        self.over(answer.request_id)
        return True


async def drop_left(work: Work, link: Link, request_id: str) -> None:
    """Drop the answer that a process has given to the node, and had no time to take away."""
    raw = await link.insist(lambda: work.responses(request_id))
    if raw is not None:
        await link.insist(lambda: work.drop_response(request_id, raw))


def _answer(
    raw: bytes, request_id: str, question: _Question, *, signed: bool
) -> Answer | PlanReply | None:
    """The answer that a client pushed; None for what is none (contract, sections 3.6, 3.7).

    One to another question is none: whoever writes into Redis can put it into this list. A
    `signed` one must say which it answers, for its place is not a part of what is signed.
    """
    try:
        data: dict[str, Any] = msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        return None
    if (data.get("request_id") or ("" if signed else request_id)) != request_id:
        return None
    said = data.get("feedback")
    feedback = said if isinstance(said, str) else ""
    if question.of_plan:
        if data.get("type") != "plan_feedback":
            return None
        return PlanReply(ws_id=question.ws_id, request_id=request_id, feedback=feedback, by="queue")
    approved = data.get("approved", False)
    if data.get("type") != "approve" or not isinstance(approved, bool):
        return None
    return Answer(
        ws_id=question.ws_id,
        request_id=request_id,
        approved=approved,
        feedback=feedback,
        always=data.get("always") is True,
        by="queue",
    )
